-- Upkeep of the log: partitions ahead, rows out of the DEFAULT partition, what has expired, decisions
-- whose outcome never came.

-- Nobody but the owner has rights on a new table, whatever the default privileges of the database
-- say: a partition shows what viewers must not see.
CREATE FUNCTION @extschema@.webhook_routing_revoke_all(target regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	grantee text;
BEGIN
	FOR grantee IN
		SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
		  FROM pg_class c, aclexplode(c.relacl) a
		 WHERE c.oid = target AND a.grantee <> c.relowner
	LOOP
		EXECUTE format('REVOKE ALL ON %s FROM %s', target, grantee);
	END LOOP;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_revoke_all(regclass) IS
	'Internal: leave the rights on a new table to its owner alone';

-- Rows of the DEFAULT partition into the table of their day, both named directly: no trigger of the
-- parent sees them, so that nothing is counted again.
CREATE FUNCTION @extschema@.webhook_routing_move_day(day date, leaf regclass) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $function$
DECLARE
	moved   bigint;
	columns text;
BEGIN
	SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns
	  FROM pg_attribute
	 WHERE attrelid = leaf AND attnum > 0 AND NOT attisdropped;
	EXECUTE format(
		'WITH moved AS (DELETE FROM @extschema@.webhook_routing_logs_default'
		' WHERE created_at >= $1 AND created_at < $2 RETURNING %1$s)'
		' INSERT INTO %2$s (%1$s) SELECT %1$s FROM moved', columns, leaf)
		USING day::timestamptz, (day + 1)::timestamptz;
	GET DIAGNOSTICS moved = ROW_COUNT;
	RETURN moved;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_move_day(date, regclass) IS
	'Internal: move the rows of a day from the DEFAULT partition into the table of that day';

-- Makes the partitions of days, with what DEFAULT has of them, and drops expired ones. All locks come
-- first, so that nothing has been done in vain when one cannot be had within the caller's
-- lock_timeout (lock_not_available). From then to the end of the transaction writers wait: one who had
-- chosen DEFAULT for a row of a new day would be refused, and one who stores a row again that is
-- being moved would not see it. Creating and dropping takes milliseconds; moving, a second for some
-- 90,000 rows, and there are any only when nobody has called for a week. Returns what it made:
-- name, rows, name, rows, ...
CREATE FUNCTION @extschema@.webhook_routing_switch_days(added date[], expired text[])
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $function$
DECLARE
	made text[] := '{}';
	day  date;
	leaf text;
BEGIN
	IF expired <> '{}' THEN
		LOCK TABLE ONLY @extschema@.webhook_routing_logs IN ACCESS EXCLUSIVE MODE;
	ELSE
		LOCK TABLE ONLY @extschema@.webhook_routing_logs IN SHARE ROW EXCLUSIVE MODE;
	END IF;
	LOCK TABLE ONLY @extschema@.webhook_routing_logs_default IN ACCESS EXCLUSIVE MODE;

	FOREACH leaf IN ARRAY expired LOOP
		EXECUTE format('DROP TABLE @extschema@.%I', leaf);
	END LOOP;
	FOREACH day IN ARRAY added LOOP
		leaf := to_char(day, '"webhook_routing_logs_"YYYYMMDD');
		-- The check lets ATTACH take the table without reading it.
		EXECUTE format(
			'CREATE TABLE @extschema@.%1$I (LIKE @extschema@.webhook_routing_logs'
			' INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE,'
			' PRIMARY KEY (id, created_at),'
			' CONSTRAINT day CHECK (created_at >= %2$L AND created_at < %3$L))',
			leaf, day::timestamptz, (day + 1)::timestamptz);
		EXECUTE format('CREATE INDEX ON @extschema@.%I (created_at) WHERE status = ''error''', leaf);
		EXECUTE format('COMMENT ON TABLE @extschema@.%I IS %L', leaf,
					   format('Log rows of %s (UTC)', day));
		PERFORM @extschema@.webhook_routing_revoke_all(format('@extschema@.%I', leaf)::regclass);
		made := made || ARRAY[leaf, @extschema@.webhook_routing_move_day(
			day, format('@extschema@.%I', leaf)::regclass)::text];
		EXECUTE format('ALTER TABLE @extschema@.webhook_routing_logs ATTACH PARTITION @extschema@.%I'
					   ' FOR VALUES FROM (%L) TO (%L)',
					   leaf, day::timestamptz, (day + 1)::timestamptz);
		EXECUTE format('ALTER TABLE @extschema@.%I DROP CONSTRAINT day', leaf);
	END LOOP;
	RETURN made;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_switch_days(date[], text[]) IS
	'Internal: make the partitions of days, drop expired ones, under locks that are taken first';

-- Call it hourly: the forwarder does. It waits for a lock, and lets others wait behind it, for 50 ms at
-- a time; what it does not get in 20 attempts it leaves to the next call, and rows of a day without a
-- partition are safe in DEFAULT until then. Inside a longer transaction its locks last as long as
-- that does.
CREATE FUNCTION @extschema@.routing_maintain()
RETURNS TABLE (action text, object text, detail text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '50ms'
AS $function$
DECLARE
	days_ahead   CONSTANT integer := 7;
	attempts     CONSTANT integer := 20;
	-- Rollups outlive the rows they count: a rollout is judged by its whole course.
	rollups_kept CONSTANT interval := '90 days';
	-- Meta delivers a message again for 7 days.
	failed_kept  CONSTANT interval := '8 days';
	today        CONSTANT date := now()::date;
	retention    interval;
	idle_after   interval;
	hashed       boolean;
	oldest       date;
	added        date[];
	expired      text[];
	made         text[] := '{}';
	removed      bigint;
	doubled      bigint;
	settled      bigint;
	blocker      text;
BEGIN
	-- Of the log table, so that several installations in one database do not meet.
	IF NOT pg_try_advisory_xact_lock('@extschema@.webhook_routing_logs'::regclass::oid::integer, 1) THEN
		RETURN QUERY VALUES ('busy', 'routing_maintain()', 'another session is at it');
		RETURN;
	END IF;

	SELECT c.log_retention, c.conversation_timeout, c.hash_senders INTO STRICT retention, idle_after, hashed
	  FROM @extschema@.webhook_routing_config c ORDER BY c.version DESC LIMIT 1;
	oldest := (now()::timestamp - retention)::date;

	-- An INSERT into the log refuses these; they have aged here, or came by another way.
	DELETE FROM @extschema@.webhook_routing_logs_default d
	 USING (SELECT e.id, e.created_at FROM @extschema@.webhook_routing_logs_default e
	         WHERE e.created_at < oldest::timestamptz FOR UPDATE SKIP LOCKED) e
	 WHERE d.id = e.id AND d.created_at = e.created_at;
	GET DIAGNOSTICS removed = ROW_COUNT;
	IF removed > 0 THEN
		RETURN QUERY VALUES ('deleted', 'webhook_routing_logs_default',
							 format('%s rows from before %s', removed, oldest));
	END IF;

	DELETE FROM @extschema@.webhook_routing_pending d
	 USING (SELECT e.id, e.created_at FROM @extschema@.webhook_routing_pending e
	         WHERE e.created_at < oldest::timestamptz FOR UPDATE SKIP LOCKED) e
	 WHERE d.id = e.id AND d.created_at = e.created_at;
	GET DIAGNOSTICS removed = ROW_COUNT;
	IF removed > 0 THEN
		RETURN QUERY VALUES ('deleted', 'webhook_routing_pending',
							 format('%s rows from before %s', removed, oldest));
	END IF;

	DELETE FROM @extschema@.webhook_routing_rollups r
	 USING (SELECT e.id FROM @extschema@.webhook_routing_rollups e
	         WHERE e.minute < now() - greatest(retention, rollups_kept) FOR UPDATE SKIP LOCKED) e
	 WHERE r.id = e.id;
	GET DIAGNOSTICS removed = ROW_COUNT;
	IF removed > 0 THEN
		RETURN QUERY VALUES ('deleted', 'webhook_routing_rollups',
							 format('%s rows older than %s', removed,
									greatest(retention, rollups_kept)));
	END IF;

	-- Conversations that are idle, and rows that a newer one of the same sender stands for.
	DELETE FROM @extschema@.webhook_routing_conversations c
	 USING (SELECT e.id FROM @extschema@.webhook_routing_conversations e
	         WHERE e.last_at < now() - idle_after OR idle_after = '0' FOR UPDATE SKIP LOCKED) e
	 WHERE c.id = e.id;
	GET DIAGNOSTICS removed = ROW_COUNT;
	DELETE FROM @extschema@.webhook_routing_conversations c
	 USING (SELECT e.id FROM @extschema@.webhook_routing_conversations e
	          JOIN @extschema@.webhook_routing_conversations n ON n.sender = e.sender
	         WHERE (n.last_at, n.routed_to = 'legacy', n.id) > (e.last_at, e.routed_to = 'legacy', e.id)
	           FOR UPDATE OF e SKIP LOCKED) e
	 WHERE c.id = e.id;
	GET DIAGNOSTICS doubled = ROW_COUNT;
	IF removed + doubled > 0 THEN
		RETURN QUERY VALUES ('deleted', 'webhook_routing_conversations',
							 format('%s idle for longer than %s, %s with a newer row', removed,
									idle_after, doubled));
	END IF;

	-- Since hash_senders was switched nobody finds these, and plain numbers are not to stay.
	DELETE FROM @extschema@.webhook_routing_conversations c
	 USING (SELECT e.id FROM @extschema@.webhook_routing_conversations e
	         WHERE starts_with(e.sender, 'hmac:') <> hashed FOR UPDATE SKIP LOCKED) e
	 WHERE c.id = e.id;
	GET DIAGNOSTICS removed = ROW_COUNT;
	IF removed > 0 THEN
		RETURN QUERY VALUES ('deleted', 'webhook_routing_conversations',
							 format('%s from before hash_senders was switched', removed));
	END IF;

	DELETE FROM @extschema@.webhook_routing_failed_messages WHERE seen_at < now() - failed_kept;
	GET DIAGNOSTICS removed = ROW_COUNT;
	IF removed > 0 THEN
		RETURN QUERY VALUES ('deleted', 'webhook_routing_failed_messages',
							 format('%s rows older than %s', removed, failed_kept));
	END IF;

	-- Partitions of other names are somebody else's and stay.
	SELECT coalesce(array_agg(c.relname::text ORDER BY c.relname), '{}') INTO expired
	  FROM pg_inherits i
	  JOIN pg_class c ON c.oid = i.inhrelid
	 WHERE i.inhparent = '@extschema@.webhook_routing_logs'::regclass
	   AND c.relname ~ '^webhook_routing_logs_[0-9]{8}$'
	   AND c.relname < to_char(oldest, '"webhook_routing_logs_"YYYYMMDD');

	-- A day that DEFAULT holds rows of counts as well; one that lies far ahead can wait.
	SELECT coalesce(array_agg(w.day ORDER BY w.day), '{}') INTO added
	  FROM (SELECT generate_series(today - 1, today + days_ahead, '1 day')::date
	         UNION
	        SELECT d.created_at::date FROM @extschema@.webhook_routing_logs_default d
	         WHERE d.created_at >= oldest::timestamptz
	           AND d.created_at < (today + days_ahead + 1)::timestamptz) w (day)
	 WHERE w.day >= oldest
	   AND NOT EXISTS (SELECT FROM pg_class c
	                    WHERE c.relnamespace = (SELECT p.relnamespace FROM pg_class p
	                                             WHERE p.oid = '@extschema@.webhook_routing_logs'::regclass)
	                      AND c.relname = to_char(w.day, '"webhook_routing_logs_"YYYYMMDD'));

	FOR attempt IN 1..attempts LOOP
		EXIT WHEN added = '{}' AND expired = '{}';
		-- Dropping needs more than making. Who reads for long may put it off, but not both.
		IF attempt > attempts / 2 AND expired <> '{}' THEN
			expired := '{}';
			RETURN QUERY VALUES ('postponed', 'expired partitions',
								 'they are in use; the next call will drop them');
		END IF;
		BEGIN
			made := @extschema@.webhook_routing_switch_days(added, expired);
			EXIT;
		EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
			IF attempt = attempts THEN
				SELECT string_agg(DISTINCT l.pid::text, ', ') INTO blocker
				  FROM pg_locks l
				 WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_backend_pid()
				   AND l.database = (SELECT d.oid FROM pg_database d
				                      WHERE d.datname = current_database())
				   AND l.relation IN ('@extschema@.webhook_routing_logs'::regclass,
				                      '@extschema@.webhook_routing_logs_default'::regclass);
				RETURN QUERY VALUES ('postponed', 'new partitions',
					format('the log is locked by process %s; the next call will try again',
						   coalesce(blocker, 'unknown')));
				EXIT;
			END IF;
		END;
		PERFORM pg_sleep(0.05 + 0.1 * random());
	END LOOP;

	RETURN QUERY SELECT 'created', made[i], CASE made[i + 1] WHEN '0' THEN 'empty'
						ELSE format('%s rows from webhook_routing_logs_default', made[i + 1]) END
				   FROM generate_series(1, cardinality(made), 2) i;
	RETURN QUERY SELECT 'dropped', e, format('expired: log_retention is %s', retention)
				   FROM unnest(expired) e;

	-- Last, since others wait for the rows it has touched until the end of the transaction; and once,
	-- since they may be waiting for the new partitions as well.
	IF EXISTS (SELECT FROM @extschema@.webhook_routing_pending w
	            WHERE w.stored_at < now() - interval '1 minute') THEN
		BEGIN
			settled := @extschema@.webhook_routing_settle_pending();
			RETURN QUERY SELECT 'stored', 'webhook_routing_logs', format(
							'%s rows from webhook_routing_pending, outcome unknown', settled)
						  WHERE settled > 0;
		EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
			RETURN QUERY VALUES ('postponed', 'webhook_routing_pending',
								 'the log is in use; the next call will try again');
		END;
	END IF;
END
$function$;
COMMENT ON FUNCTION @extschema@.routing_maintain() IS
	'Hourly upkeep of the log: partitions ahead, rows into their day, expired days and rollups away, '
	'decisions whose outcome never came into the log';
