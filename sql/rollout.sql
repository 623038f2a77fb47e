-- The rollout: each gate refused by its name and opened by its command, the way back that nothing
-- closes, the plan, forced moves, and what the status says of it all.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS webhook_routing;
CREATE EXTENSION webhook_routing;
\set SHOW_CONTEXT never
\set VERBOSITY terse

-- A config row of the past, as a dump brings one: the step at this percentage began that long ago.
CREATE PROCEDURE began(share numeric, ago interval) LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
	moment timestamptz := clock_timestamp() - ago;
BEGIN
	INSERT INTO public.webhook_routing_config
	SELECT (jsonb_populate_record(c, jsonb_build_object('id', gen_random_uuid(), 'percentage', share,
		'enabled', true, 'created_at', moment, 'updated_at', moment, 'version', c.version + 1, 'change', 'restored'))).*
	  FROM public.webhook_routing_config c ORDER BY c.version DESC LIMIT 1;
END $$;
-- Requests of one domain and side under the configuration in force, errors among them.
CREATE PROCEDURE traffic(requests integer, errors integer DEFAULT 0, domain text DEFAULT 'jobs', side text DEFAULT 'unified')
LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, response_time_ms, config_version)
	SELECT 'w', domain, side, CASE WHEN n <= errors THEN 'error' ELSE 'success' END, 50, version
	  FROM generate_series(1, requests) n, get_current_routing_config();
END $$;
-- What the status says, without what the clock and the name of the session say.
CREATE FUNCTION masked(said text) RETURNS text LANGUAGE sql AS $$
	SELECT regexp_replace(regexp_replace(regexp_replace(said, '\d{4}-\d\d-\d\d\s\d\d:\d\d\s\w+', '<time>', 'g'),
		'<time>, for .*', '<time>, for <long>'), 'by \w+ at', 'by <me> at') $$;
CREATE FUNCTION status(items text DEFAULT '.') RETURNS TABLE (item text, state text, ok boolean, detail text)
LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT s.item, s.state, s.ok,
						masked(CASE s.item WHEN 'evaluation' THEN translate(s.detail, E'\n', ' ') ELSE s.detail END)
				   FROM rollout_status() s WHERE s.item ~ items;
END $$;
-- How a command is refused, in full.
CREATE FUNCTION refusal(command text) RETURNS TABLE (code text, message text, detail text, hint text)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE command;
	message := 'not refused';
	RETURN NEXT;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
		hint = PG_EXCEPTION_HINT;
	detail := masked(detail);
	hint := masked(hint);
	RETURN NEXT;
END $$;
\set fresh 'SET client_min_messages = warning; DROP EXTENSION webhook_routing; CREATE EXTENSION webhook_routing; RESET client_min_messages;'

-- The plan.
SELECT percentage, soak, enabled, notes, installed, is_seed FROM webhook_routing_plan ORDER BY percentage;

-- Of a step of 40 days the last 30 count, so that looking at it takes no longer than at one of 30.
:fresh
CALL began(10, '40 days');
CALL traffic(60);
UPDATE webhook_routing_rollups SET minute = minute - interval '31 days';
SELECT * FROM status('data|jobs');
SELECT * FROM refusal('SELECT rollout_advance()') \gx
UPDATE webhook_routing_rollups SET minute = minute + interval '2 days';
SELECT * FROM status('data|jobs');

-- At 0 % there is no gate, but routing has to be enabled.
:fresh
SELECT * FROM status();
SELECT * FROM refusal('SELECT rollout_advance()') \gx
SELECT version FROM set_routing_enabled(true, 'go');
SELECT * FROM status('^next');
SELECT version, percentage, notes, change FROM rollout_advance('first step');

-- Too early: the soak is not over, whatever else may be.
:fresh
CALL began(10, '3 hours 29 minutes 30 seconds');
CALL traffic(100);
SELECT (rollout_evaluate('proceed', 'looks fine')).verdict;
SELECT * FROM refusal('SELECT rollout_advance()') \gx

