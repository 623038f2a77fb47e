-- One line of TAP per language of :languages; with :packs the language packs are installed. Each miss
-- is shown. Keywords cannot understand ("this link is not working" is no job), so the bar is 97 in
-- 100, not all.
WITH decided AS (
    SELECT s.language, s.domain AS wanted, s.sentence, d.domain, d.matched
    FROM sentence AS s,
         route_decide(convert_to(json_build_object('from', '250788100000', 'type', 'text', 'message',
             json_build_object('id', 'wamid.S', 'text', json_build_object('body', s.sentence)))::text, 'UTF8')) AS d
    WHERE s.language = ANY (:'languages'::text[])
)
SELECT concat(CASE WHEN count(*) FILTER (WHERE domain = wanted) >= 0.97 * count(*) THEN 'ok - ' ELSE 'not ok - ' END,
              'sentences, ', language, CASE WHEN :'packs'::boolean THEN ' with all packs' END, ': ',
              count(*) FILTER (WHERE domain = wanted), ' of ', count(*), ' land where a person would put them',
              string_agg(format(E'\n# missed: "%s" is %s, decided %s%s', sentence, wanted, domain, ' by ' || matched), '')
                  FILTER (WHERE domain <> wanted))
FROM decided GROUP BY language ORDER BY language;
