-- An edit of a rule, row by row: under the lock it is checked and stamped with the config version that
-- will record it. 26_edit_triggers.sql has the rest of the way.

-- Edits wait for the lock before they lock any row. (A parallel restore is spared that: it would
-- wait for its own other half.)
CREATE FUNCTION @extschema@.webhook_routing_rules_before() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	IF TG_OP = 'TRUNCATE' THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
			MESSAGE = format('TRUNCATE on %s is refused: its seeds stay', TG_TABLE_NAME),
			HINT = format('DELETE FROM %s WHERE NOT installed;', TG_TABLE_NAME);
	END IF;
	PERFORM @extschema@.webhook_routing_lock();
	RETURN NULL;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_rules_before() IS
	'Internal: take the lock before rules are edited; refuse TRUNCATE';

-- What tells an edit from a restore at the end of a statement: the config version that its row
-- triggers were given. It is kept in the backend's memory (module.c), where no statement of a user
-- reaches it; a setting could be changed by an expression in RETURNING, between the two triggers.
CREATE FUNCTION @extschema@.webhook_routing_note_edit(version bigint) RETURNS void
LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_routing_note_edit';
COMMENT ON FUNCTION @extschema@.webhook_routing_note_edit(bigint) IS
	'Internal: remember the config version of the edit under way; 0 for none';

CREATE FUNCTION @extschema@.webhook_routing_noted_edit() RETURNS bigint
LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_routing_noted_edit';
COMMENT ON FUNCTION @extschema@.webhook_routing_noted_edit() IS
	'Internal: the config version of the edit under way in this transaction; 0 when there is none';

-- The config version that the edit under way will have.
CREATE FUNCTION @extschema@.webhook_routing_rule_stamp() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	stamp bigint;
BEGIN
	PERFORM @extschema@.webhook_routing_lock();
	stamp := (@extschema@.get_current_routing_config()).version + 1;
	PERFORM @extschema@.webhook_routing_note_edit(stamp);
	RETURN stamp;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_rule_stamp() IS
	'Internal: the config version of the edit under way';