-- Too little data over all enrolled domains together; a domain that is quiet does not block, and
-- what was before the step, on legacy or of domains that are not enrolled does not count.
:fresh
CALL began(10, '10 hours');
CALL traffic(60);
CALL began(25, '5 hours');
CALL traffic(60, 0, 'jobs', 'legacy');
CALL traffic(60, 0, 'insurance', 'unified');
CALL traffic(29);
CALL traffic(20, 0, 'property');
SELECT (rollout_evaluate('proceed', 'looks fine')).severity;
SELECT * FROM refusal('SELECT rollout_advance()') \gx
SELECT * FROM status('data|^next$');
CALL traffic(1, 0, 'property');
SELECT percentage FROM rollout_advance('enough');

-- Nobody has judged; one proceed opens, a later hold closes, and so does a rollback, which moves nothing.
:fresh
CALL began(10, '5 hours');
CALL traffic(100);
SELECT * FROM refusal('SELECT rollout_advance()') \gx
SELECT (rollout_evaluate('proceed', 'looks fine')).verdict;
SELECT * FROM status('eval|^next$');
SELECT (rollout_evaluate('hold', 'the other team deploys')).verdict;
SELECT * FROM refusal('SELECT rollout_advance()') \gx
SELECT (rollout_evaluate('rollback', 'complaints')).verdict;
SELECT version FROM rollout_advance('unjudged');
SELECT percentage FROM get_current_routing_config();
SELECT (rollout_evaluate('proceed', 'sorted out')).verdict;
SELECT percentage FROM rollout_advance('judged');
-- A step is judged for itself, also the same one when it is begun again.
SELECT verdict, step, percentage, config_version, severity, created_by = session_user AS by_me,
	   health @> '[{"domain": "jobs", "routed_to": "unified", "severity": "healthy"}]' AS health
  FROM webhook_routing_evaluations ORDER BY created_at;
SELECT * FROM status('eval');
SELECT percentage FROM rollout_back('once more');
SELECT * FROM status('soak|data|eval');

-- Critical blocks whatever was said, and both the refusal and the status name the way back.
:fresh
CALL began(10, '5 hours');
CALL traffic(100);
SELECT (rollout_evaluate('proceed', 'looks fine')).verdict;
CALL traffic(49, 49, 'property');
SELECT * FROM refusal('SELECT rollout_advance()') \gx
SELECT (rollout_evaluate('proceed', 'who cares')).verdict;
SELECT version FROM rollout_advance('blind');
SELECT item, state, ok FROM status('health|property');

-- A warning passes on a proceed that was given after it appeared, and not on one before.
:fresh
CALL began(10, '5 hours');
CALL traffic(400);
SELECT (rollout_evaluate('proceed', 'no warning yet')).severity;
CALL traffic(100, 1, 'property');
SELECT * FROM refusal('SELECT rollout_advance()') \gx
SELECT item, state, ok FROM status('warn|property|^next$');
SELECT (rollout_evaluate('proceed', 'one timeout, known')).severity;
SELECT item, state, ok FROM status('warn');
-- Another one in another domain is another warning.
CALL traffic(100, 1, 'marketplace');
SELECT version FROM rollout_advance('warned');
SELECT (rollout_evaluate('proceed', 'another one')).severity;
SELECT percentage FROM rollout_advance('warned');
-- So is another one in the same domain: late answers, after a proceed that had seen errors.
:fresh
CALL began(10, '5 hours');
CALL traffic(100, 1);
SELECT (rollout_evaluate('proceed', 'one timeout, known')).severity;
INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, response_time_ms, config_version)
SELECT 'w', 'jobs', 'unified', 'success', 2500, 2 FROM generate_series(1, 20);
SELECT * FROM refusal('SELECT rollout_advance()') \gx
SELECT (rollout_evaluate('proceed', 'slow, but all of it expected')).severity;
-- More of the same is no other warning.
CALL traffic(20, 1);
SELECT item, state, ok FROM status('warn|^next$');
-- Environmental, both sides being bad, blocks as a warning does, and is another thing than a warning.
:fresh
CALL began(10, '5 hours');
CALL traffic(100, 1);
SELECT (rollout_evaluate('proceed', 'one timeout')).severity;
CALL traffic(100, 1, 'jobs', 'legacy');
SELECT item, state, ok FROM status('warn|jobs');
SELECT version FROM rollout_advance('both');
SELECT (rollout_evaluate('proceed', 'the network')).severity;
SELECT percentage FROM rollout_advance('both');

