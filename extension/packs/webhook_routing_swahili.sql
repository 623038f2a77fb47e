-- Swahili words for the six domains. \i this file in psql, with the schema of the extension in the
-- search_path; it may be run again, and leaves what is there as it is. Left out on purpose, since
-- they mean something else in other sentences: karibu (welcome), kupanga (to arrange), mali.
--
-- To take the pack back: DELETE FROM webhook_routing_keywords WHERE language = 'sw';
INSERT INTO webhook_routing_keywords (domain, pattern, match, language)
SELECT domain, pattern, match, 'sw'
  FROM (VALUES
	('jobs',        'prefix', '{ajira,kuajiri,mshahara}'),
	('jobs',        'word',   '{kazi,mfanyakazi,wafanyakazi,"nafasi za kazi"}'),
	('marketplace', 'prefix', '{kununua,nunua,ninunu,kuuza,biashara,bidhaa}'),
	('marketplace', 'word',   '{nauza,ninauza,mnauza,duka,maduka,soko,masoko,oda,agiza,kuagiza,dalali,madalali}'),
	('property',    'prefix', '{nyumba,kukodi,mpangaji}'),
	('property',    'word',   '{kodi,pango,chumba,vyumba,kiwanja,viwanja,wapangaji,"mwenye nyumba"}'),
	('mobility',    'prefix', '{safari,usafiri,usafirishaji}'),
	('mobility',    'word',   '{dereva,madereva,teksi,bodaboda,mizigo}'),
	('profile',     'prefix', '{malipo,akaunti}'),
	('profile',     'word',   '{pesa,fedha,pochi,salio,lipa,kulipa,amana,zawadi,wasifu}'),
	('insurance',   'word',   '{bima,"kampuni ya bima",fidia}')
  ) AS pack (domain, match, patterns), unnest(patterns::text[]) AS pattern
ON CONFLICT DO NOTHING;
