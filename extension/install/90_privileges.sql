-- Who may do what. Last of all: first everybody but the owner loses every right on everything above,
-- PUBLIC and whoever the default privileges of this database favour; then one function hands out
-- what each kind of role needs.

-- What a role of each kind may do: every right that the product gives, in one list. A routine that
-- is not here is for the owner alone, or internal.
CREATE FUNCTION @extschema@.webhook_routing_rights()
RETURNS TABLE (kinds text[], privilege text)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $function$
	VALUES
	-- deciding
	('{forwarder,operator}'::text[],
	 'EXECUTE ON FUNCTION @extschema@.route_decide(bytea, text)'),
	('{forwarder,operator}', 'EXECUTE ON FUNCTION @extschema@.route_decide(text, text)'),
	('{forwarder,operator}', 'EXECUTE ON FUNCTION @extschema@.route_decide(json, text)'),
	('{forwarder,operator}', 'EXECUTE ON FUNCTION @extschema@.route_decide(jsonb, text)'),
	('{forwarder,operator}', 'EXECUTE ON FUNCTION @extschema@.route_decide_items(bytea, text)'),
	('{forwarder,operator}', 'EXECUTE ON FUNCTION @extschema@.route_decide_items(text, text)'),
	('{forwarder,operator}', 'EXECUTE ON FUNCTION @extschema@.routing_ruleset()'),
	('{forwarder,operator,viewer}', 'EXECUTE ON FUNCTION @extschema@.routing_bucket(text)'),
	('{operator}', 'EXECUTE ON FUNCTION @extschema@.route_explain(bytea, text)'),
	('{operator}', 'EXECUTE ON FUNCTION @extschema@.route_explain(text, text)'),
	('{operator}', 'EXECUTE ON FUNCTION @extschema@.route_explain(json, text)'),
	('{operator}', 'EXECUTE ON FUNCTION @extschema@.route_explain(jsonb, text)'),
	('{operator}', 'EXECUTE ON FUNCTION @extschema@.route_explain(uuid)'),
	('{operator,viewer}', 'EXECUTE ON FUNCTION @extschema@.verify_routing_decisions(interval)'),
	('{operator,viewer}',
	 'EXECUTE ON FUNCTION @extschema@.simulate_routing(numeric, interval, boolean)'),
	('{operator,viewer}',
	 'EXECUTE ON FUNCTION @extschema@.simulate_routing_decisions(numeric, interval, boolean)'),
	('{operator,viewer}', 'EXECUTE ON FUNCTION @extschema@.cutover_readiness()'),
	('{operator,viewer}', 'EXECUTE ON FUNCTION @extschema@.check_sample_ratio(interval)'),
	('{forwarder,operator,viewer}',
	 'EXECUTE ON FUNCTION @extschema@.routing_sample_findings(interval)'),
	('{operator,viewer}', 'SELECT ON TABLE @extschema@.webhook_routing_distribution'),
	('{operator,viewer}', 'SELECT ON TABLE @extschema@.webhook_routing_errors'),
	('{operator,viewer}', 'SELECT ON TABLE @extschema@.webhook_routing_timeline'),
	('{operator,viewer}', 'EXECUTE ON FUNCTION @extschema@.webhook_routing_error_pattern(text)'),
	-- the status page
	('{forwarder,operator,viewer}', 'EXECUTE ON FUNCTION @extschema@.webhook_routing_page_step()'),
	('{forwarder,operator,viewer}', 'EXECUTE ON FUNCTION @extschema@.webhook_routing_page_gates()'),
	('{forwarder,operator,viewer}', 'EXECUTE ON FUNCTION @extschema@.webhook_routing_page_split()'),
	('{forwarder,operator,viewer}', 'EXECUTE ON FUNCTION @extschema@.webhook_routing_page_health()'),
	('{forwarder,operator,viewer}', 'EXECUTE ON FUNCTION @extschema@.webhook_routing_page_minutes()'),
	('{forwarder,operator,viewer}', 'EXECUTE ON FUNCTION @extschema@.webhook_routing_page_targets()'),
	('{forwarder,operator,viewer}', 'EXECUTE ON FUNCTION @extschema@.webhook_routing_page_errors()'),
	('{forwarder,operator,viewer}', 'EXECUTE ON FUNCTION @extschema@.webhook_routing_page_changes()'),
	-- the log
	('{forwarder}',
	 'EXECUTE ON FUNCTION @extschema@.store_routing_logs(uuid[], timestamptz[], uuid[], integer[],'
	 ' integer[], text[], text[], text[], text[], integer[], numeric[], bigint[], text[], text[],'
	 ' text[], text[], integer[], double precision[], text[], text[], boolean[])'),
	('{forwarder}',
	 'EXECUTE ON FUNCTION @extschema@.store_routing_pending(uuid[], timestamptz[], uuid[], integer[],'
	 ' integer[], text[], text[], text[], text[], integer[], numeric[], bigint[], text[], text[],'
	 ' text[], text[], integer[], double precision[], text[], text[], boolean[])'),
	('{forwarder,operator}', 'EXECUTE ON FUNCTION @extschema@.routing_maintain()'),
	('{forwarder,operator}', 'EXECUTE ON FUNCTION @extschema@.routing_guard()'),
	('{operator}', 'SELECT ON TABLE @extschema@.webhook_routing_logs'),
	('{operator}', 'SELECT ON TABLE @extschema@.webhook_routing_pending'),
	('{operator}', 'SELECT ON TABLE @extschema@.webhook_routing_conversations'),
	('{operator}', 'EXECUTE ON FUNCTION @extschema@.erase_sender(text)'),
	('{operator}', 'EXECUTE ON FUNCTION @extschema@.routing_sender_hash(text)'),
	-- without from_number, message_id and error_message, which may name a person
	('{viewer}',
	 'SELECT (id, webhook_name, domain, routed_to, response_time_ms, status, created_at, decision_id,'
	 ' attempt, item, correlation_id, http_status, reason, bucket, percentage, config_version,'
	 ' message_type, ambiguous) ON TABLE @extschema@.webhook_routing_logs'),
	-- configuration and rules; the triggers of the rule tables keep them sound
	('{operator}', 'EXECUTE ON FUNCTION @extschema@.update_routing_percentage(numeric, text)'),
	('{operator}', 'EXECUTE ON FUNCTION @extschema@.set_routing_enabled(boolean, text)'),
	('{operator}', 'EXECUTE ON FUNCTION @extschema@.set_routing_domains(text[], text)'),
	('{operator}', 'EXECUTE ON FUNCTION @extschema@.update_routing_settings(jsonb, text)'),
	('{operator,viewer}', 'EXECUTE ON FUNCTION @extschema@.get_current_routing_config()'),
	('{operator,viewer}', 'EXECUTE ON FUNCTION @extschema@.routing_config_as_of(timestamptz)'),
	('{operator,viewer}', 'EXECUTE ON FUNCTION @extschema@.validate_routing_config()'),
	('{operator,viewer}', 'SELECT ON TABLE @extschema@.webhook_routing_config'),
	('{operator,viewer}', 'SELECT ON TABLE @extschema@.webhook_routing_rulesets'),
	('{viewer}', 'SELECT ON TABLE @extschema@.webhook_routing_targets'),
	('{viewer}', 'SELECT ON TABLE @extschema@.webhook_routing_domains'),
	('{viewer}', 'SELECT ON TABLE @extschema@.webhook_routing_keywords'),
	('{operator}',
	 'SELECT, INSERT, UPDATE, DELETE ON TABLE @extschema@.webhook_routing_targets'),
	('{operator}',
	 'SELECT, INSERT, UPDATE, DELETE ON TABLE @extschema@.webhook_routing_domains'),
	('{operator}',
	 'SELECT, INSERT, UPDATE, DELETE ON TABLE @extschema@.webhook_routing_keywords'),
	-- the rollout; the triggers of the plan keep it sound
	('{operator}', 'SELECT, INSERT, UPDATE, DELETE ON TABLE @extschema@.webhook_routing_plan'),
	('{viewer}', 'SELECT ON TABLE @extschema@.webhook_routing_plan'),
	('{operator,viewer}', 'SELECT ON TABLE @extschema@.webhook_routing_evaluations'),
	('{operator,viewer}', 'SELECT ON TABLE @extschema@.webhook_routing_history'),
	('{operator,viewer}', 'EXECUTE ON FUNCTION @extschema@.webhook_routing_folded(text, integer)'),
	('{operator,viewer}', 'EXECUTE ON FUNCTION @extschema@.rollout_status()'),
	('{operator}', 'EXECUTE ON FUNCTION @extschema@.rollout_evaluate(text, text)'),
	('{operator}', 'EXECUTE ON FUNCTION @extschema@.rollout_advance(text, boolean)'),
	('{operator}', 'EXECUTE ON FUNCTION @extschema@.rollout_back(text)'),
	-- statistics; what a view or a function calls is checked against whoever uses it
	('{operator,viewer}', 'SELECT ON TABLE @extschema@.webhook_routing_stats'),
	('{operator,viewer}', 'SELECT ON TABLE @extschema@.webhook_routing_rollups'),
	('{operator,viewer}', 'SELECT ON TABLE @extschema@.webhook_routing_counted'),
	('{operator,viewer}', 'EXECUTE ON FUNCTION @extschema@.check_routing_health(interval)'),
	('{operator,viewer}', 'EXECUTE ON FUNCTION @extschema@.webhook_routing_evidence(interval)'),
	('{operator,viewer}', 'EXECUTE ON FUNCTION @extschema@.check_routing_guard()'),
	('{operator,viewer}',
	 'EXECUTE ON FUNCTION @extschema@.webhook_routing_guard_run(bigint[], bigint[], bigint[], bigint[],'
	 ' double precision, double precision, integer)'),
	('{operator,viewer}', 'EXECUTE ON FUNCTION @extschema@.webhook_routing_step()'),
	('{operator,viewer}', 'EXECUTE ON FUNCTION @extschema@.webhook_routing_step_began()'),
	('{operator,viewer}',
	 'EXECUTE ON FUNCTION @extschema@.webhook_routing_judge(bigint[], bigint[], double precision,'
	 ' double precision, integer)'),
	('{operator,viewer}',
	 'EXECUTE ON FUNCTION @extschema@.webhook_routing_excess(text, text, numeric, numeric, numeric,'
	 ' text)'),
	('{operator,viewer}',
	 'EXECUTE ON FUNCTION @extschema@.webhook_routing_advice(text, text, text, text, bigint, bigint,'
	 ' jsonb)'),
	('{operator,viewer}', 'EXECUTE ON FUNCTION @extschema@.routing_error_bounds(bigint, bigint)'),
	('{operator,viewer}',
	 'EXECUTE ON FUNCTION @extschema@.routing_requests_needed(bigint, bigint, double precision)'),
	('{operator,viewer}',
	 'EXECUTE ON FUNCTION @extschema@.routing_chi_square_p(double precision, integer)'),
	('{operator,viewer}',
	 'EXECUTE ON FUNCTION @extschema@.webhook_routing_p95(numeric, numeric, bigint, bigint)'),
	('{operator,viewer}',
	 'EXECUTE ON FUNCTION @extschema@.latency_sketch_agg(@extschema@.latency_sketch)'),
	('{operator,viewer}', 'EXECUTE ON FUNCTION @extschema@.latency_sketch_agg(double precision)'),
	('{operator,viewer}',
	 'EXECUTE ON FUNCTION @extschema@.latency_sketch_merge(@extschema@.latency_sketch,'
	 ' @extschema@.latency_sketch)'),
	('{operator,viewer}',
	 'EXECUTE ON FUNCTION @extschema@.latency_sketch_quantile(@extschema@.latency_sketch,'
	 ' double precision)'),
	('{operator,viewer}',
	 'EXECUTE ON FUNCTION @extschema@.latency_sketch_count(@extschema@.latency_sketch)'),
	('{operator,viewer}',
	 'EXECUTE ON FUNCTION @extschema@.latency_sketch_sum(@extschema@.latency_sketch)'),
	('{operator,viewer}',
	 'EXECUTE ON FUNCTION @extschema@.latency_sketch_avg(@extschema@.latency_sketch)'),
	('{operator,viewer}',
	 'EXECUTE ON FUNCTION @extschema@.latency_sketch_min(@extschema@.latency_sketch)'),
	('{operator,viewer}',
	 'EXECUTE ON FUNCTION @extschema@.latency_sketch_max(@extschema@.latency_sketch)')
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_rights() IS
	'Internal: every right that grant_routing_role() can give, and to which kinds of role';

