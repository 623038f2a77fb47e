-- The way back is never refused, whatever is wrong with the rules: here a state that no edit can make,
-- but a dump can bring, since restored rows are not checked.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS webhook_routing CASCADE;
CREATE EXTENSION webhook_routing;
SELECT (update_routing_percentage(50)).percentage, (set_routing_enabled(true)).enabled;
SET search_path = '';
INSERT INTO public.webhook_routing_domains
	(domain, legacy_target, protected, priority, enabled, installed, is_seed, config_version)
VALUES ('mobility', 'wa-webhook-unified', true, 40, true, true, false, 1);
RESET search_path;
RESET client_min_messages;

-- What would send more people to unified is refused until that is mended ...
\set VERBOSITY terse
SELECT update_routing_percentage(60);
SELECT set_routing_domains('{jobs,marketplace,property,insurance}');
-- ... and what takes people back is not.
SELECT percentage FROM update_routing_percentage(40);
SELECT domains FROM set_routing_domains('{jobs}');
SELECT enabled FROM set_routing_enabled(false);
SELECT set_routing_enabled(true);
\set VERBOSITY default
SELECT version, percentage, enabled, domains FROM get_current_routing_config();

SET client_min_messages = warning;
DROP EXTENSION webhook_routing CASCADE;
CREATE EXTENSION webhook_routing;
