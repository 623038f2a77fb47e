-- The whole script runs with nothing on its path that somebody could have put a function or an
-- operator into: what is ours is qualified with the schema throughout.
SET LOCAL search_path = pg_catalog, pg_temp;

-- The configuration, as a table that only grows: a change is a new row, so the table is its own
-- history. Whoever adds a row, by a verb below, by an edit of a rule, or by hand, passes the same
-- trigger, and the trigger takes the one lock that serialises changes.

DO $$
BEGIN
	IF pg_catalog.getdatabaseencoding() OPERATOR(pg_catalog.<>) 'UTF8' THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
			MESSAGE = pg_catalog.format('webhook_routing needs a database in UTF8, not in %s',
										pg_catalog.getdatabaseencoding()),
			HINT = 'CREATE DATABASE ... ENCODING ''UTF8'' TEMPLATE template0;';
	END IF;
END
$$;

CREATE TABLE @extschema@.webhook_routing_config (
	id                      uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
	percentage              numeric(5,2) NOT NULL,
	enabled                 boolean      NOT NULL,
	domains                 text[]       NOT NULL,
	created_at              timestamptz  NOT NULL,
	updated_at              timestamptz  NOT NULL,
	created_by              text         NOT NULL,
	notes                   text,
	version                 bigint       NOT NULL,
	hash_salt               bigint       NOT NULL,
	unified_webhook         text         NOT NULL,
	default_webhook         text         NOT NULL,
	warning_error_rate_pct  numeric      NOT NULL,
	critical_error_rate_pct numeric      NOT NULL,
	warning_p95_ms          integer      NOT NULL,
	critical_p95_ms         integer      NOT NULL,
	min_requests            integer      NOT NULL,
	automatic_rollback      boolean      NOT NULL,
	log_retention           interval     NOT NULL,
	hash_senders            boolean      NOT NULL,
	advance_needs_proof     boolean      NOT NULL,
	conversation_timeout    interval     NOT NULL,
	keep_conversations      boolean      NOT NULL,
	change                  text         NOT NULL,
	CONSTRAINT webhook_routing_config_version_key UNIQUE (version),
	CONSTRAINT webhook_routing_config_percentage_check
		CHECK (percentage BETWEEN 0 AND 100),
	CONSTRAINT webhook_routing_config_updated_at_check
		CHECK (updated_at = created_at),
	CONSTRAINT webhook_routing_config_error_rates_check
		CHECK (warning_error_rate_pct > 0 AND critical_error_rate_pct <= 100
			   AND warning_error_rate_pct <= critical_error_rate_pct),
	CONSTRAINT webhook_routing_config_p95_check
		CHECK (warning_p95_ms > 0 AND warning_p95_ms <= critical_p95_ms),
	CONSTRAINT webhook_routing_config_min_requests_check
		CHECK (min_requests BETWEEN 1 AND 1000000),
	CONSTRAINT webhook_routing_config_log_retention_check
		CHECK (log_retention BETWEEN interval '1 day' AND interval '100 years'
			   AND extract(year FROM log_retention) >= 0 AND extract(month FROM log_retention) >= 0
			   AND extract(day FROM log_retention) >= 0 AND extract(hour FROM log_retention) >= 0
			   AND extract(minute FROM log_retention) >= 0
			   AND extract(second FROM log_retention) >= 0),
	CONSTRAINT webhook_routing_config_conversation_timeout_check
		CHECK (conversation_timeout BETWEEN interval '0' AND interval '30 days'
			   AND extract(year FROM conversation_timeout) >= 0
			   AND extract(month FROM conversation_timeout) >= 0
			   AND extract(day FROM conversation_timeout) >= 0
			   AND extract(hour FROM conversation_timeout) >= 0
			   AND extract(minute FROM conversation_timeout) >= 0
			   AND extract(second FROM conversation_timeout) >= 0)
);

-- The runbooks' own question: ORDER BY created_at DESC LIMIT 1.
CREATE INDEX webhook_routing_config_created_at_idx
	ON @extschema@.webhook_routing_config (created_at DESC);

COMMENT ON TABLE @extschema@.webhook_routing_config IS
	'Routing configuration and its whole history: append-only, the newest row is in force';
COMMENT ON COLUMN @extschema@.webhook_routing_config.percentage IS
	'Share of the senders of enrolled domains that is sent to the unified target; the verbs refuse more '
	'than two decimals, which an INSERT by hand has rounded before anything can look';
COMMENT ON COLUMN @extschema@.webhook_routing_config.enabled IS
	'The kill switch: when false every webhook goes to its legacy target';
COMMENT ON COLUMN @extschema@.webhook_routing_config.domains IS
	'Enrolled domains: those that may be routed';
COMMENT ON COLUMN @extschema@.webhook_routing_config.created_at IS
	'When this row came into force; later than every older row';
COMMENT ON COLUMN @extschema@.webhook_routing_config.updated_at IS
	'Equals created_at: a row never changes';
COMMENT ON COLUMN @extschema@.webhook_routing_config.created_by IS
	'Session user, and the role where it differs';
COMMENT ON COLUMN @extschema@.webhook_routing_config.notes IS
	'Why, in the words of whoever made the change';
