-- Everything that people and the guard have done, for people: folded so that psql needs no more than 100
-- columns. Programs read webhook_routing_config and webhook_routing_evaluations.

CREATE VIEW @extschema@.webhook_routing_deeds AS
	SELECT c.created_at, c.created_by, c.version,
	       CASE WHEN c.change ~ '^percentage [0-9.]+ -> [0-9.]+; forced past '
	            THEN 'FORCED: ' ELSE '' END || c.change AS what,
	       c.notes AS why
	  FROM @extschema@.webhook_routing_config c
	 UNION ALL
	SELECT e.created_at, e.created_by, e.config_version,
	       format('evaluation: %s at %s %%, health %s', e.verdict, e.percentage,
	              replace(e.severity, '_', ' ')),
	       e.notes
	  FROM @extschema@.webhook_routing_evaluations e;
COMMENT ON VIEW @extschema@.webhook_routing_deeds IS
	'Internal: what webhook_routing_history shows, not folded and in no order';
COMMENT ON COLUMN @extschema@.webhook_routing_deeds.created_at IS
	'When';
COMMENT ON COLUMN @extschema@.webhook_routing_deeds.created_by IS
	'Session user, and the role where it differs';
COMMENT ON COLUMN @extschema@.webhook_routing_deeds.version IS
	'The config version that the change made, or that was judged';
COMMENT ON COLUMN @extschema@.webhook_routing_deeds.what IS
	'What was changed; FORCED where an advance passed closed gates, which it names';
COMMENT ON COLUMN @extschema@.webhook_routing_deeds.why IS
	'Why, in the words of whoever did it';

CREATE VIEW @extschema@.webhook_routing_history AS
	SELECT date_trunc('second', d.created_at) AS at,
	       @extschema@.webhook_routing_folded(d.created_by, 17) AS who,
	       d.version,
	       @extschema@.webhook_routing_folded(d.what, 25) AS what,
	       @extschema@.webhook_routing_folded(d.why, 15) AS why
	  FROM @extschema@.webhook_routing_deeds d
	 ORDER BY d.created_at DESC;
COMMENT ON VIEW @extschema@.webhook_routing_history IS
	'Each change of configuration, rules and plan, old -> new, and each evaluation, newest first';
COMMENT ON COLUMN @extschema@.webhook_routing_history.at IS
	'When, to the second';
COMMENT ON COLUMN @extschema@.webhook_routing_history.who IS
	'Session user, and the role where it differs';
COMMENT ON COLUMN @extschema@.webhook_routing_history.version IS
	'The config version that the change made, or that was judged';
COMMENT ON COLUMN @extschema@.webhook_routing_history.what IS
	'What was changed; FORCED where an advance passed closed gates, which it names';
COMMENT ON COLUMN @extschema@.webhook_routing_history.why IS
	'Why, in the words of whoever did it';
