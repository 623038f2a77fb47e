/* SPDX-License-Identifier: PostgreSQL
 *
 * cut.c: a webhook -> the part of it that some of its items are.
 *
 * The envelope is copied container by container, and of each container the parts that stay, byte
 * for byte. Before a part comes the text between it and the part before it in the payload (the
 * comma); the text before the first part and behind the last one stays. A part is written before
 * it is known whether anything in it stays, and taken back when nothing does.
 *
 * What stays:
 *
 *   - a kept item, whole: a message, a status, or a change that is an item itself;
 *   - what holds no item (other members, entries without changes, empty arrays), since nothing of
 *     it was dropped; but not where every item around it is: messages[] and statuses[], changes,
 *     changes[] and entries that lose all their items go whole;
 *   - of a key that comes twice in an object on the way to an item, the last member. The others
 *     are read by nobody here, but would be read once the last one is gone, or by a function
 *     whose parser takes the first. A change whose items all stay is copied as it is;
 *   - contacts that are not of dropped items alone (below).
 *
 * So the items of what is left are the kept ones with the same bytes, and each is decided as
 * before. Time is linear in the payload; the stack holds some 70 kB, whatever comes.
 */
#include "payload.h"
#include "text.h"

#include <string.h>

/* ---------------------------------------------------------------------------------------------
 * Whose items stay and whose go, for contacts[] of the same value.
 *
 * A contact goes when its wa_id or user_id is the sender of a dropped item and neither is the
 * sender of a kept one. All stay where that cannot be told, or would matter to the engine: a kept
 * item names nobody itself and is its only contact's, or would become its only one's; or there are
 * more senders than the table takes.
 * ------------------------------------------------------------------------------------------ */

#define SENDER_SLOTS 4096 /* Meta sends at most 1,000 items, each with two ids */
#define SENDER_PROBES 64  /* places looked at for one, so that no choice of senders costs more */

typedef enum sender_fate
{
    SENDER_DROPPED = 1,
    SENDER_KEPT = 2, /* or both */
} sender_fate;

/* A sender of the change whose number it bears; any other number is an empty slot. */
typedef struct sender_slot
{
    route_value text;
    uint32_t change;
    uint32_t fate;
} sender_slot;

/* The change that is being copied. */
typedef struct cut_change
{
    uint32_t number; /* from 1 */
    size_t messages; /* number of its first message, whose statuses follow */
    size_t statuses;
    size_t end; /* number behind its last item */
    size_t kept;
    bool keeps_contacts;
} cut_change;

typedef struct cutter
{
    route_webhook webhook;
    route_item item; /* the next one of the payload, number `number`, while any_left */
    size_t number;
    bool any_left;
    route_keep_item keep;
    void *context;
    uint8_t *out;
    size_t length;
    /* The last values of these keys in the objects that are being copied. */
    route_value entry, changes, value, messages, statuses, contacts;
    bool any_change; /* of the entry's, stays */
    size_t element;  /* number of the item that the next element of an array is */
    cut_change change;
    sender_slot senders[SENDER_SLOTS];
} cutter;

static uint32_t hash_string(const route_document *document, route_value string)
{
    const uint8_t *p = route_string_begin(document, string);
    const uint8_t *end = route_string_end(document, string);
    uint32_t hash = 2166136261u; /* FNV-1a, over code points */

    while (p < end)
    {
        uint32_t character;

        p = route_json_character(p, end, &character);
        hash = (hash ^ character) * 16777619u;
    }
    return hash ^ hash >> 15;
}

static bool same_string(const route_document *document, route_value a, route_value b)
{
    const uint8_t *p = route_string_begin(document, a), *q = route_string_begin(document, b);
    const uint8_t *p_end = route_string_end(document, a), *q_end = route_string_end(document, b);

    while (p < p_end && q < q_end)
    {
        uint32_t character, other;

        p = route_json_character(p, p_end, &character);
        q = route_json_character(q, q_end, &other);
        if (character != other)
            return false;
    }
    return p == p_end && q == q_end;
}

/* The sender's slot, or an empty one for it; NULL when neither is near. */
static sender_slot *find_sender(cutter *self, route_value sender)
{
    const route_document *document = &self->webhook.document;
    uint32_t hash = hash_string(document, sender);

    for (uint32_t probe = 0; probe < SENDER_PROBES; probe++)
    {
        sender_slot *slot = &self->senders[(hash + probe) % SENDER_SLOTS];

        if (slot->change != self->change.number || same_string(document, slot->text, sender))
            return slot;
    }
    return NULL;
}

