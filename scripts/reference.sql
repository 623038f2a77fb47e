-- Prints the SQL reference as Markdown from the COMMENTs of a live database. Run by
-- scripts/reference.sh with psql -XAtq; nothing here knows an object by name.
\ir reference_objects.sql

-- A comment inside a table cell: one line, no cell border.
CREATE FUNCTION pg_temp.cell(comment text) RETURNS text LANGUAGE sql AS
$$SELECT replace(regexp_replace(coalesce(comment, ''), '\s+', ' ', 'g'), '|', '\|')$$;

\qecho '# SQL reference'
\qecho
\qecho 'Made by `./scripts/reference.sh` from the comments of the installed objects; `\\df+` and `\\d+` show the same.'
\qecho
\qecho '## Functions'

SELECT format(E'\n### `%s`\n\n```\n%s(%s)\nRETURNS %s\n```\n\n%s',
              name, name,
              CASE WHEN length(arguments) > 70 THEN E'\n    ' || replace(arguments, ', ', E',\n    ') || E'\n'
                   ELSE arguments END,
              result, comment)
  FROM documented_function
 ORDER BY name, identity;

\qecho
\qecho '## Tables and views'

SELECT format(E'\n### %s `%s`\n\n%s\n\n| column | type | meaning |\n|---|---|---|\n%s', kind, name, comment,
              (SELECT string_agg(format('| `%s` | %s | %s |', c.name, c.type, pg_temp.cell(c.comment)), E'\n' ORDER BY c.place)
                 FROM documented_column c WHERE c.relation = r.name))
  FROM documented_relation r
 ORDER BY name;

\qecho
\qecho '## Types'

SELECT format(E'\n### `%s`\n\n%s', name, comment)
  FROM documented_type
 ORDER BY name;
