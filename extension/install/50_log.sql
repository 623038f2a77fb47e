-- The log: a row is one item (message or status) of one attempt to reach a function. Partitioned by
-- the UTC day of created_at. The script makes the parent and the DEFAULT partition only, since a
-- dump leaves out what an extension script made; routing_maintain() makes the partitions of the
-- days, which a dump carries. For the same reason the parent has no unique constraint and no index:
-- a day that is attached on restore would get its own twice.

CREATE TABLE @extschema@.webhook_routing_logs (
	id               uuid             NOT NULL DEFAULT gen_random_uuid(),
	webhook_name     text             NOT NULL,
	domain           text             NOT NULL DEFAULT 'unknown',
	routed_to        text             NOT NULL,
	from_number      text,
	message_id       text,
	response_time_ms double precision,
	status           text             NOT NULL,
	error_message    text,
	created_at       timestamptz      NOT NULL DEFAULT clock_timestamp(),
	decision_id      uuid,
	attempt          integer          NOT NULL DEFAULT 1,
	item             integer          NOT NULL DEFAULT 0,
	correlation_id   text,
	http_status      integer,
	reason           text,
	bucket           integer,
	percentage       numeric(5,2),
	config_version   bigint,
	message_type     text,
	ambiguous        boolean          NOT NULL DEFAULT false,
	CONSTRAINT webhook_routing_logs_routed_to_check
		CHECK (routed_to IN ('unified', 'legacy', 'error')),
	CONSTRAINT webhook_routing_logs_status_check
		CHECK (status IN ('success', 'error')),
	-- NaN sorts above every number, so that this refuses it too.
	CONSTRAINT webhook_routing_logs_response_time_ms_check
		CHECK (response_time_ms BETWEEN 0 AND '1e15'::double precision),
	CONSTRAINT webhook_routing_logs_created_at_check
		CHECK (isfinite(created_at)),
	CONSTRAINT webhook_routing_logs_attempt_check
		CHECK (attempt >= 0 AND item >= 0),
	CONSTRAINT webhook_routing_logs_http_status_check
		CHECK (http_status BETWEEN 100 AND 999),
	CONSTRAINT webhook_routing_logs_bucket_check
		CHECK (bucket BETWEEN 0 AND 9999),
	CONSTRAINT webhook_routing_logs_percentage_check
		CHECK (percentage BETWEEN 0 AND 100)
) PARTITION BY RANGE (created_at);

COMMENT ON TABLE @extschema@.webhook_routing_logs IS
	'Every routed item with its outcome; a partition for each UTC day, made by routing_maintain()';
COMMENT ON COLUMN @extschema@.webhook_routing_logs.id IS
	'Fixed with created_at when the decision is made, so that a row stored twice is there once';
COMMENT ON COLUMN @extschema@.webhook_routing_logs.webhook_name IS
	'The target: the function that this attempt tried to reach';
COMMENT ON COLUMN @extschema@.webhook_routing_logs.domain IS
	'Business area found from the message; unknown when none was';
COMMENT ON COLUMN @extschema@.webhook_routing_logs.routed_to IS
	'The side of this attempt: unified or legacy; error when nothing could be tried';
COMMENT ON COLUMN @extschema@.webhook_routing_logs.from_number IS
	'The sender; a keyed hash (hmac:...) when hash_senders is on; NULL after erase_sender()';
COMMENT ON COLUMN @extschema@.webhook_routing_logs.message_id IS
	'WhatsApp''s id of the message; hashed and erased with from_number';
COMMENT ON COLUMN @extschema@.webhook_routing_logs.response_time_ms IS
	'How long the attempt took, in milliseconds; NULL when it was skipped';
COMMENT ON COLUMN @extschema@.webhook_routing_logs.status IS
	'success for a complete 2xx answer, otherwise error';
COMMENT ON COLUMN @extschema@.webhook_routing_logs.error_message IS
	'What went wrong, in words';
COMMENT ON COLUMN @extschema@.webhook_routing_logs.created_at IS
	'When the decision was made; its UTC day names the partition';
COMMENT ON COLUMN @extschema@.webhook_routing_logs.decision_id IS
	'The decision this attempt belongs to; a fallback is a second attempt of the same one';
