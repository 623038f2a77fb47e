-- Logged decisions, made again: one explained, or all of a window compared. Both go through the steps
-- that decided (core/decide.c), under the rules of the decision's own config version.

CREATE FUNCTION @extschema@.webhook_routing_decide_again(
	config_version bigint, domain text, bucket integer, reason text,
	other_percentage numeric DEFAULT NULL, other_enabled boolean DEFAULT NULL,
	OUT webhook_name text, OUT routed_to text, OUT reason text, OUT percentage numeric,
	OUT legacy_webhook text, OUT default_webhook text, OUT problem text)
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'webhook_routing_decide_again';
COMMENT ON FUNCTION @extschema@.webhook_routing_decide_again(
	bigint, text, integer, text, numeric, boolean) IS
	'Internal: decide a logged item again, alone, by the rules of a config version';

CREATE FUNCTION @extschema@.webhook_routing_explain_again(
	config_version bigint, domain text, bucket integer, reason text,
	OUT name text, OUT outcome text)
RETURNS SETOF record
LANGUAGE c STABLE PARALLEL SAFE ROWS 10
AS 'MODULE_PATHNAME', 'webhook_routing_explain_again';
COMMENT ON FUNCTION @extschema@.webhook_routing_explain_again(bigint, text, integer, text) IS
	'Internal: the steps of webhook_routing_decide_again(), in words';

