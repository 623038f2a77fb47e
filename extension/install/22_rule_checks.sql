-- What rules have to be like, each one and all together: URLs that webhooks may be sent to, and
-- targets that keep protected domains apart from unified.

-- What is wrong with a URL that webhooks would be sent to; NULL when nothing is. The forwarder
-- checks the address it connects to as well, since a name may lead anywhere: the addresses below are
-- those of forwarder/limits.c.
CREATE FUNCTION @extschema@.webhook_routing_url_problem(url text) RETURNS text
LANGUAGE plpgsql STRICT IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	parts   text[];
	host    text;
	address inet;
BEGIN
	IF url ~ '[[:cntrl:][:space:]\\]' OR url ~ '[^ -~]' THEN
		RETURN 'it contains a space, a control character, a backslash or a character beyond ASCII';
	ELSIF length(url) > 2048 THEN
		RETURN 'it is longer than 2048 characters';
	END IF;
	parts := regexp_match(url, '^([a-z][a-z0-9+.-]*)://([^/?#]*)([^#]*)(#.*)?$', 'i');
	IF parts IS NULL OR lower(parts[1]) NOT IN ('http', 'https') THEN
		RETURN 'it does not begin with http:// or https://';
	ELSIF parts[2] LIKE '%@%' THEN
		RETURN 'it contains a user name or password';
	ELSIF parts[4] IS NOT NULL THEN
		RETURN 'it contains a fragment';
	END IF;
	IF parts[3] ~ '%(?![0-9A-Fa-f]{2})' THEN
		RETURN 'it contains a percent sign that begins no escape';
	ELSIF parts[3] ~* '%(4[1-9a-f]|5[0-9a]|6[1-9a-f]|7[0-9a]|3[0-9]|2[def]|5[cf]|7e)' THEN
		RETURN 'it escapes a character that needs no escape, or a slash';
	ELSIF split_part(parts[3], '?', 1) ~ '(^|/)[.]{1,2}(/|$)' THEN
		RETURN 'it contains a segment "." or ".."';
	END IF;
	parts := regexp_match(parts[2], '^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?$', 'i');
	IF parts IS NULL OR parts[2]::integer NOT BETWEEN 1 AND 65535 THEN
		RETURN 'its host or port cannot be read';
	END IF;

	host := lower(rtrim(parts[1], '.'));
	IF host IN ('', 'metadata', 'metadata.google.internal', 'instance-data') THEN
		RETURN 'its host is a metadata service';
	ELSIF host LIKE '[%' THEN
		BEGIN
			address := trim(host, '[]')::inet;
		EXCEPTION WHEN invalid_text_representation THEN
			RETURN 'its host or port cannot be read';
		END;
		IF address <<= '::ffff:0:0/96' OR address <<= '64:ff9b::/96' OR address <<= '::/96'
		   AND address > '::1' THEN
			RETURN 'its address is an IPv4 address in IPv6 clothes';
		END IF;
	ELSIF host ~ '(^|\.)(0x[0-9a-f]*|[0-9]+)$' THEN
		-- A last label that is a number makes the whole an IPv4 address; libraries read many
		-- spellings of one, so only the plain one is accepted.
		IF host !~ '^(0|[1-9][0-9]{0,2})(\.(0|[1-9][0-9]{0,2})){3}$' THEN
			RETURN 'its IPv4 address is not written as four plain numbers';
		END IF;
		BEGIN
			address := host::inet;
		EXCEPTION WHEN invalid_text_representation THEN
			RETURN 'its host or port cannot be read';
		END;
	END IF;
	IF address <<= ANY ('{169.254.0.0/16,fe80::/10}'::inet[]) THEN
		RETURN 'its address is link-local';
	ELSIF address = ANY ('{fd00:ec2::254,100.100.100.200,192.0.0.192}'::inet[]) THEN
		RETURN 'its host is a metadata service';
	ELSIF address <<= ANY ('{0.0.0.0/8,224.0.0.0/3,::/128,ff00::/8}'::inet[]) THEN
		RETURN 'its address is no host''s';
	END IF;
	RETURN NULL;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_url_problem(text) IS
	'Internal: what is wrong with the URL of a target; NULL when nothing is';

-- Raises for such a URL. (A CHECK constraint would have whoever edits a target need EXECUTE.)
CREATE FUNCTION @extschema@.webhook_routing_check_url(target text, url text) RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	problem text := @extschema@.webhook_routing_url_problem(url);
BEGIN
	IF problem IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('the URL of target "%s" is refused: %s', target, problem),
			HINT = 'Give a URL such as https://functions.example.org/wa-webhook-jobs, or NULL for '
				   'the forwarder''s base URL + / + name.';
	END IF;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_check_url(text, text) IS
	'Internal: raise unless webhooks may be sent to the URL';

