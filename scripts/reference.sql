-- Prints the SQL reference as Markdown from the COMMENTs of a live database. Run by
-- scripts/reference.sh with psql -XAtq; nothing here knows an object by name.
SET search_path = pg_catalog;

CREATE TEMP VIEW member AS
SELECT d.classid, d.objid
  FROM pg_depend d JOIN pg_extension e ON d.refobjid = e.oid AND d.refclassid = 'pg_extension'::regclass
 WHERE e.extname = 'webhook_routing' AND d.deptype = 'e';

-- A comment inside a table cell: one line, no cell border.
CREATE FUNCTION pg_temp.cell(comment text) RETURNS text LANGUAGE sql AS
$$SELECT replace(regexp_replace(coalesce(comment, ''), '\s+', ' ', 'g'), '|', '\|')$$;

\qecho '# SQL reference'
\qecho
\qecho 'Made by `./scripts/reference.sh` from the comments of the installed objects; `\\df+` and `\\d+` show the same.'
\qecho
\qecho '## Functions'

SELECT format(E'\n### `%s`\n\n```\n%s(%s)\nRETURNS %s\n```\n\n%s',
              p.proname, p.proname,
              CASE WHEN length(arguments) > 70 THEN E'\n    ' || replace(arguments, ', ', E',\n    ') || E'\n'
                   ELSE arguments END,
              coalesce('(' || columns || ')', replace(pg_get_function_result(p.oid), 'public.', '')),
              obj_description(p.oid, 'pg_proc'))
  FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid,
       -- What the caller gives; the columns of a row that comes back are in the result.
       LATERAL (SELECT regexp_replace(regexp_replace(pg_get_function_arguments(p.oid), '(, |^)OUT .*', ''),
                                      'public\.|::\w+', '', 'g') AS arguments) called,
       LATERAL (SELECT string_agg(format('%s %s', a.name, format_type(a.type, NULL)), ', ' ORDER BY a.place) AS columns
                  FROM unnest(p.proargnames, p.proallargtypes, p.proargmodes) WITH ORDINALITY AS a (name, type, mode, place)
                 WHERE a.mode = 'o') returned
 WHERE p.prokind IN ('f', 'a') AND obj_description(p.oid, 'pg_proc') NOT LIKE 'Internal: %'
   AND NOT EXISTS (SELECT FROM pg_type t WHERE p.oid IN (t.typinput, t.typoutput, t.typreceive, t.typsend))
 ORDER BY p.proname, pg_get_function_identity_arguments(p.oid);

\qecho
\qecho '## Tables and views'

SELECT format(E'\n### %s `%s`\n\n%s\n\n| column | type | meaning |\n|---|---|---|\n%s',
              CASE c.relkind WHEN 'v' THEN 'View' ELSE 'Table' END, c.relname,
              coalesce(obj_description(c.oid, 'pg_class'), ''),
              (SELECT string_agg(format('| `%s` | %s | %s |', a.attname, replace(format_type(a.atttypid, a.atttypmod), 'public.', ''),
                                        pg_temp.cell(col_description(c.oid, a.attnum))), E'\n' ORDER BY a.attnum)
                 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))
  FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
 WHERE c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
 ORDER BY c.relname;

\qecho
\qecho '## Types'

SELECT format(E'\n### `%s`\n\n%s', t.typname, coalesce(obj_description(t.oid, 'pg_type'), ''))
  FROM member m JOIN pg_type t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid
 WHERE t.typtype = 'b' AND t.typelem = 0
 ORDER BY t.typname;