-- Run by the owner. Rights add up: a role may be of two kinds. It shows what it has granted.
CREATE FUNCTION @extschema@.grant_routing_role(kind text, grantee name)
RETURNS TABLE (granted text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	IF kind IS NULL OR kind NOT IN ('forwarder', 'operator', 'viewer') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('there is no kind of routing role "%s"', kind),
			HINT = 'The kinds are forwarder, operator and viewer: '
				   'SELECT grant_routing_role(''viewer'', ''some_role'');';
	END IF;
	IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = grantee) THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('role "%s" does not exist', grantee),
			HINT = CASE WHEN grantee = 'public'
			            THEN 'Rights are given to roles, not to everybody.'
			            ELSE format('CREATE ROLE %I LOGIN;', coalesce(grantee, 'some_role')) END;
	END IF;

	IF NOT has_schema_privilege(grantee, '@extschema@'::regnamespace, 'USAGE') THEN
		granted := 'USAGE ON SCHEMA @extschema@';
		EXECUTE format('GRANT %s TO %I', granted, grantee);
		RETURN NEXT;
	END IF;
	FOR granted IN
		SELECT r.privilege FROM @extschema@.webhook_routing_rights() r WHERE kind = ANY (r.kinds)
	LOOP
		EXECUTE format('GRANT %s TO %I', granted, grantee);
		RETURN NEXT;
	END LOOP;