-- A setting demands proof as well, of the domains that have enough for a verdict.
:fresh
CALL began(10, '5 hours');
CALL traffic(597);
CALL traffic(10, 0, 'property');
SELECT (rollout_evaluate('proceed', 'looks fine')).verdict;
SELECT * FROM status('proof');
SELECT version FROM update_routing_settings('{"advance_needs_proof": true}', 'we can wait');
SELECT * FROM status('proof');
SELECT * FROM refusal('SELECT rollout_advance()') \gx
CALL traffic(1);
SELECT * FROM status('proof');
SELECT percentage FROM rollout_advance('proven');

-- Force takes a reason, names what it passed, and passes neither the switch nor the end of the plan.
:fresh
CALL began(10, '3 hours 29 minutes 30 seconds');
CALL traffic(49, 49);
SELECT * FROM refusal('SELECT rollout_advance(force => true)') \gx
SELECT rollout_advance('  ', true);
SELECT percentage, notes, change FROM rollout_advance('the boss wants it', force => true);
SELECT version FROM set_routing_enabled(false, 'stop');
SELECT rollout_advance('go on', force => true);
-- The end of the plan.
:fresh
CALL began(100, '50 hours');
CALL traffic(100);
SELECT (rollout_evaluate('proceed', 'looks fine')).verdict;
SELECT * FROM refusal('SELECT rollout_advance()') \gx
UPDATE webhook_routing_plan SET enabled = false WHERE percentage > 50;
SELECT version FROM update_routing_percentage(50);
SELECT * FROM refusal($$SELECT rollout_advance('more', force => true)$$) \gx
-- With all gates open there is nothing to force.
:fresh
CALL began(10, '5 hours');
CALL traffic(100);
SELECT (rollout_evaluate('proceed', 'looks fine')).verdict;
SELECT percentage, change FROM rollout_advance('why not', force => true);

-- A percentage set by hand: the next step is the lowest above, the soak that of the highest beneath;
-- beneath the first, that of the first.
:fresh
CALL began(33.3, '3 hours 59 minutes 30 seconds');
SELECT * FROM status('step|soak|way');
CALL traffic(100);
SELECT (rollout_evaluate('proceed', 'looks fine')).step;
SELECT rollout_advance('more');
:fresh
CALL began(33.3, '4 hours');
CALL traffic(100);
SELECT (rollout_evaluate('proceed', 'looks fine')).step;
SELECT percentage FROM rollout_advance('more');
:fresh
CALL began(5, '3 hours 59 minutes 30 seconds');
SELECT * FROM status('step|soak|way');

-- What does not decide anything, a change of the rules or of settings, does not begin the step anew.
:fresh
CALL began(10, '5 hours');
CALL traffic(100);
SELECT (rollout_evaluate('proceed', 'looks fine')).verdict;
UPDATE webhook_routing_plan SET soak = '3 hours', notes = 'quiet week' WHERE percentage = 10;
SELECT version FROM update_routing_settings('{"log_retention": "60 days"}');
SELECT * FROM status('soak|data|eval');
-- The kill switch does, and so do other domains.
SELECT version FROM set_routing_enabled(false);
SELECT version FROM set_routing_enabled(true);
SELECT * FROM status('soak|data|eval');

-- A ceiling of a domain's own is shown; so is what the whole of it looks like.
UPDATE webhook_routing_domains SET percentage = 5 WHERE domain = 'property';
UPDATE webhook_routing_domains SET percentage = 50 WHERE domain = 'marketplace';
SELECT * FROM status();
SELECT max(length(i.item)) + max(length(a)) + max(length(b)) + 13 <= 100 AS fits
  FROM rollout_status() i, regexp_split_to_table(i.state, '\n') a, regexp_split_to_table(i.detail, '\n') b;

