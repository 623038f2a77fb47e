-- Everything ever done is in the history: who, when, old -> new, why; forced moves are marked, and
-- nobody can write himself in or out.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS webhook_routing;
CREATE EXTENSION webhook_routing;
\set SHOW_CONTEXT never
DROP ROLE IF EXISTS regress_operator, regress_viewer;
CREATE ROLE regress_operator;
CREATE ROLE regress_viewer;
SELECT count(*) > 0 AS granted FROM grant_routing_role('operator', 'regress_operator');
SELECT count(*) > 0 AS granted FROM grant_routing_role('viewer', 'regress_viewer');

SET ROLE regress_operator;
SELECT version FROM set_routing_enabled(true, 'we begin today');
SELECT version FROM rollout_advance('first step, everybody is at their desk');
SELECT verdict FROM rollout_evaluate('hold', 'the unified function is being deployed');
SELECT version FROM rollout_advance('the deployment was harmless', force => true);
UPDATE webhook_routing_plan SET enabled = false, notes = 'we go faster' WHERE percentage = 35;
UPDATE webhook_routing_plan SET notes = 'faster, as agreed with support' WHERE percentage = 35;
UPDATE webhook_routing_keywords SET enabled = false WHERE (domain, pattern) = ('jobs', 'gig');
INSERT INTO webhook_routing_keywords (domain, pattern) VALUES ('jobs', 'forced past something');
SELECT version FROM update_routing_settings('{"min_requests": 100}', 'more evidence');
SELECT verdict FROM rollout_evaluate('rollback');
SELECT version FROM rollout_back('complaints');
SELECT version FROM update_routing_percentage(12.5);
SELECT version FROM set_routing_domains('{jobs}', 'only jobs for now');
SELECT version FROM set_routing_enabled(false);
RESET ROLE;
INSERT INTO webhook_routing_config (percentage, notes) VALUES (10, 'by hand');

-- As it is read, but for the time.
SELECT version, replace(who, session_user, 'me') AS who, what, why FROM webhook_routing_history;
-- Newest first, complete, and every row says who and when.
SELECT count(*) = (SELECT count(*) FROM webhook_routing_config) + (SELECT count(*) FROM webhook_routing_evaluations) AS complete,
	   bool_and(who <> '' AND what <> '' AND at IS NOT NULL) AS who_and_what,
	   array_agg(at) = array_agg(at ORDER BY at DESC) AS newest_first
  FROM webhook_routing_history;
-- It fits 100 columns: the date takes 22, the rules and the blanks between columns 14.
SELECT 22 + 7 + 14 + max(length(a)) + max(length(b)) + max(length(c)) <= 100 AS fits
  FROM webhook_routing_history h, regexp_split_to_table(h.who, '\n') a, regexp_split_to_table(h.what, '\n') b,
	   regexp_split_to_table(h.why, '\n') c;

-- Viewers read it, the plan and the evaluations, and touch nothing.
SET ROLE regress_viewer;
SELECT count(*) > 0 AS reads FROM webhook_routing_history;
SELECT count(*) > 0 AS reads FROM webhook_routing_evaluations;
SELECT count(*) > 0 AS reads FROM webhook_routing_plan;
SELECT count(*) > 0 AS reads FROM rollout_status();
SELECT rollout_evaluate('proceed');
SELECT rollout_advance('why');
SELECT rollout_back('why');
UPDATE webhook_routing_plan SET soak = '0';
-- Operators change it by the verbs alone.
SET ROLE regress_operator;
INSERT INTO webhook_routing_evaluations (verdict) VALUES ('proceed');
DELETE FROM webhook_routing_evaluations;
INSERT INTO webhook_routing_config (percentage) VALUES (100);
SELECT set_config('search_path', '', false);
INSERT INTO public.webhook_routing_plan (percentage, soak, config_version) VALUES (1, '0', 1);
RESET search_path;
RESET ROLE;

-- Words that are longer than a line: an address in a reason, names as long as names may be.
CREATE ROLE regress_a_colleague_whose_name_is_as_long_as_that_of_a_role_is;
SELECT count(*) > 0 AS granted FROM grant_routing_role('operator', 'regress_a_colleague_whose_name_is_as_long_as_that_of_a_role_is');
INSERT INTO webhook_routing_domains (domain, legacy_target) VALUES (rpad('a', 63, 'long-name-'), 'wa-webhook-jobs');
SET ROLE regress_a_colleague_whose_name_is_as_long_as_that_of_a_role_is;
SELECT version > 0 AS set FROM set_routing_domains(ARRAY[rpad('a', 63, 'long-name-')],
	'https://tickets.example.org/browse/ROLLOUT-1234?focusedId=10100#comment-10100, and no more');
RESET ROLE;
SELECT replace(who, session_user, 'me') AS who, what, why FROM webhook_routing_history LIMIT 1;
SELECT item, state, detail FROM rollout_status() WHERE item ~ '^along';
SELECT max(length(a)) AS who, max(length(b)) AS what, max(length(c)) AS why
  FROM webhook_routing_history, string_to_table(who, E'\n') a, string_to_table(what, E'\n') b, string_to_table(why, E'\n') c;
DROP OWNED BY regress_a_colleague_whose_name_is_as_long_as_that_of_a_role_is;
DROP ROLE regress_a_colleague_whose_name_is_as_long_as_that_of_a_role_is;
DROP OWNED BY regress_operator, regress_viewer;
DROP ROLE regress_operator, regress_viewer;
SET client_min_messages = warning;
DROP EXTENSION webhook_routing;
CREATE EXTENSION webhook_routing;
