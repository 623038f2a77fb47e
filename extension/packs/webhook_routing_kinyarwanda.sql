-- Kinyarwanda words for the six domains. \i this file in psql, with the schema of the extension in
-- the search_path; it may be run again, and leaves what is there as it is. Nouns stand in singular
-- and plural, since the prefix changes with the number; verbs in the infinitive and in the forms
-- "I want to" messages use.
--
-- To take the pack back: DELETE FROM webhook_routing_keywords WHERE language = 'rw';
INSERT INTO webhook_routing_keywords (domain, pattern, match, language)
SELECT domain, pattern, match, 'rw'
  FROM (VALUES
	('jobs',        'word',   '{akazi,umurimo,imirimo,umukozi,abakozi,umushahara,imishahara,"gusaba akazi"}'),
	('marketplace', 'prefix', '{kugura,kugurisha,ndagura,ndagurisha,muragurisha,mugurisha,gucuruz}'),
	('marketplace', 'word',   '{igicuruzwa,ibicuruzwa,iduka,amaduka,isoko,amasoko,ubucuruzi,umucuruzi,abacuruzi}'),
	('property',    'prefix', '{gukodesh,ndakodesh,murakodesh,ikodesh,kodesh}'),
	('property',    'word',   '{inzu,nzu,amazu,ubukode,icyumba,ibyumba,ikibanza,ibibanza,nyirinzu,umupangayi}'),
	('mobility',    'word',   '{urugendo,ingendo,umushoferi,abashoferi,tagisi,imodoka,gutwara}'),
	('profile',     'prefix', '{kwishyur,ubwishyu,kubitsa,kubikuza}'),
	('profile',     'word',   '{amafaranga,konti,ikofi,igihembo,ibihembo,umwirondoro}'),
	('insurance',   'prefix', '{ubwishingizi,kwishingir}'),
	('insurance',   'word',   '{umwishingizi,abishingizi}')
  ) AS pack (domain, match, patterns), unnest(patterns::text[]) AS pattern
ON CONFLICT DO NOTHING;