static void note_sender(cutter *self, route_value sender, sender_fate fate)
{
    sender_slot *slot;

    if (route_is_absent(sender))
        return;
    slot = find_sender(self, sender);
    if (slot == NULL)
        self->change.keeps_contacts = true;
    else if (slot->change != self->change.number)
        *slot = (sender_slot){sender, self->change.number, fate};
    else
        slot->fate |= fate;
}

static uint32_t fate_of(cutter *self, route_value sender)
{
    const sender_slot *slot = route_is_absent(sender) ? NULL : find_sender(self, sender);

    return slot != NULL && slot->change == self->change.number ? slot->fate : 0;
}

/* Whether the item's sender is its own, whatever the contacts are. */
static bool names_sender(const route_item *item)
{
    return !route_is_absent(item->sender) && item->sender_source != ROUTE_KEY_USER_ID &&
           item->sender_source != ROUTE_KEY_WA_ID;
}

/* ---------------------------------------------------------------------------------------------
 * Bytes
 * ------------------------------------------------------------------------------------------ */

static void put(cutter *self, const uint8_t *begin, const uint8_t *end)
{
    memcpy(self->out + self->length, begin, (size_t) (end - begin));
    self->length += (size_t) (end - begin);
}

/* The place behind a value. */
static const uint8_t *end_of(const route_document *document, route_value value)
{
    uint32_t end = route_value_end(value);

    return document->text +
           (value.bits & ROUTE_VALUE_LANDMARK ? document->landmarks[end].end : end);
}

static bool put_value(cutter *self, route_value value)
{
    const route_document *document = &self->webhook.document;

    put(self, document->text + route_value_start(value), end_of(document, value));
    return true;
}

/* Writes an array's element or a member's value, or what stays of it; `key` is absent in an array.
 * False when it goes: whatever was written of it is taken back. */
typedef bool copy_part(cutter *self, route_value key, route_value value);

/* Writes the array or object with the parts that stay. Whether there are any. */
static bool copy_container(cutter *self, route_value container, copy_part *copy)
{
    const route_document *document = &self->webhook.document;
    route_cursor cursor = route_return_to(document, container);
    bool in_object = *cursor.at == '{';
    const uint8_t *behind = cursor.at; /* the part before: up to here all is written or dropped */
    bool more = route_enter(&cursor);
    bool any = false;

    if (more)
        put(self, behind, cursor.at);
    while (more)
    {
        size_t length = self->length;
        const uint8_t *begin = cursor.at;
        route_value key = route_no_value;

        if (any)
            put(self, behind, begin);
        if (in_object)
        {
            key = route_read_string(document, &cursor);
            route_pass_colon(&cursor);
            put(self, begin, cursor.at);
        }
        if (copy(self, key, route_read_value(document, &cursor)))
            any = true;
        else
            self->length = length;
        behind = cursor.at;
        more = route_advance(&cursor);
    }
    put(self, behind, cursor.at);
    return any;
}

/* ---------------------------------------------------------------------------------------------
 * A change
 * ------------------------------------------------------------------------------------------ */

static bool asks_to_keep(cutter *self, size_t item)
{
    return self->keep(self->context, item);
}

static void note_item(cutter *self, bool kept)
{
    const route_item *item = &self->item;
    sender_fate fate = kept ? SENDER_KEPT : SENDER_DROPPED;

    self->change.kept += kept;
    self->change.statuses += item->kind == ROUTE_ITEM_MESSAGE;
    if (kept && !names_sender(item))
        self->change.keeps_contacts = true;
    note_sender(self, item->sender, fate);
    if (item->from.bits != item->sender.bits)
        note_sender(self, item->from, fate);
}

/* Reads the items of a change, which are the next ones of the payload; there is at least one. */
static void read_change(cutter *self, route_value change)
{
    const route_document *document = &self->webhook.document;
    size_t end = (size_t) (end_of(document, change) - document->text);

    self->change = (cut_change){
        .number = self->change.number + 1, .messages = self->number, .statuses = self->number};
    do
    {
        note_item(self, asks_to_keep(self, self->number++));
        self->any_left = route_webhook_next(&self->webhook, &self->item);
    } while (self->any_left && self->item.range.start < end);
    self->change.end = self->number;
}

static bool copy_item(cutter *self, route_value key, route_value value)
{
    (void) key;
    return asks_to_keep(self, self->element++) && put_value(self, value);
}

/* messages[] or statuses[], whose elements are the items from `begin` to `end`, if they are any. */
static bool copy_items(cutter *self, route_value array, size_t begin, size_t end)
{
    if (begin == end)
        return put_value(self, array);
    self->element = begin;
    return copy_container(self, array, copy_item);
}