COMMENT ON COLUMN @extschema@.webhook_routing_config.version IS
	'Predecessor + 1; names everything that decided, the rules included';
COMMENT ON COLUMN @extschema@.webhook_routing_config.hash_salt IS
	'Seed of the sender bucket; another salt reshuffles all senders';
COMMENT ON COLUMN @extschema@.webhook_routing_config.unified_webhook IS
	'Target of the webhooks that are routed';
COMMENT ON COLUMN @extschema@.webhook_routing_config.default_webhook IS
	'Target of what no rule claims';
COMMENT ON COLUMN @extschema@.webhook_routing_config.warning_error_rate_pct IS
	'Health: warning at or above this error rate, in percent';
COMMENT ON COLUMN @extschema@.webhook_routing_config.critical_error_rate_pct IS
	'Health: critical above this error rate, in percent';
COMMENT ON COLUMN @extschema@.webhook_routing_config.warning_p95_ms IS
	'Health: warning at or above this P95, in milliseconds';
COMMENT ON COLUMN @extschema@.webhook_routing_config.critical_p95_ms IS
	'Health: critical above this P95, in milliseconds';
COMMENT ON COLUMN @extschema@.webhook_routing_config.min_requests IS
	'Health: requests below which there is no verdict';
COMMENT ON COLUMN @extschema@.webhook_routing_config.automatic_rollback IS
	'Whether the guard may switch routing off by itself';
COMMENT ON COLUMN @extschema@.webhook_routing_config.log_retention IS
	'How long log rows are kept';
COMMENT ON COLUMN @extschema@.webhook_routing_config.hash_senders IS
	'Whether the log stores a keyed hash instead of the sender and the message id';
COMMENT ON COLUMN @extschema@.webhook_routing_config.advance_needs_proof IS
	'Whether rollout_advance() also demands that the error rate is shown to be below the critical one';
COMMENT ON COLUMN @extschema@.webhook_routing_config.conversation_timeout IS
	'How long after a message its sender''s next one without button or keyword goes to the same domain; '
	'0: not at all';
COMMENT ON COLUMN @extschema@.webhook_routing_config.keep_conversations IS
	'Whether a lower percentage leaves active conversations on unified until they are idle for '
	'conversation_timeout';
COMMENT ON COLUMN @extschema@.webhook_routing_config.change IS
	'What this row changed, old -> new, written by the system';

COMMENT ON CONSTRAINT webhook_routing_config_percentage_check ON @extschema@.webhook_routing_config IS
	'A share of senders is from 0 to 100 percent';
COMMENT ON CONSTRAINT webhook_routing_config_updated_at_check ON @extschema@.webhook_routing_config IS
	'A row never changes after it was created';
COMMENT ON CONSTRAINT webhook_routing_config_error_rates_check ON @extschema@.webhook_routing_config IS
	'Error rates are percentages, and a warning comes no later than critical';
COMMENT ON CONSTRAINT webhook_routing_config_p95_check ON @extschema@.webhook_routing_config IS
	'Latencies are positive, and a warning comes no later than critical';
COMMENT ON CONSTRAINT webhook_routing_config_min_requests_check ON @extschema@.webhook_routing_config IS
	'A verdict needs at least one request, and at most a million';
COMMENT ON CONSTRAINT webhook_routing_config_log_retention_check ON @extschema@.webhook_routing_config IS
	'The log is kept from a day to a hundred years, said without negative parts';
COMMENT ON CONSTRAINT webhook_routing_config_conversation_timeout_check
	ON @extschema@.webhook_routing_config IS
	'A conversation is remembered for up to 30 days, said without negative parts';
COMMENT ON CONSTRAINT webhook_routing_config_pkey ON @extschema@.webhook_routing_config IS
	'Decisions name a row by its id';
COMMENT ON CONSTRAINT webhook_routing_config_version_key ON @extschema@.webhook_routing_config IS
	'Two transactions cannot both make the same next version';
COMMENT ON INDEX @extschema@.webhook_routing_config_pkey IS
	'Finds the row that a decision names';
COMMENT ON INDEX @extschema@.webhook_routing_config_version_key IS
	'Finds the row in force: the highest version';
COMMENT ON INDEX @extschema@.webhook_routing_config_created_at_idx IS
	'Finds the newest row, and the one that was in force at a moment';

-- The row every installation starts with. Its id and date are fixed, so that a dump can leave it
-- out and a restore on any day finds the same one.
INSERT INTO @extschema@.webhook_routing_config VALUES (
	'00000000-0000-4000-8000-000000000001', 0, false, '{jobs,marketplace,property}',
	'2000-01-01 00:00:00+00', '2000-01-01 00:00:00+00', 'webhook_routing', 'Initial configuration',
	1, 0, 'wa-webhook-unified', 'wa-webhook', 0.1, 0.5, 2000, 3000, 50, false, '30 days', false,
	false, '0', false, 'installed');

-- Dumped in order of version: the trigger demands that each restored row follows its predecessor,
-- while the place of a row on disk may not tell its age.
SELECT pg_catalog.pg_extension_config_dump('@extschema@.webhook_routing_config',
	$$WHERE id <> '00000000-0000-4000-8000-000000000001' ORDER BY version$$);
