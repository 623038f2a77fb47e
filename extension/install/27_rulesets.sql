-- The rules of every config version. A config row is its own history; the rules are kept beside it, as
-- the text that they are compiled from, whenever they are not what they were. What was in force at a
-- version is its config row and, of these, the row with the highest config_version that is not above it.
--
-- The text says nothing that the config row says (extension/ruleset_text.c), so that a change of the
-- percentage, the switch or the enrolled domains adds nothing here.

CREATE TABLE @extschema@.webhook_routing_rulesets (
	config_version bigint      PRIMARY KEY,
	rules          text        NOT NULL,
	created_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE @extschema@.webhook_routing_rulesets IS
	'The rules of every config version, as text: a row whenever they changed, append-only';
COMMENT ON COLUMN @extschema@.webhook_routing_rulesets.config_version IS
	'First config version that these rules belong to; they do until the next row''s';
COMMENT ON COLUMN @extschema@.webhook_routing_rulesets.rules IS
	'Targets, domains and patterns as in routing_ruleset(), sorted; of a domain: enabled, not enrolled';
COMMENT ON COLUMN @extschema@.webhook_routing_rulesets.created_at IS
	'When they came into force';
COMMENT ON CONSTRAINT webhook_routing_rulesets_pkey ON @extschema@.webhook_routing_rulesets IS
	'A config version has one set of rules';
COMMENT ON INDEX @extschema@.webhook_routing_rulesets_pkey IS
	'Finds the rules that were in force at a config version';

CREATE FUNCTION @extschema@.webhook_routing_rules_text() RETURNS text
LANGUAGE c STRICT STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'webhook_routing_rules_text';
COMMENT ON FUNCTION @extschema@.webhook_routing_rules_text() IS
	'Internal: the rules as they are, as webhook_routing_rulesets keeps them';

-- The rules of version 1 are those of the installation, so a dump need not carry them.
INSERT INTO @extschema@.webhook_routing_rulesets
VALUES (1, @extschema@.webhook_routing_rules_text(), '2000-01-01 00:00:00+00');

SELECT pg_catalog.pg_extension_config_dump('@extschema@.webhook_routing_rulesets',
	'WHERE config_version > 1');

-- Runs under the lock that serialises changes, which the config row's own trigger has taken; an edit of
-- a rule appends its config row after the edit.
CREATE FUNCTION @extschema@.webhook_routing_keep_rules() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	present CONSTANT text := @extschema@.webhook_routing_rules_text();
BEGIN
	IF present IS DISTINCT FROM (SELECT r.rules FROM @extschema@.webhook_routing_rulesets r
								  ORDER BY r.config_version DESC LIMIT 1) THEN
		INSERT INTO @extschema@.webhook_routing_rulesets
		VALUES (NEW.version, present, NEW.created_at);
	END IF;
	RETURN NULL;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_keep_rules() IS
	'Internal: keep the rules of a new config version when they are not what they were';

CREATE FUNCTION @extschema@.webhook_routing_rulesets_refuse() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
		MESSAGE = format('%s on webhook_routing_rulesets is refused: it is written by the system alone',
						 TG_OP),
		HINT = 'Edit webhook_routing_targets, webhook_routing_domains or webhook_routing_keywords.';
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_rulesets_refuse() IS
	'Internal: refuse to write kept rules by hand';

-- Not for the rows of a dump, which brings the rules of its own time as well.
CREATE TRIGGER keep_rules AFTER INSERT ON @extschema@.webhook_routing_config
	FOR EACH ROW WHEN (pg_catalog.current_setting('search_path') NOT IN ('', '""'))
	EXECUTE FUNCTION @extschema@.webhook_routing_keep_rules();
COMMENT ON TRIGGER keep_rules ON @extschema@.webhook_routing_config IS
	'Keeps the rules of a new version when they are not what they were';

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON @extschema@.webhook_routing_rulesets
	FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.webhook_routing_rulesets_refuse();
COMMENT ON TRIGGER append_only ON @extschema@.webhook_routing_rulesets IS
	'Refuses to change or remove kept rules';
CREATE TRIGGER by_the_system BEFORE INSERT ON @extschema@.webhook_routing_rulesets
	FOR EACH STATEMENT
	WHEN (pg_catalog.pg_trigger_depth() = 0
		  AND pg_catalog.current_setting('search_path') NOT IN ('', '""'))
	EXECUTE FUNCTION @extschema@.webhook_routing_rulesets_refuse();
COMMENT ON TRIGGER by_the_system ON @extschema@.webhook_routing_rulesets IS
	'Refuses a row by hand; a dump''s are accepted';
