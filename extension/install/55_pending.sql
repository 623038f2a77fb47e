-- Decisions without an outcome yet. A forwarder records a decision before it relays the webhook, in its
-- spool; one whose spool is unusable commits it here instead. The row goes when store_routing_logs()
-- brings it with its outcome, or, when that never comes, into the log by routing_maintain().
--
-- No trigger, so that a dump's rows come back as they are; they then go the second way.

CREATE TABLE @extschema@.webhook_routing_pending (
	LIKE @extschema@.webhook_routing_logs INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS,
	stored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	PRIMARY KEY (id, created_at)
);
COMMENT ON TABLE @extschema@.webhook_routing_pending IS
	'Decisions that a forwarder without a usable spool has committed before it relayed them';
COMMENT ON COLUMN @extschema@.webhook_routing_pending.stored_at IS
	'When it came here, by the clock of the database; after a minute it goes to the log';

SELECT pg_catalog.pg_extension_config_dump('@extschema@.webhook_routing_pending', '');

CREATE FUNCTION @extschema@.store_routing_pending(
	ids uuid[], created_ats timestamptz[], decision_ids uuid[], attempts integer[],
	items integer[], webhook_names text[], domains text[], routed_tos text[], reasons text[],
	buckets integer[], percentages numeric[], config_versions bigint[], from_numbers text[],
	message_ids text[], message_types text[], correlation_ids text[], http_statuses integer[],
	response_times_ms double precision[], statuses text[], error_messages text[],
	ambiguous boolean[])
RETURNS bigint
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'store_routing_pending';
COMMENT ON FUNCTION @extschema@.store_routing_pending(
	uuid[], timestamptz[], uuid[], integer[], integer[], text[], text[], text[], text[],
	integer[], numeric[], bigint[], text[], text[], text[], text[], integer[],
	double precision[], text[], text[], boolean[]) IS
	'Store log rows before their outcome is known, once however often it is repeated; returns the '
	'number of new ones';

-- Into the log go the rows whose outcome has not come for a minute, longer than a forwarder waits for a
-- function. One that comes all the same, later or at this very moment, finds the row in the log and
-- changes nothing. Rows that somebody is settling now are left to him.
CREATE FUNCTION @extschema@.webhook_routing_settle_pending() RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	settled bigint;
BEGIN
	WITH lost AS (
		DELETE FROM @extschema@.webhook_routing_pending w
		 USING (SELECT e.id, e.created_at FROM @extschema@.webhook_routing_pending e
		         WHERE e.stored_at < now() - interval '1 minute' FOR UPDATE SKIP LOCKED) e
		 WHERE w.id = e.id AND w.created_at = e.created_at
		RETURNING w.*)
	INSERT INTO @extschema@.webhook_routing_logs (
		id, created_at, decision_id, attempt, item, webhook_name, domain, routed_to, reason, bucket,
		percentage, config_version, from_number, message_id, message_type, correlation_id,
		status, error_message, ambiguous)
	SELECT l.id, l.created_at, l.decision_id, l.attempt, l.item, l.webhook_name, l.domain,
	       l.routed_to, l.reason, l.bucket, l.percentage, l.config_version, l.from_number,
	       l.message_id, l.message_type, l.correlation_id,
	       'error', 'outcome unknown: the forwarder was killed before the function answered', true
	  FROM lost l
	ON CONFLICT DO NOTHING;
	GET DIAGNOSTICS settled = ROW_COUNT;
	RETURN settled;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_settle_pending() IS
	'Internal: pending rows whose outcome never came go to the log; returns how many';
