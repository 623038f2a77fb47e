-- Conversations: the domain and the side that each sender was last in, so that a follow-up without
-- keywords ("yes", "how much?") finds its way. Off while conversation_timeout is 0.
--
-- Written with the log, by the statement trigger "remember" (extension/remember.c), read by
-- route_decide() (extension/recall.c). There may be several rows of a sender, one for each writer that
-- was there at once; the newest counts, and routing_maintain() removes the others.

CREATE TABLE @extschema@.webhook_routing_conversations (
	id        uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
	sender    text        COLLATE "C" NOT NULL,
	domain    text        NOT NULL,
	routed_to text        NOT NULL,
	last_at   timestamptz NOT NULL,
	CONSTRAINT webhook_routing_conversations_routed_to_check
		CHECK (routed_to IN ('unified', 'legacy'))
) WITH (fillfactor = 70, vacuum_truncate = off);

-- Room in each page (fillfactor) and no index on what changes: a row is updated in place. VACUUM gives
-- no pages back (vacuum_truncate): it would lock readers out for that time.
CREATE INDEX webhook_routing_conversations_sender_idx
	ON @extschema@.webhook_routing_conversations (sender);

COMMENT ON TABLE @extschema@.webhook_routing_conversations IS
	'The domain that each sender was last in, while conversation_timeout is set; the newest row counts';
COMMENT ON COLUMN @extschema@.webhook_routing_conversations.id IS
	'Of this row; says nothing';
COMMENT ON COLUMN @extschema@.webhook_routing_conversations.sender IS
	'As the log has from_number: a keyed hash when hash_senders is on';
COMMENT ON COLUMN @extschema@.webhook_routing_conversations.domain IS
	'Business area of the last message for which one was found';
COMMENT ON COLUMN @extschema@.webhook_routing_conversations.routed_to IS
	'Side that this message was sent to last: that of the fallback where there was one';
COMMENT ON COLUMN @extschema@.webhook_routing_conversations.last_at IS
	'When it was decided on';
COMMENT ON CONSTRAINT webhook_routing_conversations_routed_to_check
	ON @extschema@.webhook_routing_conversations IS
	'A conversation is on one side or the other';
COMMENT ON CONSTRAINT webhook_routing_conversations_pkey ON @extschema@.webhook_routing_conversations IS
	'A writer changes the row that it has locked';
COMMENT ON INDEX @extschema@.webhook_routing_conversations_pkey IS
	'Finds the row that a writer has locked';
COMMENT ON INDEX @extschema@.webhook_routing_conversations_sender_idx IS
	'Finds the conversation of a sender, without a lock that anybody would wait for';

SELECT pg_catalog.pg_extension_config_dump('@extschema@.webhook_routing_conversations', '');

-- Its plans are kept, and made when the table may still be empty: they must suit a full one.
CREATE FUNCTION @extschema@.webhook_routing_log_remember() RETURNS trigger
LANGUAGE c SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
AS 'MODULE_PATHNAME', 'webhook_routing_log_remember';
COMMENT ON FUNCTION @extschema@.webhook_routing_log_remember() IS
	'Internal: after an INSERT into the log, notes which domain each sender was last in';

CREATE TRIGGER remember AFTER INSERT ON @extschema@.webhook_routing_logs
	REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.webhook_routing_log_remember();
COMMENT ON TRIGGER remember ON @extschema@.webhook_routing_logs IS
	'Notes which domain each sender was last in, in webhook_routing_conversations';