-- In what a logged item differs from what its config version decides; NULL when in nothing. "mixed" says
-- of a mixed_batch whether its items disagree at all (one of a conversation that is kept may: its own
-- reason is not in the log then), "named" whether one webhook may have been named for all of them. A
-- row that says no version or no reason (written by hand, or by a forwarder that had no rules) claims
-- nothing, so nothing can be wrong with it.
CREATE FUNCTION @extschema@.webhook_routing_difference_again(
	config_version bigint, webhook_name text, domain text, routed_to text, reason text,
	bucket integer, percentage numeric, mixed boolean, named boolean, OUT difference text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	again record;
	keeps boolean := false;
BEGIN
	IF config_version IS NULL OR reason IS NULL OR reason = 'no_config' THEN
		RETURN;
	END IF;
	again := @extschema@.webhook_routing_decide_again(
		config_version, domain, bucket, reason,
		NULL::numeric, NULL::boolean);
	IF again.problem IS NOT NULL THEN
		difference := again.problem;
		RETURN;
	END IF;
	IF reason IN ('in_conversation', 'mixed_batch') THEN
		SELECT c.keep_conversations AND c.conversation_timeout > interval '0' INTO keeps
		  FROM @extschema@.webhook_routing_config c WHERE c.version = config_version;
	END IF;
	IF reason = 'in_conversation' AND NOT keeps THEN
		difference := 'logged as in_conversation, but none was kept';
		RETURN;
	END IF;
	IF reason = 'mixed_batch' THEN
		-- Some of its items may have been in conversations that were kept, which nothing tells now.
		IF NOT mixed AND NOT keeps THEN
			difference := 'logged as mixed_batch, but its items go to one function';
			RETURN;
		END IF;
		again.reason := 'mixed_batch';
		again.routed_to := 'legacy';
		again.webhook_name := CASE WHEN named AND webhook_name = again.legacy_webhook
								   THEN again.legacy_webhook ELSE again.default_webhook END;
	END IF;
	difference := nullif(concat_ws('; ',
		CASE WHEN routed_to NOT IN (again.routed_to, 'error') OR reason <> again.reason
			 THEN format('logged %s (%s), decided again %s (%s)', routed_to, reason,
						 again.routed_to, again.reason) END,
		CASE WHEN webhook_name <> again.webhook_name
			 THEN format('target logged %s, again %s', webhook_name, again.webhook_name) END,
		CASE WHEN percentage <> again.percentage
			 THEN format('percentage logged %s, again %s', percentage, again.percentage) END), '');
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_difference_again(
	bigint, text, text, text, text, integer, numeric, boolean, boolean) IS
	'Internal: in what a logged item differs from what its config version decides; NULL: in nothing';

-- From when a window of the log is. One that lies in the future would be empty, and nothing found in it would
-- pass for good news.
CREATE FUNCTION @extschema@.webhook_routing_since(since interval) RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	IF since <= interval '0' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('the log cannot be looked at for %s', since),
			HINT = 'Give an interval above zero, such as ''1 hour'', or NULL for the whole log.';
	END IF;
	RETURN CASE WHEN since < interval '1000 years' THEN statement_timestamp() - since ELSE '-infinity' END;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_since(interval) IS
	'Internal: the begin of a window that ends now; of the whole log when NULL';

CREATE FUNCTION @extschema@.verify_routing_decisions(since interval DEFAULT '1 hour')
RETURNS TABLE (id uuid, decision_id uuid, item integer, created_at timestamptz, domain text,
			   config_version bigint, difference text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
#variable_conflict use_column
DECLARE
	began CONSTANT timestamptz := @extschema@.webhook_routing_since(since);
BEGIN
	RETURN QUERY
	WITH batches AS (
		SELECT l.decision_id, count(DISTINCT l.domain) = 1 AS named,
		       count(DISTINCT a.webhook_name) > 1
		           OR bool_or(c.keep_conversations AND a.reason = 'out_of_percentage') AS mixed
		  FROM @extschema@.webhook_routing_logs l
		  LEFT JOIN @extschema@.webhook_routing_config c ON c.version = l.config_version
		 CROSS JOIN LATERAL @extschema@.webhook_routing_decide_again(
		       l.config_version, l.domain, l.bucket, l.reason, NULL::numeric, NULL::boolean) a
		 WHERE l.created_at > began
		   AND l.attempt <= 1
		   AND l.reason = 'mixed_batch'
		 GROUP BY l.decision_id
	)
	SELECT l.id, l.decision_id, l.item, l.created_at, l.domain, l.config_version, d.difference
	  FROM @extschema@.webhook_routing_logs l
	  LEFT JOIN batches b ON b.decision_id = l.decision_id AND l.reason = 'mixed_batch'
	 CROSS JOIN LATERAL @extschema@.webhook_routing_difference_again(
	       l.config_version, l.webhook_name, l.domain, l.routed_to, l.reason, l.bucket, l.percentage,
	       coalesce(b.mixed, false), coalesce(b.named, false)) d
	 WHERE l.created_at > began
	   AND l.attempt <= 1
	   AND d.difference IS NOT NULL
	 ORDER BY l.created_at, l.id;
END
$function$;
COMMENT ON FUNCTION @extschema@.verify_routing_decisions(interval) IS
	'Decide all logged decisions of a window again, each by the rules of its own config version; returns '
	'those that come out otherwise. NULL is the whole log';

-- The moment in a UUID of version 7, and the lowest such UUID of a moment (RFC 9562, 5.7).
CREATE FUNCTION @extschema@.webhook_routing_uuid_time(id uuid) RETURNS timestamptz
LANGUAGE sql STRICT IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT CASE WHEN substr(id::text, 15, 1) = '7'
				THEN to_timestamp(('x' || left(translate(id::text, '-', ''), 12))::bit(48)::bigint / 1000.0)
		   END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_uuid_time(uuid) IS
	'Internal: when a UUID of version 7 was made; NULL for others';

CREATE FUNCTION @extschema@.webhook_routing_uuid_since(moment timestamptz) RETURNS uuid
LANGUAGE sql STRICT IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT (lpad(to_hex(greatest(floor(extract(epoch FROM moment) * 1000), 0)::bigint), 12, '0')
			|| repeat('0', 20))::uuid
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_uuid_since(timestamptz) IS
	'Internal: no UUID of version 7 that is made from a moment on is below this';

-- The log has no index on decision_id, which would cost every row more than it is worth. The id of a
-- forwarder's decision is a UUID of version 7, and so are those of its rows, made within a minute after
-- (an attempt takes no longer, a fallback comes with the next): the primary keys find them in one or
-- two partitions. Rows with other ids (written by hand) are sought in the hour around that time; where
-- the decision's id has no time, day by day back from now, for a week.
CREATE FUNCTION @extschema@.webhook_routing_find_decision(wanted uuid)
RETURNS SETOF @extschema@.webhook_routing_logs
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	made CONSTANT timestamptz := @extschema@.webhook_routing_uuid_time(wanted);
BEGIN
	IF made IS NOT NULL THEN
		RETURN QUERY SELECT l.* FROM @extschema@.webhook_routing_logs l
			 WHERE l.created_at BETWEEN made - interval '1 minute' AND made + interval '5 minutes'
			   AND l.id BETWEEN @extschema@.webhook_routing_uuid_since(made - interval '1 minute')
							AND @extschema@.webhook_routing_uuid_since(made + interval '5 minutes')
			   AND l.decision_id = wanted
			 ORDER BY l.attempt, l.item;
		IF NOT FOUND THEN
			RETURN QUERY SELECT l.* FROM @extschema@.webhook_routing_logs l
				 WHERE l.created_at BETWEEN made - interval '30 minutes' AND made + interval '30 minutes'
				   AND l.decision_id = wanted
				 ORDER BY l.attempt, l.item;
		END IF;
		RETURN;
	END IF;
	FOR days IN 0..7 LOOP
		RETURN QUERY SELECT l.* FROM @extschema@.webhook_routing_logs l
			 WHERE l.created_at > now() - (days + 0.5) * interval '1 day'
			   AND l.created_at <= now() - (days - 0.5) * interval '1 day'
			   AND l.decision_id = wanted
			 ORDER BY l.attempt, l.item;
		EXIT WHEN FOUND;
	END LOOP;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_find_decision(uuid) IS
	'Internal: the log rows of a decision, looked for where its id says that they are';

CREATE FUNCTION @extschema@.route_explain(decision_id uuid, OUT step integer, OUT name text, OUT outcome text)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	items_shown CONSTANT integer := 20;
	logged      @extschema@.webhook_routing_logs[];
	items       @extschema@.webhook_routing_logs[];
	one         @extschema@.webhook_routing_logs;
	first       @extschema@.webhook_routing_logs;
	config      record;
	mixed       boolean;
	named       boolean;
	differs     text;
BEGIN
	logged := ARRAY(SELECT l FROM @extschema@.webhook_routing_find_decision(decision_id) l);
	IF cardinality(logged) = 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'no_data_found',
			MESSAGE = format('there is no decision %s in the log', coalesce(decision_id::text, 'NULL')),
			DETAIL = CASE WHEN @extschema@.webhook_routing_uuid_time(decision_id) IS NULL
						  THEN 'The id does not say when it was made: a week back has been searched.'
						  ELSE format('The id says that it was made at %s: the hour around has been searched.',
									  date_trunc('second', @extschema@.webhook_routing_uuid_time(decision_id)))
					 END,
			HINT = 'SELECT decision_id, correlation_id, created_at FROM webhook_routing_logs '
				   'WHERE created_at > now() - interval ''1 hour'' ORDER BY created_at DESC LIMIT 20;';
	END IF;
	items := ARRAY(SELECT l FROM unnest(logged) l
					WHERE l.attempt = (SELECT min(u.attempt) FROM unnest(logged) u) ORDER BY l.item);
	first := items[1];
	step := 1; name := 'decision';
	outcome := format('made at %s, %s', first.created_at,
					  CASE WHEN first.config_version IS NULL THEN 'without a config version'
						   ELSE format('by config version %s', first.config_version) END);
	RETURN NEXT;

	SELECT c.* INTO config FROM @extschema@.webhook_routing_config c WHERE c.version = first.config_version;
	IF FOUND THEN
		step := step + 1; name := 'config';
		outcome := format('version %s: %s at %s %%', config.version,
						  CASE WHEN config.enabled THEN 'enabled' ELSE 'disabled' END, config.percentage);
		RETURN NEXT;
	END IF;

	SELECT count(DISTINCT a.webhook_name) > 1
		   OR bool_or(config.keep_conversations AND a.reason = 'out_of_percentage'),
		   count(DISTINCT l.domain) = 1
	  INTO mixed, named
	  FROM unnest(items) l
	 CROSS JOIN LATERAL @extschema@.webhook_routing_decide_again(
		   l.config_version, l.domain, l.bucket, l.reason, NULL::numeric, NULL::boolean) a;
	FOREACH one IN ARRAY items[1:items_shown] LOOP
		IF one.reason IS NOT NULL OR cardinality(items) > 1 THEN
			step := step + 1; name := 'item';
			outcome := format('%s: %s', one.item, coalesce(one.message_type, 'of unknown type'));
			RETURN NEXT;
		END IF;
		FOR name, outcome IN
			SELECT e.name, e.outcome
			  FROM @extschema@.webhook_routing_explain_again(
				   one.config_version, one.domain, one.bucket, one.reason) e
		LOOP
			step := step + 1;
			RETURN NEXT;
		END LOOP;
	END LOOP;
	IF cardinality(items) > items_shown THEN
		step := step + 1; name := 'item';
		outcome := format('%s more are not shown', cardinality(items) - items_shown);
		RETURN NEXT;
	END IF;
	IF first.reason = 'mixed_batch' THEN
		step := step + 1; name := 'decision';
		outcome := format('%s (legacy), mixed_batch: the items of one POST belong to different functions',
						  first.webhook_name);
		RETURN NEXT;
	END IF;

	FOREACH one IN ARRAY logged LOOP
		CONTINUE WHEN one.item <> first.item;
		step := step + 1; name := format('attempt %s', one.attempt);
		outcome := concat_ws(', ',
			format('%s (%s): %s', one.webhook_name, one.routed_to,
				   CASE WHEN one.ambiguous THEN 'error, may have been processed all the same'
						ELSE one.status END),
			'HTTP ' || one.http_status,
			coalesce(round(one.response_time_ms::numeric, 1) || ' ms', 'no response time'))
			|| coalesce(': ' || one.error_message, '');
		RETURN NEXT;
	END LOOP;

	step := step + 1; name := 'reproduced';
	SELECT string_agg(format('item %s: %s', l.item, d.difference), '; ' ORDER BY l.item) INTO differs
	  FROM unnest(items) l
	 CROSS JOIN LATERAL @extschema@.webhook_routing_difference_again(
	       l.config_version, l.webhook_name, l.domain, l.routed_to, l.reason, l.bucket, l.percentage,
	       mixed, named) d
	 WHERE d.difference IS NOT NULL;
	outcome := CASE WHEN first.attempt > 1 THEN 'there is nothing to compare: the first attempt is not in the log'
					WHEN differs IS NOT NULL THEN 'no: ' || differs
					WHEN first.config_version IS NULL OR first.reason IS NULL OR first.reason = 'no_config'
					THEN 'there is nothing to compare: the row says no config version or no reason'
					ELSE 'yes' END;
	RETURN NEXT;
END
$function$;
COMMENT ON FUNCTION @extschema@.route_explain(uuid) IS
	'Each step of a logged decision by the rules of its own config version, its attempts with their '
	'outcomes, and whether it comes out the same again';
