-- One session: what it changes itself is in force for its next statement, is gone after a rollback, and
-- a dropped extension leaves nothing behind. (What others change: test/isolation, test/t.)
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS webhook_routing;
CREATE EXTENSION webhook_routing;
\set SHOW_CONTEXT never
CREATE FUNCTION state() RETURNS text LANGUAGE sql VOLATILE AS $$
	SELECT format('%s %s %s', routed_to, reason, config_version) FROM route_decide(convert_to(
		'{"from":"250788000001","type":"text","message":{"id":"1","text":{"body":"I need a job"}}}', 'UTF8')) $$;

SELECT state();
SELECT version FROM set_routing_enabled(true);
SELECT version FROM update_routing_percentage(100);
SELECT state();

-- In a transaction, after a rollback, and after a rollback to a savepoint.
BEGIN;
SELECT version FROM set_routing_enabled(false);
SELECT state();
ROLLBACK;
SELECT state();
BEGIN;
SAVEPOINT a;
UPDATE webhook_routing_domains SET percentage = 0 WHERE domain = 'jobs';
SELECT state();
ROLLBACK TO SAVEPOINT a;
SELECT state();
COMMIT;
SELECT state();
-- In one function, which has one snapshot under REPEATABLE READ; and after an error that is caught.
BEGIN ISOLATION LEVEL REPEATABLE READ;
DO $$
DECLARE
	seen text := state();
BEGIN
	PERFORM set_routing_enabled(false);
	seen := seen || ', ' || state();
	BEGIN
		PERFORM set_routing_enabled(true);
		seen := seen || ', ' || state();
		RAISE division_by_zero;
	EXCEPTION WHEN division_by_zero THEN
		seen := seen || ', ' || state();
	END;
	RAISE WARNING '%', seen;
END $$;
ROLLBACK;

-- Each table counts; so does a change by hand.
UPDATE webhook_routing_keywords SET enabled = false WHERE domain = 'jobs' AND pattern IN ('job', 'jobs');
SELECT state();
UPDATE webhook_routing_keywords SET enabled = true WHERE domain = 'jobs';
SELECT state();
INSERT INTO webhook_routing_config (percentage) VALUES (0);
SELECT state();
UPDATE webhook_routing_targets SET timeout_ms = 1000 WHERE name = 'wa-webhook-jobs';
SELECT state();
SELECT config_version, snapshot LIKE E'%\nconfig\t%\t7\t0.00\tt\t0\twa-webhook-unified\twa-webhook\n%' AS config,
	   snapshot LIKE E'%\ntarget\twa-webhook-jobs\t\\\\N\t1000\terror\tf\n%' AS target,
	   snapshot LIKE E'%\ndomain\tjobs\twa-webhook-jobs\tf\t\\\\N\t20\tt\n%' AS domain,
	   snapshot LIKE E'%\npattern\tproperty\tkeyword\tword\treal estate\n%' AS pattern
  FROM routing_ruleset();

-- The extension made anew, also in another schema: other tables, the same session.
DROP EXTENSION webhook_routing;
SELECT state();
CREATE EXTENSION webhook_routing;
SELECT state();
SELECT version FROM set_routing_enabled(true);
SELECT state();
BEGIN;
DROP EXTENSION webhook_routing;
CREATE SCHEMA regress_routing_other;
CREATE EXTENSION webhook_routing SCHEMA regress_routing_other;
SET LOCAL search_path = regress_routing_other, public;
SELECT state();
ROLLBACK;
SELECT state();
-- Rebuilt from outside, as by VACUUM FULL, REINDEX and TRUNCATE of nothing.
VACUUM FULL webhook_routing_config, webhook_routing_keywords;
REINDEX TABLE webhook_routing_config;
SELECT state();

DROP FUNCTION state();
DROP EXTENSION webhook_routing;
CREATE EXTENSION webhook_routing;
