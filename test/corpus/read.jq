# SPDX-License-Identifier: PostgreSQL
#
# Reads a webhook the way its documentation describes it, in a language and with a JSON parser that
# share nothing with the engine. One line of tab-separated values about the first item:
# items, kind, number, sender key, message id, type.

def strings: select(type == "string" and length > 0);
def objects_of($key): if type == "object" and (.[$key] | type) == "array" then .[$key][] else empty end;
def only_contact:
  if type == "object" and (.contacts | type) == "array" and (.contacts | length) == 1
     and (.contacts[0] | type) == "object"
  then .contacts[0] else {} end;
def first_of(values): [values] | first;
def get($key): if type == "object" then .[$key] else null end;

def message($value):
  first_of((get("from_user_id"), get("from"), ($value | only_contact | .user_id, .wa_id)) | strings) as $key
  | {kind: "message", key: $key, from: (first_of(get("from") | strings) // $key), id: get("id"), type: get("type")};
def status($value):
  first_of((get("recipient_id"), ($value | only_contact | .user_id, .wa_id)) | strings) as $key
  | {kind: "status", key: $key, from: $key, id: get("id"), type: get("status")};
def other($value; $field):
  ($value | [objects_of("calls")] | first) as $call
  | ($value | [objects_of("statuses")] | first) as $status
  | first_of((($call // {}) | get("from_user_id"), get("from")), (($status // {}) | get("recipient_id")),
             ($value | only_contact | .user_id, .wa_id) | strings) as $key
  | {kind: "other_field", key: $key,
     from: (first_of(($call // {}) | get("from") | strings) // $key),
     id: (($call // $status // {}) | get("id")), type: $field};

def items:
  if .object == "whatsapp_business_account" then
    [objects_of("entry") | objects_of("changes")
     | (if has("field") then .field else "messages" end) as $field
     | (.value // {}) as $value
     | if $field == "messages" then
         [($value | objects_of("messages") | message($value)), ($value | objects_of("statuses") | status($value))]
         | if length == 0 then [other($value; $field)] else . end
       else [other($value; $field)] end
     | .[]]
    | if length == 0 then [{kind: "other_field"}] else . end
  elif (.object == null) and (.message | type) == "object" then
    [. as $flat | .message + {from: $flat.from, from_user_id: $flat.from_user_id, type: $flat.type} | message($flat)]
  else [{kind: "unreadable"}] end;

def printable: if type == "string" then explode | map(if . == 0 then 65533 else . end) | implode else "" end;

(if type == "object" then items else [{kind: "unreadable"}] end) as $items
| [($items | length | tostring), $items[0].kind,
   ($items[0].from, $items[0].key, $items[0].id, $items[0].type | printable)]
| @tsv