-- What a URL leads to: its host, a port other than the usual one, and its path, in one spelling. The
-- query does not tell functions apart, nor does the scheme.
CREATE FUNCTION @extschema@.webhook_routing_url_place(url text) RETURNS text
LANGUAGE sql STRICT IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT CASE WHEN parts IS NULL THEN lower(url)
				ELSE concat(rtrim(parts[2], '.'),
							nullif(':' || ltrim(parts[3], '0'),
								   CASE parts[1] WHEN 'https' THEN ':443' ELSE ':80' END),
							rtrim(regexp_replace(parts[4], '/+', '/', 'g'), '/')) END
	  FROM regexp_match(lower(url), '^(https?)://(\[[^]]*\]|[^/?#:]*)(?::([0-9]*))?([^?#]*)') parts
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_url_place(text) IS
	'Internal: host, port and path of a URL, in one spelling';

-- Whether two targets are one function: the same place, or a URL that ends in the other's name.
CREATE FUNCTION @extschema@.webhook_routing_same_function(
	name_a text, url_a text, name_b text, url_b text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT lower(name_a) = lower(name_b)
		OR coalesce(place_a = place_b, false)
		OR coalesce(substring(place_a FROM '/([^/]+)$') = lower(name_b), false)
		OR coalesce(substring(place_b FROM '/([^/]+)$') = lower(name_a), false)
	  FROM (SELECT @extschema@.webhook_routing_url_place(url_a) AS place_a,
				   @extschema@.webhook_routing_url_place(url_b) AS place_b) AS places
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_same_function(text, text, text, text) IS
	'Internal: whether two targets lead to the same function';

-- Checks the targets of the rules against the unified and default target of a config row. Called
-- for every new config row, thus after every edit of a rule as well.
CREATE FUNCTION @extschema@.webhook_routing_check_targets(unified text, fallback text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	unified_url text;
	missing     text;
	wrong       record;
BEGIN
	SELECT n INTO missing FROM unnest(ARRAY[unified, fallback]) n
	 WHERE NOT EXISTS (SELECT FROM @extschema@.webhook_routing_targets t WHERE t.name = n) LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('there is no target "%s"', missing),
			HINT = format('INSERT INTO webhook_routing_targets (name) VALUES (%L);', missing);
	END IF;

	SELECT t.url INTO unified_url FROM @extschema@.webhook_routing_targets t WHERE t.name = unified;
	SELECT d.domain, d.legacy_target INTO wrong
	  FROM @extschema@.webhook_routing_domains d
	  JOIN @extschema@.webhook_routing_targets t ON t.name = d.legacy_target
	 WHERE d.protected
	   AND (t.retired
			OR @extschema@.webhook_routing_same_function(t.name, t.url, unified, unified_url))
	 ORDER BY d.domain LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'WR001',
			MESSAGE = format('protected domain "%s" must keep a legacy target of its own', wrong.domain),
			DETAIL = format('Its legacy target "%s" would be retired, or lead to the unified target '
							'"%s".', wrong.legacy_target, unified),
			HINT = 'SELECT t.* FROM webhook_routing_domains d JOIN webhook_routing_targets t '
				   'ON t.name = d.legacy_target WHERE d.protected;';
	END IF;

	SELECT d.domain, d.legacy_target, p.domain AS protected_domain INTO wrong
	  FROM @extschema@.webhook_routing_domains p
	  JOIN @extschema@.webhook_routing_targets tp ON tp.name = p.legacy_target
	  JOIN @extschema@.webhook_routing_domains d ON NOT d.protected
	  JOIN @extschema@.webhook_routing_targets td ON td.name = d.legacy_target
	 WHERE p.protected
	   AND @extschema@.webhook_routing_same_function(td.name, td.url, tp.name, tp.url)
	 ORDER BY p.domain, d.domain LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'WR001',
			MESSAGE = format('domain "%s" cannot share a function with protected domain "%s"',
							 wrong.domain, wrong.protected_domain),
			DETAIL = format('What is sent to its legacy target "%s" would be routed, though that function '
							'belongs to a protected domain.', wrong.legacy_target),
			HINT = format('Give domain "%s" a legacy target of its own, or protect it as well.',
						  wrong.domain);
	END IF;

	SELECT t.name INTO wrong
	  FROM @extschema@.webhook_routing_targets t
	 WHERE (t.name = fallback
			OR EXISTS (SELECT FROM @extschema@.webhook_routing_domains d
						WHERE d.legacy_target = t.name))
	   AND @extschema@.webhook_routing_same_function(t.name, t.url, unified, unified_url)
	 ORDER BY t.name LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('target "%s" cannot be legacy or default and unified at once', wrong.name),
			DETAIL = 'The kill switch would have no effect on it.',
			HINT = format('Give it a URL of its own, or name another unified target: SELECT '
						  'update_routing_settings(''{"unified_webhook": "..."}''); now it is "%s".',
						  unified);
	END IF;

	SELECT t.name INTO wrong FROM @extschema@.webhook_routing_targets t
	 WHERE t.retired AND t.name IN (unified, fallback) LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'object_in_use',
			MESSAGE = format('target "%s" is retired and cannot be the unified or default one',
							 wrong.name),
			HINT = format('UPDATE webhook_routing_targets SET retired = false WHERE name = %L;',
						  wrong.name);
	END IF;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_check_targets(text, text) IS
	'Internal: check all targets against the unified and the default one';
