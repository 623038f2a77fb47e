-- Deciding. The rules are compiled once per backend and dropped when a change commits; these
-- functions read no table as their caller, so whoever may call them needs no other right.

CREATE FUNCTION @extschema@.route_decide(payload bytea, webhook_name text DEFAULT NULL,
	OUT webhook_name text, OUT target_url text, OUT routed_to text, OUT domain text,
	OUT reason text, OUT matched text, OUT bucket integer, OUT percentage numeric,
	OUT from_number text, OUT message_id text, OUT message_type text,
	OUT fallback_webhook text, OUT fallback_url text,
	OUT config_id uuid, OUT config_version bigint)
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'webhook_routing_decide';
COMMENT ON FUNCTION @extschema@.route_decide(bytea, text) IS
	'Where a webhook goes, and why; any bytes are decided, none raises an error';

CREATE FUNCTION @extschema@.route_decide(payload text, webhook_name text DEFAULT NULL,
	OUT webhook_name text, OUT target_url text, OUT routed_to text, OUT domain text,
	OUT reason text, OUT matched text, OUT bucket integer, OUT percentage numeric,
	OUT from_number text, OUT message_id text, OUT message_type text,
	OUT fallback_webhook text, OUT fallback_url text,
	OUT config_id uuid, OUT config_version bigint)
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'webhook_routing_decide';
COMMENT ON FUNCTION @extschema@.route_decide(text, text) IS
	'Where a webhook goes, and why';

CREATE FUNCTION @extschema@.route_decide(payload json, webhook_name text DEFAULT NULL,
	OUT webhook_name text, OUT target_url text, OUT routed_to text, OUT domain text,
	OUT reason text, OUT matched text, OUT bucket integer, OUT percentage numeric,
	OUT from_number text, OUT message_id text, OUT message_type text,
	OUT fallback_webhook text, OUT fallback_url text,
	OUT config_id uuid, OUT config_version bigint)
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'webhook_routing_decide';
COMMENT ON FUNCTION @extschema@.route_decide(json, text) IS
	'Where a webhook goes, and why';

CREATE FUNCTION @extschema@.route_decide(payload jsonb, webhook_name text DEFAULT NULL,
	OUT webhook_name text, OUT target_url text, OUT routed_to text, OUT domain text,
	OUT reason text, OUT matched text, OUT bucket integer, OUT percentage numeric,
	OUT from_number text, OUT message_id text, OUT message_type text,
	OUT fallback_webhook text, OUT fallback_url text,
	OUT config_id uuid, OUT config_version bigint)
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'webhook_routing_decide_jsonb';
COMMENT ON FUNCTION @extschema@.route_decide(jsonb, text) IS
	'Where a webhook goes, and why (bytea keeps what jsonb changes or refuses)';

CREATE FUNCTION @extschema@.route_decide_items(payload bytea, webhook_name text DEFAULT NULL,
	OUT item integer, OUT kind text, OUT item_start integer, OUT item_end integer,
	OUT webhook_name text, OUT target_url text, OUT routed_to text, OUT domain text,
	OUT reason text, OUT matched text, OUT bucket integer, OUT percentage numeric,
	OUT from_number text, OUT message_id text, OUT message_type text,
	OUT fallback_webhook text, OUT fallback_url text,
	OUT config_id uuid, OUT config_version bigint)
RETURNS SETOF record
LANGUAGE c STABLE PARALLEL SAFE ROWS 10
AS 'MODULE_PATHNAME', 'webhook_routing_decide_items';
COMMENT ON FUNCTION @extschema@.route_decide_items(bytea, text) IS
	'Where each message and status of a webhook would go alone, with its place in bytes';

CREATE FUNCTION @extschema@.route_decide_items(payload text, webhook_name text DEFAULT NULL,
	OUT item integer, OUT kind text, OUT item_start integer, OUT item_end integer,
	OUT webhook_name text, OUT target_url text, OUT routed_to text, OUT domain text,
	OUT reason text, OUT matched text, OUT bucket integer, OUT percentage numeric,
	OUT from_number text, OUT message_id text, OUT message_type text,
	OUT fallback_webhook text, OUT fallback_url text,
	OUT config_id uuid, OUT config_version bigint)
RETURNS SETOF record
LANGUAGE c STABLE PARALLEL SAFE ROWS 10
AS 'MODULE_PATHNAME', 'webhook_routing_decide_items';
COMMENT ON FUNCTION @extschema@.route_decide_items(text, text) IS
	'Where each message and status of a webhook would go alone, with its place in bytes';

CREATE FUNCTION @extschema@.route_explain(payload bytea, webhook_name text DEFAULT NULL,
	OUT step integer, OUT name text, OUT outcome text)
RETURNS SETOF record
LANGUAGE c STABLE PARALLEL SAFE ROWS 10
AS 'MODULE_PATHNAME', 'webhook_routing_explain';
COMMENT ON FUNCTION @extschema@.route_explain(bytea, text) IS
	'Each step of the decision on a webhook, in words';

CREATE FUNCTION @extschema@.route_explain(payload text, webhook_name text DEFAULT NULL,
	OUT step integer, OUT name text, OUT outcome text)
RETURNS SETOF record
LANGUAGE c STABLE PARALLEL SAFE ROWS 10
AS 'MODULE_PATHNAME', 'webhook_routing_explain';
COMMENT ON FUNCTION @extschema@.route_explain(text, text) IS
	'Each step of the decision on a webhook, in words';

CREATE FUNCTION @extschema@.route_explain(payload json, webhook_name text DEFAULT NULL,
	OUT step integer, OUT name text, OUT outcome text)
RETURNS SETOF record
LANGUAGE c STABLE PARALLEL SAFE ROWS 10
AS 'MODULE_PATHNAME', 'webhook_routing_explain';
COMMENT ON FUNCTION @extschema@.route_explain(json, text) IS
	'Each step of the decision on a webhook, in words';

CREATE FUNCTION @extschema@.route_explain(payload jsonb, webhook_name text DEFAULT NULL,
	OUT step integer, OUT name text, OUT outcome text)
RETURNS SETOF record
LANGUAGE c STABLE PARALLEL SAFE ROWS 10
AS 'MODULE_PATHNAME', 'webhook_routing_explain_jsonb';
COMMENT ON FUNCTION @extschema@.route_explain(jsonb, text) IS
	'Each step of the decision on a webhook, in words';

CREATE FUNCTION @extschema@.routing_bucket(sender text) RETURNS integer
LANGUAGE c STRICT STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'webhook_routing_bucket';
COMMENT ON FUNCTION @extschema@.routing_bucket(text) IS
	'Bucket of a sender, 0 to 9999: on unified while it is below percentage * 100';

CREATE FUNCTION @extschema@.routing_ruleset(OUT config_version bigint, OUT snapshot text)
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'webhook_routing_ruleset';
COMMENT ON FUNCTION @extschema@.routing_ruleset() IS
	'Everything that decides, as the text that backends and forwarders compile, and its version';

CREATE FUNCTION @extschema@.webhook_routing_rules_problem() RETURNS text
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'webhook_routing_rules_problem';
COMMENT ON FUNCTION @extschema@.webhook_routing_rules_problem() IS
	'Internal: why the rules cannot be compiled; NULL when they can';
