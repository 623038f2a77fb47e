-- What people have judged: one row for each verdict, with what the health said at that moment. The
-- table only grows, as webhook_routing_config does, and is numbered by the same lock.

CREATE TABLE @extschema@.webhook_routing_evaluations (
	id             uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
	created_at     timestamptz NOT NULL,
	created_by     text        NOT NULL,
	verdict        text        NOT NULL,
	notes          text,
	config_version bigint      NOT NULL,
	step           integer     NOT NULL,
	percentage     numeric     NOT NULL,
	severity       text        NOT NULL,
	health         jsonb       NOT NULL,
	CONSTRAINT webhook_routing_evaluations_verdict_check
		CHECK (verdict IN ('proceed', 'hold', 'rollback'))
);
CREATE INDEX webhook_routing_evaluations_created_at_idx
	ON @extschema@.webhook_routing_evaluations (created_at DESC);

COMMENT ON TABLE @extschema@.webhook_routing_evaluations IS
	'Verdicts of people on the rollout: append-only; the newest since the step began counts';
COMMENT ON COLUMN @extschema@.webhook_routing_evaluations.created_at IS
	'When it was given; later than every older one and than the configuration in force';
COMMENT ON COLUMN @extschema@.webhook_routing_evaluations.created_by IS
	'Session user, and the role where it differs';
COMMENT ON COLUMN @extschema@.webhook_routing_evaluations.verdict IS
	'proceed, hold or rollback';
COMMENT ON COLUMN @extschema@.webhook_routing_evaluations.notes IS
	'Why, in the words of whoever gave it';
COMMENT ON COLUMN @extschema@.webhook_routing_evaluations.config_version IS
	'The configuration that was in force';
COMMENT ON COLUMN @extschema@.webhook_routing_evaluations.step IS
	'How many steps of the plan had been reached; 0 before the first';
COMMENT ON COLUMN @extschema@.webhook_routing_evaluations.percentage IS
	'Share of senders on unified at that moment';
COMMENT ON COLUMN @extschema@.webhook_routing_evaluations.severity IS
	'The worst that the health said of the unified side of an enrolled domain';
COMMENT ON COLUMN @extschema@.webhook_routing_evaluations.health IS
	'The rows of check_routing_health() at that moment';
COMMENT ON CONSTRAINT webhook_routing_evaluations_pkey ON @extschema@.webhook_routing_evaluations IS
	'An evaluation is called by its id';
COMMENT ON CONSTRAINT webhook_routing_evaluations_verdict_check ON @extschema@.webhook_routing_evaluations IS
	'The verdicts that there are';
COMMENT ON INDEX @extschema@.webhook_routing_evaluations_pkey IS
	'Finds an evaluation by its id';
COMMENT ON INDEX @extschema@.webhook_routing_evaluations_created_at_idx IS
	'Finds the newest evaluation';

SELECT pg_catalog.pg_extension_config_dump('@extschema@.webhook_routing_evaluations',
	'ORDER BY created_at');

CREATE FUNCTION @extschema@.webhook_routing_evaluations_refuse() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
		MESSAGE = format('%s on webhook_routing_evaluations is refused: the table is a history', TG_OP),
		HINT = 'Give the new verdict instead: SELECT rollout_evaluate(''hold'', ''why'');';
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_evaluations_refuse() IS
	'Internal: refuse to change or remove an evaluation';

-- Every new row passes here: whoever adds one says the verdict and why; the rest is not for him to say.
CREATE FUNCTION @extschema@.webhook_routing_evaluation_added() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	step record;
BEGIN
	PERFORM @extschema@.webhook_routing_lock_rollout();
	PERFORM @extschema@.webhook_routing_check_value(
		NEW.verdict IN ('proceed', 'hold', 'rollback'), 'verdict'::text, NEW.verdict,
		'proceed, hold, rollback'::text);
	SELECT * INTO STRICT step FROM @extschema@.webhook_routing_rollout_step();
	NEW.id := gen_random_uuid();
	NEW.created_at := greatest(clock_timestamp(),
		(@extschema@.get_current_routing_config()).created_at + interval '1 microsecond',
		(SELECT max(e.created_at) + interval '1 microsecond'
		   FROM @extschema@.webhook_routing_evaluations e));
	NEW.created_by := @extschema@.webhook_routing_who();
	NEW.config_version := step.version;
	NEW.step := step.step;
	NEW.percentage := step.percentage;
	NEW.severity := @extschema@.webhook_routing_rollout_severity();
	NEW.health := (SELECT coalesce(jsonb_agg(to_jsonb(h)), '[]')
					 FROM @extschema@.check_routing_health(NULL::interval) h);
	RETURN NEW;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_evaluation_added() IS
	'Internal: complete a new evaluation with who, when and what the health says';

-- A dump brings rows complete while the search_path is empty; only the owner may bring one.
CREATE TRIGGER a_owner_only BEFORE INSERT ON @extschema@.webhook_routing_evaluations
	FOR EACH ROW WHEN (NEW.config_version IS NOT NULL
					   AND pg_catalog.current_setting('search_path') IN ('', '""'))
	EXECUTE FUNCTION @extschema@.webhook_routing_owner_only();
CREATE TRIGGER b_new_row BEFORE INSERT ON @extschema@.webhook_routing_evaluations
	FOR EACH ROW WHEN (NEW.config_version IS NULL
					   OR pg_catalog.current_setting('search_path') NOT IN ('', '""'))
	EXECUTE FUNCTION @extschema@.webhook_routing_evaluation_added();
CREATE TRIGGER append_only
	BEFORE UPDATE OR DELETE OR TRUNCATE ON @extschema@.webhook_routing_evaluations
	FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.webhook_routing_evaluations_refuse();
COMMENT ON TRIGGER a_owner_only ON @extschema@.webhook_routing_evaluations IS
	'Lets nobody but the owner restore a row';
COMMENT ON TRIGGER b_new_row ON @extschema@.webhook_routing_evaluations IS
	'Completes a new row with who, when and what the health says';
COMMENT ON TRIGGER append_only ON @extschema@.webhook_routing_evaluations IS
	'Refuses to change or remove a row';
