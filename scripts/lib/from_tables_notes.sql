-- What a person has to look at after a migration from tables: who had rights, what still points at the old
-- tables, columns that were not taken over. Variables: schema, old.
\pset tuples_only on
\pset format unaligned
SELECT '! rights    ' || CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE grantee::regrole::text END || ' had ' ||
       string_agg(DISTINCT privilege_type, ', ') || ' on the former ' || name ||
       CASE WHEN secured THEN ' (with row security)' ELSE '' END || '; it is not carried over'
  FROM (SELECT a.grantee, a.privilege_type, c.relname AS name, c.relrowsecurity AS secured
          FROM pg_class c, aclexplode(c.relacl) a
         WHERE c.relnamespace = quote_ident(:'old')::regnamespace AND a.grantee <> c.relowner
           AND c.relname IN ('webhook_routing_config', 'webhook_routing_logs')) g
 GROUP BY grantee, name, secured ORDER BY 1;
SELECT '! reads     ' || v.oid::regclass || ' still reads the former ' || string_agg(DISTINCT o.relname, ', ')
       || ': create it again'
  FROM pg_depend d
  JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
  JOIN pg_class v ON v.oid = r.ev_class
  JOIN pg_class o ON d.refclassid = 'pg_class'::regclass AND o.oid = d.refobjid
 WHERE o.relnamespace = quote_ident(:'old')::regnamespace AND v.relnamespace <> quote_ident(:'old')::regnamespace
 GROUP BY v.oid ORDER BY 1;
SELECT '! names     function ' || p.oid::regprocedure || ' names webhook_routing_config or _logs: it meets the new ones now'
  FROM pg_proc p
 WHERE p.prosrc ~ 'webhook_routing_(config|logs)' AND p.pronamespace <> quote_ident(:'old')::regnamespace
   AND p.pronamespace::regnamespace::text !~ '^(pg_|information_schema)'
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
 ORDER BY 1;
SELECT '! columns   of the former ' || c.relname || ' that have no place here: ' || string_agg(a.attname, ', ' ORDER BY a.attnum)
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE c.relnamespace = quote_ident(:'old')::regnamespace
   AND a.attname <> ALL (CASE c.relname
       WHEN 'webhook_routing_config' THEN '{id,percentage,enabled,domains,created_at,updated_at,created_by,notes}'::text[]
       WHEN 'webhook_routing_logs' THEN '{id,webhook_name,domain,routed_to,from_number,message_id,response_time_ms,status,error_message,created_at}'::text[]
       END)
 GROUP BY c.relname ORDER BY 1;