END
$function$;
COMMENT ON FUNCTION @extschema@.grant_routing_role(text, name) IS
	'Give a role what a forwarder, an operator or a viewer needs, and no more; shows what that is';

DO $do$
DECLARE
	target  text;
	grantee text;
BEGIN
	FOR target, grantee IN
		WITH members AS (
			SELECT d.classid, d.objid
			  FROM pg_catalog.pg_depend d
			 WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
			   AND d.refobjid = (SELECT oid FROM pg_catalog.pg_extension
			                      WHERE extname = 'webhook_routing')
			   AND d.deptype = 'e'
		), objects AS (
			SELECT 'ROUTINE ' || p.oid::pg_catalog.regprocedure AS target,
			       coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner)) AS acl,
			       p.proowner AS owner
			  FROM members m JOIN pg_catalog.pg_proc p ON p.oid = m.objid
			 WHERE m.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
			UNION ALL
			SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END
			       || c.oid::pg_catalog.regclass,
			       coalesce(c.relacl, pg_catalog.acldefault('r', c.relowner)), c.relowner
			  FROM members m JOIN pg_catalog.pg_class c ON c.oid = m.objid
			 WHERE m.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
			UNION ALL
			-- The types of its own. The row types that tables bring along stay as they are: they give no
			-- access to anything, and pg_dump warns of every one whose rights were changed.
			SELECT 'TYPE ' || t.oid::pg_catalog.regtype,
			       coalesce(t.typacl, pg_catalog.acldefault('T', t.typowner)), t.typowner
			  FROM pg_catalog.pg_type t
			 WHERE t.typelem = 0
			   AND t.typrelid = 0
			   AND EXISTS (SELECT FROM members m
			                WHERE m.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
			                  AND m.objid = t.oid)
		)
		SELECT DISTINCT o.target,
		       CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::pg_catalog.regrole::text END
		  FROM objects o, pg_catalog.aclexplode(o.acl) a
		 WHERE a.grantee <> o.owner
	LOOP
		EXECUTE pg_catalog.format('REVOKE ALL ON %s FROM %s', target, grantee);
	END LOOP;
END
$do$;