-- The way back, from wherever.
:fresh
CALL began(100, '1 hour');
SELECT percentage, change FROM rollout_back('step by step');
SELECT percentage, notes FROM rollout_back();
SELECT percentage, notes FROM rollout_back(NULL);
SELECT version FROM set_routing_enabled(false, 'stop');
SELECT percentage, enabled FROM rollout_back('disabled');
SELECT version FROM update_routing_percentage(33.3);
SELECT percentage FROM rollout_back('from in between');
UPDATE webhook_routing_plan SET enabled = false;
SELECT percentage FROM rollout_back('without a plan');
SELECT percentage, change FROM rollout_back('further than that');
-- With rules that no other change would pass.
:fresh
CALL began(50, '1 hour');
SELECT set_config('search_path', '', false);
INSERT INTO public.webhook_routing_targets (name, retired, config_version) VALUES ('wa-webhook-unified', true, 2);
RESET search_path;
SELECT severity, finding FROM validate_routing_config() WHERE severity = 'error';
SELECT version FROM update_routing_percentage(60);
SELECT percentage FROM rollout_back('broken rules');
SELECT set_config('search_path', '', false);
INSERT INTO public.webhook_routing_domains (domain, legacy_target, config_version)
SELECT 'd' || n, 'wa-webhook', 3 FROM generate_series(1, 300) n;
RESET search_path;
SELECT severity, finding FROM validate_routing_config() WHERE severity = 'error';
SELECT percentage FROM rollout_back('rules that nobody can compile');

-- One statement makes one move, also when it calls once for each column.
:fresh
CALL began(50, '1 hour');
SELECT version, percentage FROM (SELECT (rollout_back('expanded')).*) AS expanded;
SELECT version, percentage FROM (SELECT (rollout_advance('expanded', true)).*) AS expanded;
SELECT verdict FROM (SELECT (rollout_evaluate('hold', 'expanded')).*) AS expanded;
SELECT count(*) FROM webhook_routing_evaluations;

-- What is refused of the plan, and what is recorded.
INSERT INTO webhook_routing_plan (percentage, soak, notes) VALUES (5, '1 hour', 'a careful beginning');
UPDATE webhook_routing_plan SET percentage = 7.5 WHERE percentage = 5;
UPDATE webhook_routing_plan SET soak = '4 hours' WHERE percentage = 10;
DELETE FROM webhook_routing_plan WHERE NOT installed;
SELECT version, notes, change FROM webhook_routing_config ORDER BY version DESC LIMIT 3;
SELECT percentage, is_seed FROM webhook_routing_plan WHERE is_seed IS DISTINCT FROM true;
INSERT INTO webhook_routing_plan (percentage, soak) VALUES (10, '1 hour');
INSERT INTO webhook_routing_plan (percentage, soak) VALUES (0, '1 hour');
INSERT INTO webhook_routing_plan (percentage, soak) VALUES (100.5, '1 hour');
INSERT INTO webhook_routing_plan (percentage, soak) VALUES (99.996, '1 hour');
INSERT INTO webhook_routing_plan (percentage, soak) VALUES (20, '-1 hour');
INSERT INTO webhook_routing_plan (percentage, soak) VALUES (20, '1 day -1 hour');
INSERT INTO webhook_routing_plan (percentage, soak) VALUES (20, '2 years');
INSERT INTO webhook_routing_plan (percentage, soak) VALUES (20, NULL);
UPDATE webhook_routing_plan SET percentage = 11 WHERE percentage = 10;
DELETE FROM webhook_routing_plan WHERE percentage = 10;
TRUNCATE webhook_routing_plan;

-- What is refused of evaluations.
SELECT rollout_evaluate(NULL);
SELECT rollout_evaluate('perhaps');
UPDATE webhook_routing_evaluations SET verdict = 'proceed';
DELETE FROM webhook_routing_evaluations;
TRUNCATE webhook_routing_evaluations;
-- A row by hand says no more than its verdict and why.
INSERT INTO webhook_routing_evaluations (verdict, notes, created_by, created_at, config_version, severity, health)
VALUES ('proceed', 'by hand', 'somebody else', '2001-01-01', 1, 'healthy', '[]')
RETURNING created_by = session_user AS by_me, created_at > now() - interval '1 minute' AS now,
		  config_version = (get_current_routing_config()).version AS current, severity;

-- Who judges has to see the present.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT rollout_evaluate('proceed');
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT rollout_advance('why');
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT percentage FROM rollout_back('always');
COMMIT;

DROP PROCEDURE began(numeric, interval), traffic(integer, integer, text, text);
DROP FUNCTION status(text), refusal(text), masked(text);
SET client_min_messages = warning;
DROP EXTENSION webhook_routing;
CREATE EXTENSION webhook_routing;
