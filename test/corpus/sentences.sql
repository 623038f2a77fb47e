-- One line of TAP per sentence of :languages; with :packs the language packs are installed.
SELECT concat(CASE WHEN d.domain = s.domain THEN 'ok - ' ELSE 'not ok - ' END, s.language,
              CASE WHEN :'packs'::boolean THEN ', all packs: ' ELSE ': ' END, s.domain, ': ',
              replace(s.sentence, '#', '\#'),
              CASE WHEN d.domain <> s.domain THEN format(E'\n# decided %s by %s', d.domain, d.matched) END)
FROM sentence AS s,
     route_decide(convert_to(json_build_object('from', '250788100000', 'type', 'text', 'message',
         json_build_object('id', 'wamid.S', 'text', json_build_object('body', s.sentence)))::text, 'UTF8')) AS d
WHERE s.language = ANY (:'languages'::text[]);
