-- What an operator should know before traffic finds out. Each finding comes with the statement that
-- mends it, or shows more.

CREATE FUNCTION @extschema@.validate_routing_config()
RETURNS TABLE (severity text, finding text, fix text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO'		-- the bound of a partition is read as a text
AS $function$
DECLARE
	config @extschema@.webhook_routing_config := @extschema@.get_current_routing_config();
	log    CONSTANT regclass := to_regclass('@extschema@.webhook_routing_logs');
BEGIN
	RETURN QUERY
	WITH found (severity, finding, fix) AS (
		SELECT 'error', format('the rules cannot be compiled (%s): every webhook goes to the default '
							   'target', problem),
			   'SELECT version, change FROM webhook_routing_config ORDER BY version DESC LIMIT 5;'
		  FROM @extschema@.webhook_routing_rules_problem() problem
		 WHERE problem IS NOT NULL

		UNION ALL
		SELECT 'warning', 'keep_conversations keeps none while conversation_timeout is 0',
			   'SELECT update_routing_settings(''{"conversation_timeout": "30 minutes"}'', ''why'');'
		 WHERE config.keep_conversations AND config.conversation_timeout = interval '0'

		UNION ALL
		SELECT 'error', format('automatic_rollback sees nothing while warning and critical error rate are the same '
							   '(%s %%)', config.critical_error_rate_pct),
			   format('SELECT update_routing_settings(''{"warning_error_rate_pct": %s}'', ''why'');',
					  trim_scale(config.critical_error_rate_pct / 5))
		 WHERE config.automatic_rollback
		   AND config.warning_error_rate_pct >= config.critical_error_rate_pct

		UNION ALL
		SELECT 'error', format('the %s target "%s" has no row', n.role, n.name),
			   format('INSERT INTO webhook_routing_targets (name) VALUES (%L);', n.name)
		  FROM (VALUES ('unified', config.unified_webhook),
					   ('default', config.default_webhook)) n (role, name)
		 WHERE NOT EXISTS (SELECT FROM @extschema@.webhook_routing_targets t WHERE t.name = n.name)

		UNION ALL
		SELECT 'error', format('the %s target "%s" is retired', n.role, n.name),
			   format('UPDATE webhook_routing_targets SET retired = false WHERE name = %L;', n.name)
		  FROM (VALUES ('unified', config.unified_webhook),
					   ('default', config.default_webhook)) n (role, name)
		  JOIN @extschema@.webhook_routing_targets t ON t.name = n.name
		 WHERE t.retired

		UNION ALL
		SELECT 'error', format('protected domain "%s" is enrolled (it is not routed all the same)',
							   d.domain),
			   format('SELECT set_routing_domains(%L, ''why'');',
					  array_remove(config.domains, d.domain))
		  FROM @extschema@.webhook_routing_domains d
		 WHERE d.protected AND d.domain = ANY (config.domains)

		UNION ALL
		SELECT 'error', format('domain "%s" shares a function with protected domain "%s"',
							   d.domain, p.domain),
			   format('UPDATE webhook_routing_domains SET legacy_target = ''...'' WHERE domain = %L;',
					  d.domain)
		  FROM @extschema@.webhook_routing_domains p
		  JOIN @extschema@.webhook_routing_targets tp ON tp.name = p.legacy_target
		  JOIN @extschema@.webhook_routing_domains d ON NOT d.protected
		  JOIN @extschema@.webhook_routing_targets td ON td.name = d.legacy_target
		 WHERE p.protected
		   AND @extschema@.webhook_routing_same_function(td.name, td.url, tp.name, tp.url)

		UNION ALL
		SELECT 'error', format('protected domain "%s" has the retired legacy target "%s"',
							   d.domain, t.name),
			   format('UPDATE webhook_routing_targets SET retired = false WHERE name = %L;', t.name)
		  FROM @extschema@.webhook_routing_domains d
		  JOIN @extschema@.webhook_routing_targets t ON t.name = d.legacy_target
		 WHERE d.protected AND t.retired

		UNION ALL
		SELECT 'warning', 'routing is enabled, but no domain is enrolled',
			   'SELECT set_routing_domains(''{jobs,marketplace,property}'', ''why'');'
		 WHERE config.enabled AND config.domains = '{}'

		UNION ALL
		SELECT 'warning', 'routing is enabled at 0 %: everything stays on legacy',
			   'SELECT rollout_advance(''first step'');'
		 WHERE config.enabled AND config.percentage = 0

		UNION ALL
		SELECT 'info', format('routing is disabled: the percentage of %s %% has no effect',
							  config.percentage),
			   'SELECT set_routing_enabled(true, ''why'');'
		 WHERE NOT config.enabled AND config.percentage > 0

		UNION ALL
		SELECT 'warning', format('the plan of the rollout ends at %s %%', coalesce(max(p.percentage), 0)),
			   'UPDATE webhook_routing_plan SET enabled = true WHERE percentage = 100;'
		  FROM @extschema@.webhook_routing_plan p
		 WHERE p.enabled
		HAVING max(p.percentage) IS DISTINCT FROM 100

		UNION ALL
		SELECT 'warning', format('enrolled domain "%s" has no row, so no message belongs to it', e.name),
			   format('SELECT set_routing_domains(%L, ''why'');',
					  array_remove(config.domains, e.name))
		  FROM unnest(config.domains) e (name)
		 WHERE NOT EXISTS (SELECT FROM @extschema@.webhook_routing_domains d WHERE d.domain = e.name)

		UNION ALL
		SELECT 'warning', format('enrolled domain "%s" is disabled', d.domain),
			   format('UPDATE webhook_routing_domains SET enabled = true WHERE domain = %L;', d.domain)
		  FROM @extschema@.webhook_routing_domains d
		 WHERE NOT d.enabled AND d.domain = ANY (config.domains)

		UNION ALL
		SELECT 'warning', format('enrolled domain "%s" has no enabled keyword or button', d.domain),
			   format('INSERT INTO webhook_routing_keywords (domain, pattern) VALUES (%L, ''...'');',
					  d.domain)
		  FROM @extschema@.webhook_routing_domains d
		 WHERE d.domain = ANY (config.domains)
		   AND NOT EXISTS (SELECT FROM @extschema@.webhook_routing_keywords k
							WHERE k.domain = d.domain AND k.enabled)

		UNION ALL
		SELECT 'warning', format('enrolled domain "%s" has a ceiling of 0 %%', d.domain),
			   format('UPDATE webhook_routing_domains SET percentage = NULL WHERE domain = %L;', d.domain)
		  FROM @extschema@.webhook_routing_domains d
		 WHERE d.domain = ANY (config.domains) AND d.percentage = 0

		UNION ALL
		SELECT 'warning', format('domains %s share the legacy target "%s": a POST to it means %s',
								 string_agg(d.domain, ', ' ORDER BY d.priority, d.domain),
								 d.legacy_target,
								 (array_agg(d.domain ORDER BY d.priority, d.domain))[1]),
			   format('UPDATE webhook_routing_domains SET legacy_target = ''...'' WHERE domain = %L;',
					  (array_agg(d.domain ORDER BY d.priority DESC, d.domain DESC))[1])
		  FROM @extschema@.webhook_routing_domains d
		 GROUP BY d.legacy_target
		HAVING count(*) > 1

		UNION ALL
		SELECT 'warning', format('%s "%s" belongs to %s', k.kind, lower(k.pattern),
								 string_agg(DISTINCT k.domain, ' and ')),
			   format('UPDATE webhook_routing_keywords SET enabled = false '
					  'WHERE (domain, kind, lower(pattern)) = (%L, %L, %L);',
					  (array_agg(k.domain ORDER BY d.priority DESC, d.domain DESC))[1],
					  k.kind, lower(k.pattern))
		  FROM @extschema@.webhook_routing_keywords k
		  JOIN @extschema@.webhook_routing_domains d ON d.domain = k.domain
		 WHERE k.enabled AND d.enabled
		 GROUP BY k.kind, lower(k.pattern)
		HAVING count(DISTINCT k.domain) > 1

		UNION ALL
		SELECT 'warning', format('domain "%s" goes to unified even when routing is disabled, since '
								 'its legacy target is retired', d.domain),
			   format('UPDATE webhook_routing_targets SET retired = false WHERE name = %L;', t.name)
		  FROM @extschema@.webhook_routing_domains d
		  JOIN @extschema@.webhook_routing_targets t ON t.name = d.legacy_target
		 WHERE d.enabled AND t.retired AND NOT d.protected

		UNION ALL
		SELECT 'warning', 'the log has no partition for tomorrow', 'SELECT routing_maintain();'
		 WHERE log IS NOT NULL
		   AND NOT EXISTS (
				SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
				 WHERE i.inhparent = log
				   AND substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''([^'']+)''\)$')
					   ::timestamptz >= now() + interval '1 day')

		UNION ALL
		SELECT 'warning', format('%s rows have been in webhook_routing_pending for over two hours: nobody '
								 'has called routing_maintain()', count(*)),
			   'SELECT routing_maintain();'
		  FROM @extschema@.webhook_routing_pending w
		 WHERE w.stored_at < now() - interval '2 hours'
		HAVING count(*) > 0

		UNION ALL
		SELECT 'info', format('targets without a URL: %s; each is the forwarder''s base URL + / + name',
							  string_agg(t.name, ', ' ORDER BY t.name)),
			   'UPDATE webhook_routing_targets SET url = ''https://...'' WHERE name = ''...'';'
		  FROM @extschema@.webhook_routing_targets t
		 WHERE t.url IS NULL
		   AND (t.name IN (config.unified_webhook, config.default_webhook)
				OR EXISTS (SELECT FROM @extschema@.webhook_routing_domains d
							WHERE d.legacy_target = t.name AND d.enabled))
		HAVING count(*) > 0
	)
	SELECT f.severity, f.finding, f.fix FROM found f
	 ORDER BY array_position('{error,warning,info}', f.severity), f.finding;
END
$function$;
COMMENT ON FUNCTION @extschema@.validate_routing_config() IS
	'What is wrong or odd in the configuration and the rules, each with the statement that mends it';
