-- Who would move: the log's items decided again by the rules in force, with the percentage as it is and
-- with another one. What a message says is not kept, so its domain is the one that was logged; a bucket
-- that was made with another hash_salt says nothing about today's. Conversations that would be kept
-- (keep_conversations) are not looked at: who is in one by then, nobody knows now.

CREATE FUNCTION @extschema@.webhook_routing_simulate(
	percentage numeric, since interval, if_enabled boolean)
RETURNS TABLE (decision_id uuid, item integer, domain text, bucket integer, sender text,
			   from_side text, to_side text, reason text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
	WITH logged AS (
		SELECT coalesce(l.decision_id, l.id) AS post, l.decision_id, l.item, l.domain, l.bucket,
		       coalesce(l.from_number, 'bucket ' || l.bucket) AS sender,
		       l.bucket IS NULL OR l.domain = 'unknown' OR c.hash_salt = n.hash_salt AS comparable,
		       b.webhook_name AS from_webhook, b.routed_to AS from_side,
		       a.webhook_name AS to_webhook, a.routed_to AS to_side, a.reason
		  FROM @extschema@.webhook_routing_logs l
		  LEFT JOIN @extschema@.webhook_routing_config c ON c.version = l.config_version
		 CROSS JOIN @extschema@.get_current_routing_config() n
		 CROSS JOIN LATERAL @extschema@.webhook_routing_decide_again(
		       n.version, l.domain, l.bucket, l.reason, NULL::numeric, if_enabled) b
		 CROSS JOIN LATERAL @extschema@.webhook_routing_decide_again(
		       n.version, l.domain, l.bucket, l.reason, webhook_routing_simulate.percentage, if_enabled) a
		 WHERE l.created_at > (SELECT @extschema@.webhook_routing_since(since))
		   AND l.attempt <= 1
		   AND l.config_version IS NOT NULL
		   AND l.reason <> 'no_config'
	), together AS (
		SELECT l.*,
		       min(l.from_webhook) OVER post IS DISTINCT FROM max(l.from_webhook) OVER post AS from_mixed,
		       min(l.to_webhook) OVER post IS DISTINCT FROM max(l.to_webhook) OVER post AS to_mixed
		  FROM logged l
		WINDOW post AS (PARTITION BY l.post)
	)
	SELECT t.decision_id, t.item, t.domain, t.bucket, t.sender,
	       CASE WHEN t.comparable THEN CASE WHEN t.from_mixed THEN 'legacy' ELSE t.from_side END END,
	       CASE WHEN t.comparable THEN CASE WHEN t.to_mixed THEN 'legacy' ELSE t.to_side END END,
	       CASE WHEN NOT coalesce(t.comparable, false) THEN 'the bucket is of another hash_salt'
	            WHEN t.to_mixed THEN 'mixed_batch'
	            ELSE coalesce(t.reason, 'there is no such domain any more') END
	  FROM together t
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_simulate(numeric, interval, boolean) IS
	'Internal: what simulate_routing() counts, with who sent it';

CREATE FUNCTION @extschema@.simulate_routing_decisions(
	percentage numeric, since interval DEFAULT '1 day', if_enabled boolean DEFAULT NULL)
RETURNS TABLE (decision_id uuid, item integer, domain text, bucket integer,
			   from_side text, to_side text, reason text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	PERFORM @extschema@.webhook_routing_check_percentage(percentage);
	PERFORM @extschema@.webhook_routing_since(since);
	RETURN QUERY SELECT s.decision_id, s.item, s.domain, s.bucket, s.from_side, s.to_side, s.reason
				   FROM @extschema@.webhook_routing_simulate(percentage, since, if_enabled) s
				  ORDER BY s.decision_id, s.item;
END
$function$;
COMMENT ON FUNCTION @extschema@.simulate_routing_decisions(numeric, interval, boolean) IS
	'Each logged item of a window, decided by the rules in force as they are and with another percentage; '
	'items of one POST that would disagree stay together on legacy (mixed_batch). The third argument '
	'stands in the place of the switch; sides are NULL where nothing is known';

CREATE FUNCTION @extschema@.simulate_routing(
	percentage numeric, since interval DEFAULT '1 day', if_enabled boolean DEFAULT NULL)
RETURNS TABLE (domain text, senders bigint, to_unified bigint, to_legacy bigint, stay bigint,
			   requests bigint, req_unified bigint, req_legacy bigint, unknown bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	PERFORM @extschema@.webhook_routing_check_percentage(percentage);
	PERFORM @extschema@.webhook_routing_since(since);
	IF NOT coalesce(if_enabled, (@extschema@.get_current_routing_config()).enabled) THEN
		RAISE NOTICE USING
			MESSAGE = 'routing is disabled, so that no percentage moves anybody',
			HINT = format('SELECT * FROM simulate_routing(%s, %L, true);', percentage, since);
	END IF;
	RETURN QUERY
		SELECT s.domain,
		       count(DISTINCT s.sender) FILTER (WHERE s.to_side IS NOT NULL),
		       count(DISTINCT s.sender) FILTER (WHERE s.from_side = 'legacy' AND s.to_side = 'unified'),
		       count(DISTINCT s.sender) FILTER (WHERE s.from_side = 'unified' AND s.to_side = 'legacy'),
		       count(DISTINCT s.sender) FILTER (WHERE s.to_side IS NOT NULL)
		       - count(DISTINCT s.sender) FILTER (WHERE s.from_side <> s.to_side),
		       count(*),
		       count(*) FILTER (WHERE s.from_side = 'legacy' AND s.to_side = 'unified'),
		       count(*) FILTER (WHERE s.from_side = 'unified' AND s.to_side = 'legacy'),
		       count(*) FILTER (WHERE s.to_side IS NULL)
		  FROM @extschema@.webhook_routing_simulate(percentage, since, if_enabled) s
		 GROUP BY s.domain
		 ORDER BY s.domain;
END
$function$;
COMMENT ON FUNCTION @extschema@.simulate_routing(numeric, interval, boolean) IS
	'Who would change sides with another percentage, per domain: distinct senders of a window that would '
	'come to unified, to legacy, or stay, and so many logged items (req_); by the rules in force. The third '
	'argument stands in the place of the switch';
