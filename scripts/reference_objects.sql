-- What of the extension is documented, as views of this session: every object has a COMMENT, and nothing
-- here knows one by name. reference.sql and reference_man.sql print them.
SET search_path = pg_catalog, pg_temp;

CREATE TEMP VIEW member AS
SELECT d.classid, d.objid
  FROM pg_depend d JOIN pg_extension e ON d.refobjid = e.oid AND d.refclassid = 'pg_extension'::regclass
 WHERE e.extname = 'webhook_routing' AND d.deptype = 'e';

CREATE TEMP VIEW documented_function AS
SELECT p.proname::text AS name, arguments, pg_get_function_identity_arguments(p.oid) AS identity,
       coalesce('(' || columns || ')', replace(pg_get_function_result(p.oid), 'public.', '')) AS result,
       obj_description(p.oid, 'pg_proc') AS comment
  FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid,
       -- What the caller gives; the columns of a row that comes back are in the result.
       LATERAL (SELECT regexp_replace(regexp_replace(pg_get_function_arguments(p.oid), '(, |^)OUT .*', ''),
                                      'public\.|::\w+( with time zone)?', '', 'g') AS arguments) called,
       LATERAL (SELECT string_agg(format('%s %s', a.name, format_type(a.type, NULL)), ', ' ORDER BY a.place) AS columns
                  FROM unnest(p.proargnames, p.proallargtypes, p.proargmodes) WITH ORDINALITY AS a (name, type, mode, place)
                 WHERE a.mode = 'o') returned
 WHERE p.prokind IN ('f', 'a') AND obj_description(p.oid, 'pg_proc') NOT LIKE 'Internal: %'
   AND NOT EXISTS (SELECT FROM pg_type t WHERE p.oid IN (t.typinput, t.typoutput, t.typreceive, t.typsend));

CREATE TEMP VIEW documented_relation AS
SELECT CASE c.relkind WHEN 'v' THEN 'View' ELSE 'Table' END AS kind, c.relname::text AS name,
       coalesce(obj_description(c.oid, 'pg_class'), '') AS comment
  FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
 WHERE c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
   AND coalesce(obj_description(c.oid, 'pg_class'), '') NOT LIKE 'Internal: %';

CREATE TEMP VIEW documented_column AS
SELECT c.relname::text AS relation, a.attnum AS place, a.attname::text AS name,
       replace(format_type(a.atttypid, a.atttypmod), 'public.', '') AS type,
       col_description(c.oid, a.attnum) AS comment
  FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
       JOIN pg_attribute a ON a.attrelid = c.oid
 WHERE a.attnum > 0 AND NOT a.attisdropped;

CREATE TEMP VIEW documented_type AS
SELECT t.typname::text AS name, coalesce(obj_description(t.oid, 'pg_type'), '') AS comment
  FROM member m JOIN pg_type t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid
 WHERE t.typtype = 'b' AND t.typelem = 0;