-- Refuses to delete a row that was installed. Called with the row's name for people.
CREATE FUNCTION @extschema@.webhook_routing_refuse_delete(what text, remedy text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
		MESSAGE = format('%s came with the extension and cannot be deleted', what),
		DETAIL = 'A restored dump would bring it back.',
		HINT = remedy;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_refuse_delete(text, text) IS
	'Internal: refuse to delete a seed';

-- The CHECK constraints say the same; this says it to people. "fine" is NULL for a NULL value, which
-- is allowed or the NOT NULL constraints' affair.
CREATE FUNCTION @extschema@.webhook_routing_check_value(
	fine boolean, what text, value text, allowed text) RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	IF NOT fine THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('%s %L is refused', what, value),
			HINT = format('Allowed: %s.', allowed);
	END IF;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_check_value(boolean, text, text, text) IS
	'Internal: raise unless a value is fine, saying what is allowed';

CREATE FUNCTION @extschema@.webhook_routing_target_edited() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	config  @extschema@.webhook_routing_config;
	cutover record;
BEGIN
	PERFORM @extschema@.webhook_routing_lock();
	config := @extschema@.get_current_routing_config();
	IF TG_OP = 'DELETE' THEN
		IF OLD.installed THEN
			PERFORM @extschema@.webhook_routing_refuse_delete(format('target "%s"', OLD.name),
				'A target that nothing names is never called; leave it.'::text);
		ELSIF OLD.name IN (config.unified_webhook, config.default_webhook) THEN
			RAISE EXCEPTION USING ERRCODE = 'object_in_use',
				MESSAGE = format('target "%s" is the unified or default one', OLD.name),
				HINT = 'First name another: SELECT update_routing_settings(''{"unified_webhook": "..."}'');';
		ELSIF EXISTS (SELECT FROM @extschema@.webhook_routing_domains d
					   WHERE d.legacy_target = OLD.name) THEN
			RAISE EXCEPTION USING ERRCODE = 'foreign_key_violation',
				MESSAGE = format('target "%s" is the legacy target of a domain', OLD.name),
				HINT = format('SELECT domain FROM webhook_routing_domains WHERE legacy_target = %L;',
							  OLD.name);
		END IF;
		PERFORM @extschema@.webhook_routing_rule_stamp();
		RETURN OLD;
	ELSIF TG_OP = 'UPDATE' THEN
		NEW.installed := OLD.installed;
		NEW.is_seed := OLD.is_seed;
		NEW.config_version := OLD.config_version;
		IF NEW IS NOT DISTINCT FROM OLD THEN
			RETURN NULL;
		ELSIF NEW.name <> OLD.name THEN
			RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
				MESSAGE = format('target "%s" cannot be renamed: the log and the history name it',
								 OLD.name),
				HINT = 'Insert the new target, then let domains name it.';
		END IF;
	ELSE
		NEW.installed := false;
	END IF;

	PERFORM @extschema@.webhook_routing_check_value(
		NEW.name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$', 'target name'::text, NEW.name,
		'up to 63 letters, digits, dots, dashes and underscores, beginning with a letter or digit'::text);
	PERFORM @extschema@.webhook_routing_check_value(
		NEW.timeout_ms BETWEEN 50 AND 60000, 'timeout_ms'::text, NEW.timeout_ms::text,
		'50 to 60000, or NULL for the forwarder''s --attempt-timeout'::text);
	PERFORM @extschema@.webhook_routing_check_value(
		NEW.fallback_policy IN ('connect', 'error', 'any'), 'fallback_policy'::text,
		NEW.fallback_policy, 'connect, error, any'::text);
	PERFORM @extschema@.webhook_routing_check_url(NEW.name, NEW.url);
	-- The way back, retired = false, is never refused.
	IF NEW.retired AND (TG_OP = 'INSERT' OR NOT OLD.retired) THEN
		SELECT r.ready, r.missing INTO cutover
		  FROM @extschema@.cutover_readiness() r WHERE r.target = NEW.name;
		IF cutover.ready IS DISTINCT FROM true THEN
			RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
				MESSAGE = format('target "%s" cannot be retired', NEW.name),
				DETAIL = format('Missing: %s.', coalesce(cutover.missing, 'it is the legacy target of no domain')),
				HINT = 'SELECT target, ready, missing FROM cutover_readiness();';
		END IF;
	END IF;
	NEW.is_seed := false;
	NEW.config_version := @extschema@.webhook_routing_rule_stamp();
	RETURN NEW;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_target_edited() IS
	'Internal: check an edited target and stamp it';

CREATE FUNCTION @extschema@.webhook_routing_domain_edited() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	config @extschema@.webhook_routing_config;
BEGIN
	PERFORM @extschema@.webhook_routing_lock();
	config := @extschema@.get_current_routing_config();
	IF TG_OP = 'DELETE' THEN
		IF OLD.installed THEN
			PERFORM @extschema@.webhook_routing_refuse_delete(format('domain "%s"', OLD.domain),
				format('UPDATE webhook_routing_domains SET enabled = false WHERE domain = %L;',
					   OLD.domain));
		ELSIF OLD.domain = ANY (config.domains) THEN
			RAISE EXCEPTION USING ERRCODE = 'object_in_use',
				MESSAGE = format('domain "%s" is enrolled', OLD.domain),
				HINT = format('First: SELECT set_routing_domains(%L, ''why'');',
							  array_remove(config.domains, OLD.domain));
		ELSIF EXISTS (SELECT FROM @extschema@.webhook_routing_keywords k
					   WHERE k.domain = OLD.domain) THEN
			RAISE EXCEPTION USING ERRCODE = 'foreign_key_violation',
				MESSAGE = format('domain "%s" has keywords', OLD.domain),
				HINT = format('First: DELETE FROM webhook_routing_keywords WHERE domain = %L;',
							  OLD.domain);
		END IF;
		PERFORM @extschema@.webhook_routing_rule_stamp();
		RETURN OLD;
	ELSIF TG_OP = 'UPDATE' THEN
		NEW.installed := OLD.installed;
		NEW.is_seed := OLD.is_seed;
		NEW.config_version := OLD.config_version;
		IF NEW IS NOT DISTINCT FROM OLD THEN
			RETURN NULL;
		ELSIF NEW.domain <> OLD.domain THEN
			RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
				MESSAGE = format('domain "%s" cannot be renamed: the log and the history name it',
								 OLD.domain),
				HINT = 'Insert the new domain and its keywords, then disable the old one.';
		ELSIF OLD.protected AND NOT NEW.protected THEN
			RAISE EXCEPTION USING ERRCODE = 'WR001',
				MESSAGE = format('domain "%s" is protected and stays protected', NEW.domain),
				DETAIL = 'A protected domain is never routed to the unified target.',
				HINT = 'A domain of your own can be deleted and inserted anew; one that came with the '
					   'extension stays as it is.';
		END IF;
	ELSE
		NEW.installed := false;
	END IF;

	PERFORM @extschema@.webhook_routing_check_value(
		NEW.domain ~ '^[a-z0-9][a-z0-9_-]{0,62}$' AND NEW.domain <> 'unknown',
		'domain name'::text, NEW.domain,
		'up to 63 small letters, digits, dashes and underscores, but not "unknown"'::text);
	-- NULL is refused by the column.
	IF NEW.legacy_target IS NOT NULL AND
	   NOT EXISTS (SELECT FROM @extschema@.webhook_routing_targets t
					WHERE t.name = NEW.legacy_target) THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('there is no target "%s"', NEW.legacy_target),
			HINT = format('INSERT INTO webhook_routing_targets (name) VALUES (%L);', NEW.legacy_target);
	END IF;
	IF NEW.percentage IS NOT NULL THEN
		PERFORM @extschema@.webhook_routing_check_percentage(NEW.percentage);
	END IF;
	IF NEW.protected AND NEW.percentage IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'WR001',
			MESSAGE = format('protected domain "%s" cannot have a percentage', NEW.domain),
			DETAIL = 'A protected domain is never routed to the unified target.',
			HINT = 'Leave its percentage NULL.';
	END IF;
	NEW.is_seed := false;
	NEW.config_version := @extschema@.webhook_routing_rule_stamp();
	RETURN NEW;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_domain_edited() IS
	'Internal: check an edited domain and stamp it';

CREATE FUNCTION @extschema@.webhook_routing_keyword_edited() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	PERFORM @extschema@.webhook_routing_lock();
	IF TG_OP = 'DELETE' THEN
		IF OLD.installed THEN
			PERFORM @extschema@.webhook_routing_refuse_delete(
				format('%s "%s" of %s', OLD.kind, OLD.pattern, OLD.domain),
				format('UPDATE webhook_routing_keywords SET enabled = false '
					   'WHERE (domain, kind, pattern) = (%L, %L, %L);',
					   OLD.domain, OLD.kind, OLD.pattern));
		END IF;
		PERFORM @extschema@.webhook_routing_rule_stamp();
		RETURN OLD;
	ELSIF TG_OP = 'UPDATE' THEN
		NEW.installed := OLD.installed;
		NEW.is_seed := OLD.is_seed;
		NEW.config_version := OLD.config_version;
		IF NEW IS NOT DISTINCT FROM OLD THEN
			RETURN NULL;
		ELSIF OLD.installed AND (NEW.domain, NEW.kind, NEW.pattern)
			  <> (OLD.domain, OLD.kind, OLD.pattern) THEN
			RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
				MESSAGE = format('%s "%s" of %s came with the extension and keeps its pattern',
								 OLD.kind, OLD.pattern, OLD.domain),
				HINT = format('UPDATE webhook_routing_keywords SET enabled = false WHERE (domain, kind, pattern) '
							  '= (%L, %L, %L); then insert another.', OLD.domain, OLD.kind, OLD.pattern);
		END IF;
	ELSE
		NEW.installed := false;
	END IF;

	IF NEW.domain IS NOT NULL AND
	   NOT EXISTS (SELECT FROM @extschema@.webhook_routing_domains d WHERE d.domain = NEW.domain) THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('there is no domain "%s"', NEW.domain),
			HINT = format('INSERT INTO webhook_routing_domains (domain, legacy_target) VALUES (%L, ''...'');',
						  NEW.domain);
	END IF;
	IF NEW.pattern LIKE '%*%' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('pattern "%s" contains an asterisk, which has no meaning', NEW.pattern),
			HINT = format('INSERT INTO webhook_routing_keywords (domain, kind, pattern, match) '
						  'VALUES (%L, %L, %L, ''prefix'');',
						  NEW.domain, NEW.kind, replace(NEW.pattern, '*', ''));
	END IF;
	IF NEW.kind = 'button' AND NEW.match = 'word' THEN
		NEW.match := 'exact';
	END IF;
	PERFORM @extschema@.webhook_routing_check_value(
		NEW.kind IN ('keyword', 'button'), 'kind'::text, NEW.kind, 'keyword, button'::text);
	PERFORM @extschema@.webhook_routing_check_value(
		NEW.match IN ('word', 'prefix', 'exact'), 'match'::text, NEW.match,
		'word, prefix, exact'::text);
	PERFORM @extschema@.webhook_routing_check_value(
		NEW.language ~ '^[a-z]{2,3}$', 'language'::text, NEW.language,
		'a code such as en, fr, rw, sw, or NULL'::text);
	PERFORM @extschema@.webhook_routing_check_value(
		octet_length(NEW.pattern) <= 128 AND NEW.pattern !~ '[[:cntrl:]]'
		AND NEW.pattern ~ '[^[:space:][:punct:]]', 'pattern'::text, NEW.pattern,
		'up to 128 bytes on one line, with at least one letter or digit'::text);
	NEW.is_seed := false;
	NEW.config_version := @extschema@.webhook_routing_rule_stamp();
	RETURN NEW;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_keyword_edited() IS
	'Internal: check an edited keyword or button and stamp it';