static bool copy_contact(cutter *self, route_value key, route_value contact)
{
    const route_document *document = &self->webhook.document;
    route_members members;
    uint32_t fate;

    (void) key;
    route_read_members(document, contact, &members);
    fate = fate_of(self, route_string_member(document, &members, ROUTE_KEY_WA_ID)) |
           fate_of(self, route_string_member(document, &members, ROUTE_KEY_USER_ID));
    return fate != SENDER_DROPPED && put_value(self, contact);
}

static bool copy_contacts(cutter *self, route_value contacts)
{
    if (self->change.keeps_contacts ||
        route_enter_array(&self->webhook.document, contacts).at == NULL)
        return put_value(self, contacts);
    return copy_container(self, contacts, copy_contact);
}

/* Whether a value is the last one of its key, thus the one that counts. */
static bool counts(route_value value, route_value last)
{
    return route_value_start(value) == route_value_start(last);
}

static bool copy_value_member(cutter *self, route_value key, route_value value)
{
    const cut_change *change = &self->change;

    switch (route_key_of(&self->webhook.document, key))
    {
    case ROUTE_KEY_MESSAGES:
        return counts(value, self->messages) &&
               copy_items(self, value, change->messages, change->statuses);
    case ROUTE_KEY_STATUSES:
        return counts(value, self->statuses) &&
               copy_items(self, value, change->statuses, change->end);
    case ROUTE_KEY_CONTACTS:
        return counts(value, self->contacts) && copy_contacts(self, value);
    default:
        return put_value(self, value);
    }
}

static bool copy_change_member(cutter *self, route_value key, route_value value)
{
    route_members members;

    if (route_key_of(&self->webhook.document, key) != ROUTE_KEY_VALUE)
        return put_value(self, value);
    if (!counts(value, self->value))
        return false;
    route_read_members(&self->webhook.document, value, &members);
    self->messages = route_member(&members, ROUTE_KEY_MESSAGES);
    self->statuses = route_member(&members, ROUTE_KEY_STATUSES);
    self->contacts = route_member(&members, ROUTE_KEY_CONTACTS);
    return copy_container(self, value, copy_value_member);
}

static bool copy_change(cutter *self, route_value key, route_value change)
{
    route_members members;

    (void) key;
    read_change(self, change);
    if (self->change.kept == 0)
        return false;
    if (self->change.kept == self->change.end - self->change.messages)
        return put_value(self, change);
    route_read_members(&self->webhook.document, change, &members);
    self->value = route_member(&members, ROUTE_KEY_VALUE);
    return copy_container(self, change, copy_change_member);
}

/* ---------------------------------------------------------------------------------------------
 * The envelope
 * ------------------------------------------------------------------------------------------ */

static bool copy_entry_member(cutter *self, route_value key, route_value value)
{
    if (route_key_of(&self->webhook.document, key) != ROUTE_KEY_CHANGES)
        return put_value(self, value);
    if (counts(value, self->changes))
        self->any_change = copy_container(self, value, copy_change);
    return counts(value, self->changes) && self->any_change;
}

static bool copy_entry(cutter *self, route_value key, route_value entry)
{
    const route_document *document = &self->webhook.document;
    route_members members;

    (void) key;
    route_read_members(document, entry, &members);
    self->changes = route_member(&members, ROUTE_KEY_CHANGES);
    if (route_enter_array(document, self->changes).at == NULL)
        return put_value(self, entry);
    copy_container(self, entry, copy_entry_member);
    return self->any_change;
}

static bool copy_root_member(cutter *self, route_value key, route_value value)
{
    if (route_key_of(&self->webhook.document, key) != ROUTE_KEY_ENTRY)
        return put_value(self, value);
    return counts(value, self->entry) && copy_container(self, value, copy_entry);
}

/* The envelope of several items of which some stay. */
static void copy_envelope(cutter *self)
{
    const route_document *document = &self->webhook.document;
    route_value root = route_root(document);
    route_members members;

    route_read_members(document, root, &members);
    self->entry = route_member(&members, ROUTE_KEY_ENTRY);
    self->any_left = route_webhook_next(&self->webhook, &self->item);
    put(self, document->text, document->text + document->root);
    copy_container(self, root, copy_root_member);
    put(self, end_of(document, root), document->end);
}

size_t route_cut(const void *payload, size_t length, route_keep_item keep, void *context, void *out)
{
    cutter self = {.keep = keep, .context = context, .out = out};
    route_webhook all;
    size_t count = 0, kept = 0;

    route_webhook_open(&all, payload, length);
    self.webhook = all;
    while (route_webhook_next(&all, &self.item))
        kept += asks_to_keep(&self, count++);
    if (kept == count && length > 0)
        memcpy(out, payload, length);
    if (kept == 0 || kept == count)
        return kept == 0 ? 0 : length;
    copy_envelope(&self);
    return self.length;
}
