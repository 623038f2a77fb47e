-- The language packs: one INSERT each, recorded as one change, repeatable, and taken back with one DELETE.
-- (How well they tell what customers mean is the corpus test's question.)
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS webhook_routing;
CREATE EXTENSION webhook_routing;
\set SHOW_CONTEXT never
\getenv srcdir PG_ABS_SRCDIR
\set french :srcdir '/extension/packs/webhook_routing_french.sql'
\set kinyarwanda :srcdir '/extension/packs/webhook_routing_kinyarwanda.sql'
\set swahili :srcdir '/extension/packs/webhook_routing_swahili.sql'
\set ECHO none
\i :french
\i :kinyarwanda
\i :swahili
\i :french
\i :kinyarwanda
\i :swahili
\set ECHO all
SELECT language, count(*) > 40 AS many, count(DISTINCT domain) AS domains, count(DISTINCT config_version) AS changes
  FROM webhook_routing_keywords WHERE language <> 'en' GROUP BY 1 ORDER BY 1;
SELECT count(*) AS changes FROM webhook_routing_config WHERE version > 1;
-- No word of a pack claims what another domain's word claims already.
SELECT finding FROM validate_routing_config() WHERE finding LIKE 'keyword%';
SELECT body, domain, matched FROM (VALUES ('Je cherche un emploi'), ('Maison à louer'), ('MAISON A LOUER'), ('Ndashaka akazi'),
	('Inzu ikodeshwa'), ('Ndashaka kugura'), ('Natafuta kazi'), ('Nyumba ya kupanga')) AS m (body),
	route_decide(json_build_object('from', '1', 'type', 'text', 'message', json_build_object('id', '1',
		'text', json_build_object('body', body)))) AS d;
DELETE FROM webhook_routing_keywords WHERE language = 'fr';
SELECT count(*) FROM webhook_routing_keywords WHERE language = 'fr';
SELECT domain FROM route_decide('{"from":"1","type":"text","message":{"id":"1","text":{"body":"emploi"}}}');

DROP EXTENSION webhook_routing;
CREATE EXTENSION webhook_routing;