COMMENT ON COLUMN @extschema@.webhook_routing_logs.attempt IS
	'Which attempt of the decision';
COMMENT ON COLUMN @extschema@.webhook_routing_logs.item IS
	'Which message or status of the webhook, from 0; statistics count item 0, one per attempt';
COMMENT ON COLUMN @extschema@.webhook_routing_logs.correlation_id IS
	'X-Correlation-ID of the request';
COMMENT ON COLUMN @extschema@.webhook_routing_logs.http_status IS
	'Status of the function''s answer; NULL when there was none';
COMMENT ON COLUMN @extschema@.webhook_routing_logs.reason IS
	'Why the decision fell as it did';
COMMENT ON COLUMN @extschema@.webhook_routing_logs.bucket IS
	'0 to 9999 from the sender; unified below percentage * 100';
COMMENT ON COLUMN @extschema@.webhook_routing_logs.percentage IS
	'The percentage that was in force for the domain';
COMMENT ON COLUMN @extschema@.webhook_routing_logs.config_version IS
	'The configuration that decided';
COMMENT ON COLUMN @extschema@.webhook_routing_logs.message_type IS
	'text, interactive, button, ..., or the status or the field';
COMMENT ON COLUMN @extschema@.webhook_routing_logs.ambiguous IS
	'Whether the function may have processed the message although it did not say so';

-- Takes what no day has a partition for. Its primary key makes a batch idempotent here as well.
CREATE TABLE @extschema@.webhook_routing_logs_default
	PARTITION OF @extschema@.webhook_routing_logs (PRIMARY KEY (id, created_at)) DEFAULT;
COMMENT ON TABLE @extschema@.webhook_routing_logs_default IS
	'Log rows of days without a partition; routing_maintain() moves them when it makes the day';

-- Each day gets one as well (65_maintain.sql): errors are few, and webhook_routing_errors reads the newest.
CREATE INDEX webhook_routing_logs_default_errors_idx
	ON @extschema@.webhook_routing_logs_default (created_at) WHERE status = 'error';
COMMENT ON INDEX @extschema@.webhook_routing_logs_default_errors_idx IS
	'Finds the newest errors';

SELECT pg_catalog.pg_extension_config_dump('@extschema@.webhook_routing_logs_default', '');

