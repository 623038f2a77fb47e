-- route_explain() says in words what route_decide() does: the same code with somebody listening. Here:
-- that both agree, and how it reads.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS webhook_routing;
CREATE EXTENSION webhook_routing;
\set SHOW_CONTEXT never
CREATE FUNCTION said(body text) RETURNS text LANGUAGE sql AS $$
	SELECT json_build_object('from', '250788000001', 'type', 'text', 'message',
		json_build_object('id', 'wamid.1', 'text', json_build_object('body', body)))::text $$;
SELECT count(*) FROM set_routing_enabled(true);
SELECT count(*) FROM update_routing_percentage(27.58);

SELECT * FROM route_explain(said('I need a job and a house to rent'));
SELECT count(*) FROM update_routing_percentage(27.59);
SELECT * FROM route_explain(said('I need a job and a house to rent'));
SELECT * FROM route_explain(said('a ride, please'));
SELECT * FROM route_explain(said('Good morning'));
SELECT * FROM route_explain('{"object":"whatsapp_business_account","entry":[{"changes":[{"field":"messages","value":{"messages":'
	'[{"from":"1","id":"a","type":"text","text":{"body":"job"}},{"from":"2","id":"b","type":"interactive","interactive":'
	'{"type":"list_reply","list_reply":{"id":"rides","title":"Rides"}}}]}}]}]}');
SELECT * FROM route_explain('{"a": 1}'::jsonb);
SELECT * FROM route_explain('{"a": 1}'::json);
SELECT * FROM route_explain('\x7b'::bytea);
SELECT * FROM route_explain(said('no matter what'), 'wa-webhook-insurance');
SELECT * FROM route_explain(NULL::text);

-- The last step is the decision.
SELECT body, named FROM (VALUES (said('job'), NULL), (said('taxi'), NULL), (said('hello'), NULL), ('{', NULL), ('{}', NULL),
	(said('rent'), NULL), (said('job'), 'wa-webhook-property'), (said('job'), 'nowhere')) AS c (body, named),
	LATERAL (SELECT outcome FROM route_explain(body, named) ORDER BY step DESC LIMIT 1) e,
	route_decide(body, named) d
 WHERE outcome NOT LIKE d.webhook_name || ' (' || d.routed_to || '), ' || d.reason || '%';
-- Deciding does not cost what explaining does: it looks at nothing that it does not have to.
SELECT count(*) > 5 AS steps, max(step) = count(*) AS numbered FROM route_explain(said('job'));

DROP EXTENSION webhook_routing;
CREATE EXTENSION webhook_routing;