CREATE TABLE @extschema@.webhook_routing_secrets (
	name       text        PRIMARY KEY,
	secret     bytea       NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE @extschema@.webhook_routing_secrets IS
	'Keys that are made when first needed; granted to nobody. Deleting one breaks the link to what '
	'was hashed with it';
COMMENT ON COLUMN @extschema@.webhook_routing_secrets.name IS
	'sender_hash: the key of hashed senders and message ids; message_hash: of messages that failed';
COMMENT ON COLUMN @extschema@.webhook_routing_secrets.secret IS
	'32 random bytes';
COMMENT ON COLUMN @extschema@.webhook_routing_secrets.created_at IS
	'When it was made';

SELECT pg_catalog.pg_extension_config_dump('@extschema@.webhook_routing_secrets', '');

CREATE FUNCTION @extschema@.routing_sender_hash(sender text) RETURNS text
LANGUAGE c STABLE STRICT PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'routing_sender_hash';
COMMENT ON FUNCTION @extschema@.routing_sender_hash(text) IS
	'A sender or message id as the log has it when hash_senders is on; NULL before the first';

-- These two run as the owner: whoever inserts needs no right on the configuration and the key.
CREATE FUNCTION @extschema@.webhook_routing_log_begin() RETURNS trigger
LANGUAGE c SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'webhook_routing_log_begin';
COMMENT ON FUNCTION @extschema@.webhook_routing_log_begin() IS
	'Internal: before an INSERT into the log, finds whether senders are hashed';

CREATE FUNCTION @extschema@.webhook_routing_log_count() RETURNS trigger
LANGUAGE c SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'webhook_routing_log_count';
COMMENT ON FUNCTION @extschema@.webhook_routing_log_count() IS
	'Internal: after an INSERT into the log, folds the new rows into the rollups';

-- Reads nothing, so that it needs neither the owner's rights nor a search_path; it runs per row.
CREATE FUNCTION @extschema@.webhook_routing_log_hash() RETURNS trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'webhook_routing_log_hash';
COMMENT ON FUNCTION @extschema@.webhook_routing_log_hash() IS
	'Internal: puts the hash in the place of sender and message id';

CREATE TRIGGER hash_begin BEFORE INSERT ON @extschema@.webhook_routing_logs
	FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.webhook_routing_log_begin();
COMMENT ON TRIGGER hash_begin ON @extschema@.webhook_routing_logs IS
	'Finds whether senders are hashed';
CREATE TRIGGER hash_sender BEFORE INSERT ON @extschema@.webhook_routing_logs
	FOR EACH ROW EXECUTE FUNCTION @extschema@.webhook_routing_log_hash();
COMMENT ON TRIGGER hash_sender ON @extschema@.webhook_routing_logs IS
	'Hashes sender and message id of rows that come through the parent';
CREATE TRIGGER count AFTER INSERT ON @extschema@.webhook_routing_logs
	REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.webhook_routing_log_count();
COMMENT ON TRIGGER count ON @extschema@.webhook_routing_logs IS
	'Counts the rows that come through the parent into webhook_routing_rollups';

CREATE FUNCTION @extschema@.store_routing_logs(
	ids uuid[], created_ats timestamptz[], decision_ids uuid[], attempts integer[],
	items integer[], webhook_names text[], domains text[], routed_tos text[], reasons text[],
	buckets integer[], percentages numeric[], config_versions bigint[], from_numbers text[],
	message_ids text[], message_types text[], correlation_ids text[], http_statuses integer[],
	response_times_ms double precision[], statuses text[], error_messages text[],
	ambiguous boolean[])
RETURNS bigint
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'store_routing_logs';
COMMENT ON FUNCTION @extschema@.store_routing_logs(
	uuid[], timestamptz[], uuid[], integer[], integer[], text[], text[], text[], text[],
	integer[], numeric[], bigint[], text[], text[], text[], text[], integer[],
	double precision[], text[], text[], boolean[]) IS
	'Store a batch of log rows, once however often it is repeated; returns the number of new ones';

-- Privacy requests. The rows stay, since they are somebody's statistics; who it was goes.
CREATE FUNCTION @extschema@.erase_sender(sender text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	plain    text[];
	known_as text[];
	waiting  bigint;
	erased   bigint;
BEGIN
	IF coalesce(btrim(sender), '') = '' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'there is no sender to erase',
			HINT = 'Give the number as the log has it: SELECT erase_sender(''250788123456'');';
	END IF;
	-- As given, and as WhatsApp writes a number that people write +250 788-123-456.
	plain := ARRAY[sender];
	IF sender ~ '^\+?[0-9][-0-9 ().]+$' THEN
		plain := plain || regexp_replace(sender, '[^0-9]', '', 'g');
	END IF;

	known_as := plain || ARRAY(SELECT @extschema@.routing_sender_hash(p) FROM unnest(plain) p);

	-- In this order: what somebody is moving from the one to the other meanwhile is found in the log.
	UPDATE @extschema@.webhook_routing_pending w
	   SET from_number = NULL, message_id = NULL,
	       error_message = CASE WHEN NOT EXISTS (SELECT FROM unnest(plain) p
	                                              WHERE strpos(w.error_message, p) > 0)
	                            THEN w.error_message END
	 WHERE w.from_number = ANY (known_as);
	GET DIAGNOSTICS waiting = ROW_COUNT;
	UPDATE @extschema@.webhook_routing_logs l
	   SET from_number = NULL, message_id = NULL,
	       error_message = CASE WHEN NOT EXISTS (SELECT FROM unnest(plain) p
	                                              WHERE strpos(l.error_message, p) > 0)
	                            THEN l.error_message END
	 WHERE l.from_number = ANY (known_as);
	GET DIAGNOSTICS erased = ROW_COUNT;
	DELETE FROM @extschema@.webhook_routing_conversations c WHERE c.sender = ANY (known_as);
	RETURN waiting + erased;
END
$function$;
COMMENT ON FUNCTION @extschema@.erase_sender(text) IS
	'Erase who sent: number (or its hash), message id, error texts that name it, conversation; returns log '
	'rows';
