-- The rules, as data: which domain a message belongs to, and which target answers it. Every edit
-- appends a config row that records it, so that one version number names everything that decided;
-- that row's trigger also checks the edited rules as a whole.
--
-- A dump carries what its owner changed and leaves out untouched seeds (is_seed). A restored row
-- brings its config_version, which nobody gives by hand, and comes while the search_path is empty,
-- as pg_dump sets it; it takes the place of the fresh seed and appends nothing, since its config
-- row is in the dump as well. There are no foreign keys between these tables: a parallel pg_restore
-- would load them in any order. The triggers check the same of every edit, under the lock.

CREATE TABLE @extschema@.webhook_routing_targets (
	name            text    PRIMARY KEY,
	url             text,
	timeout_ms      integer NOT NULL DEFAULT 10000,
	fallback_policy text    NOT NULL DEFAULT 'error',
	retired         boolean NOT NULL DEFAULT false,
	installed       boolean NOT NULL DEFAULT false,
	is_seed         boolean NOT NULL DEFAULT false,
	config_version  bigint  NOT NULL,
	CONSTRAINT webhook_routing_targets_name_check
		CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
	CONSTRAINT webhook_routing_targets_timeout_ms_check
		CHECK (timeout_ms BETWEEN 50 AND 60000),
	CONSTRAINT webhook_routing_targets_fallback_policy_check
		CHECK (fallback_policy IN ('connect', 'error', 'any'))
);
COMMENT ON TABLE @extschema@.webhook_routing_targets IS
	'Functions that can receive a webhook';
COMMENT ON COLUMN @extschema@.webhook_routing_targets.name IS
	'Name of the function, such as wa-webhook-jobs';
COMMENT ON COLUMN @extschema@.webhook_routing_targets.url IS
	'Its URL; NULL: the forwarder''s base URL + / + name';
COMMENT ON COLUMN @extschema@.webhook_routing_targets.timeout_ms IS
	'Deadline of one attempt in milliseconds';
COMMENT ON COLUMN @extschema@.webhook_routing_targets.fallback_policy IS
	'When a unified attempt goes on to legacy: connect, error or any';
COMMENT ON COLUMN @extschema@.webhook_routing_targets.retired IS
	'The function is gone: its domains go to unified whatever the switch says';
COMMENT ON COLUMN @extschema@.webhook_routing_targets.installed IS
	'Came with the extension: can be edited, not deleted';
COMMENT ON COLUMN @extschema@.webhook_routing_targets.is_seed IS
	'Still as it was installed: a dump leaves it out';
COMMENT ON COLUMN @extschema@.webhook_routing_targets.config_version IS
	'Config version that brought this row; written by the system';

CREATE TABLE @extschema@.webhook_routing_domains (
	domain         text         PRIMARY KEY,
	legacy_target  text         NOT NULL,
	protected      boolean      NOT NULL DEFAULT false,
	percentage     numeric,
	priority       integer      NOT NULL DEFAULT 100,
	enabled        boolean      NOT NULL DEFAULT true,
	installed      boolean      NOT NULL DEFAULT false,
	is_seed        boolean      NOT NULL DEFAULT false,
	config_version bigint       NOT NULL,
	CONSTRAINT webhook_routing_domains_domain_check
		CHECK (domain ~ '^[a-z0-9][a-z0-9_-]{0,62}$' AND domain <> 'unknown'),
	CONSTRAINT webhook_routing_domains_percentage_check
		CHECK (percentage BETWEEN 0 AND 100 AND percentage = round(percentage, 2))
);
COMMENT ON TABLE @extschema@.webhook_routing_domains IS
	'Business areas and the legacy function of each';
COMMENT ON COLUMN @extschema@.webhook_routing_domains.domain IS
	'Name of the business area';
COMMENT ON COLUMN @extschema@.webhook_routing_domains.legacy_target IS
	'Target that answers unless the webhook is routed to unified';
COMMENT ON COLUMN @extschema@.webhook_routing_domains.protected IS
	'May never be routed to unified, by any setting';
COMMENT ON COLUMN @extschema@.webhook_routing_domains.percentage IS
	'Ceiling of its own under the global percentage; NULL: none';
COMMENT ON COLUMN @extschema@.webhook_routing_domains.priority IS
	'The lower number wins when as many patterns of two domains match';
COMMENT ON COLUMN @extschema@.webhook_routing_domains.enabled IS
	'When false, no message is found to belong to it and it is not routed';
COMMENT ON COLUMN @extschema@.webhook_routing_domains.installed IS
	'Came with the extension: can be edited, not deleted';
COMMENT ON COLUMN @extschema@.webhook_routing_domains.is_seed IS
	'Still as it was installed: a dump leaves it out';
COMMENT ON COLUMN @extschema@.webhook_routing_domains.config_version IS
	'Config version that brought this row; written by the system';

CREATE TABLE @extschema@.webhook_routing_keywords (
	domain         text    NOT NULL,
	kind           text    NOT NULL DEFAULT 'keyword',
	pattern        text    NOT NULL,
	match          text    NOT NULL DEFAULT 'word',
	language       text,
	enabled        boolean NOT NULL DEFAULT true,
	installed      boolean NOT NULL DEFAULT false,
	is_seed        boolean NOT NULL DEFAULT false,
	config_version bigint  NOT NULL,
	PRIMARY KEY (domain, kind, pattern),
	CONSTRAINT webhook_routing_keywords_kind_check
		CHECK (kind IN ('keyword', 'button')),
	CONSTRAINT webhook_routing_keywords_pattern_check
		CHECK (octet_length(pattern) BETWEEN 1 AND 128 AND pattern !~ '[[:cntrl:]*]'
			   AND pattern ~ '[^[:space:][:punct:]]'),
	CONSTRAINT webhook_routing_keywords_match_check
		CHECK (match IN ('word', 'prefix', 'exact') AND (kind = 'keyword' OR match <> 'word')),
	CONSTRAINT webhook_routing_keywords_language_check
		CHECK (language ~ '^[a-z]{2,3}$')
);
COMMENT ON TABLE @extschema@.webhook_routing_keywords IS
	'Words and button ids by which a message is found to belong to a domain';
COMMENT ON COLUMN @extschema@.webhook_routing_keywords.domain IS
	'The domain it speaks for';
COMMENT ON COLUMN @extschema@.webhook_routing_keywords.kind IS
	'keyword: sought in the text; button: compared with the id of the button';
COMMENT ON COLUMN @extschema@.webhook_routing_keywords.pattern IS
	'The word or words; case, diacritics and punctuation do not count';
COMMENT ON COLUMN @extschema@.webhook_routing_keywords.match IS
	'word: whole words; prefix: beginning of a word (of the id); exact: the whole text (id)';
COMMENT ON COLUMN @extschema@.webhook_routing_keywords.language IS
	'Language it was written for, for people only; decisions do not look at it';
COMMENT ON COLUMN @extschema@.webhook_routing_keywords.enabled IS
	'When false it is not sought; seeds are disabled, never deleted';
COMMENT ON COLUMN @extschema@.webhook_routing_keywords.installed IS
	'Came with the extension: can be edited, not deleted';
COMMENT ON COLUMN @extschema@.webhook_routing_keywords.is_seed IS
	'Still as it was installed: a dump leaves it out';
COMMENT ON COLUMN @extschema@.webhook_routing_keywords.config_version IS
	'Config version that brought this row; written by the system';

COMMENT ON CONSTRAINT webhook_routing_targets_pkey ON @extschema@.webhook_routing_targets IS
	'A target is called by its name';
COMMENT ON CONSTRAINT webhook_routing_targets_name_check ON @extschema@.webhook_routing_targets IS
	'A name is safe in a URL, a header and a log line';
COMMENT ON CONSTRAINT webhook_routing_targets_timeout_ms_check ON @extschema@.webhook_routing_targets IS
	'A deadline that can be met, and that nobody takes for an outage';
COMMENT ON CONSTRAINT webhook_routing_targets_fallback_policy_check ON @extschema@.webhook_routing_targets IS
	'The policies that the forwarder knows; each includes the one before';
COMMENT ON CONSTRAINT webhook_routing_domains_pkey ON @extschema@.webhook_routing_domains IS
	'A domain is called by its name';
COMMENT ON CONSTRAINT webhook_routing_domains_domain_check ON @extschema@.webhook_routing_domains IS
	'A name is safe in a label; "unknown" stands for no domain';
COMMENT ON CONSTRAINT webhook_routing_domains_percentage_check ON @extschema@.webhook_routing_domains IS
	'A ceiling is from 0 to 100 percent, with two decimals at most';
COMMENT ON CONSTRAINT webhook_routing_keywords_pkey ON @extschema@.webhook_routing_keywords IS
	'A pattern stands once for a domain, and once for its buttons';
COMMENT ON CONSTRAINT webhook_routing_keywords_kind_check ON @extschema@.webhook_routing_keywords IS
	'The kinds of pattern that there are';
COMMENT ON CONSTRAINT webhook_routing_keywords_pattern_check ON @extschema@.webhook_routing_keywords IS
	'A pattern is short, on one line, and has a letter or a digit to look for';
COMMENT ON CONSTRAINT webhook_routing_keywords_match_check ON @extschema@.webhook_routing_keywords IS
	'The ways to match; the id of a button is no running text, so it has no words';
COMMENT ON CONSTRAINT webhook_routing_keywords_language_check ON @extschema@.webhook_routing_keywords IS
	'A language is its ISO 639 code';
COMMENT ON INDEX @extschema@.webhook_routing_targets_pkey IS 'Finds a target by its name';
COMMENT ON INDEX @extschema@.webhook_routing_domains_pkey IS 'Finds a domain by its name';
COMMENT ON INDEX @extschema@.webhook_routing_keywords_pkey IS
	'Finds the patterns of a domain, and keeps each once';

INSERT INTO @extschema@.webhook_routing_targets (name, installed, is_seed, config_version)
SELECT name, true, true, 1
  FROM unnest('{wa-webhook,wa-webhook-unified,wa-webhook-jobs,wa-webhook-marketplace,
				wa-webhook-property,wa-webhook-mobility,wa-webhook-profile,
				wa-webhook-insurance}'::text[]) AS name;

INSERT INTO @extschema@.webhook_routing_domains
	(domain, legacy_target, protected, priority, installed, is_seed, config_version)
VALUES
	('insurance',   'wa-webhook-insurance',   true,  10, true, true, 1),
	('jobs',        'wa-webhook-jobs',        false, 20, true, true, 1),
	('property',    'wa-webhook-property',    false, 30, true, true, 1),
	('mobility',    'wa-webhook-mobility',    true,  40, true, true, 1),
	('marketplace', 'wa-webhook-marketplace', false, 50, true, true, 1),
	('profile',     'wa-webhook-profile',     true,  60, true, true, 1);

-- A prefix where every word that begins so means the same business; whole words where others do
-- not: "carton" is no cart, "earnest" does not earn, "tripod" is no trip, "household" no house,
-- "accountant" is a job, "payload" no payment, and what is "covered in mud" is not insured. Inflections of those are rows of their own.
INSERT INTO @extschema@.webhook_routing_keywords
	(domain, kind, pattern, match, language, installed, is_seed, config_version)
SELECT domain, 'keyword', pattern, match, 'en', true, true, 1
  FROM (VALUES
	('jobs',        'prefix', '{job,hire,apply,career,work}'),
	('jobs',        'word',   '{hiring,employment,applied,applies,cv,resume,gig,gigs,cover letter,
		employer,employers,employee,employees}'),
	('marketplace', 'prefix', '{buy,sell,shop,order,purchase,business,broker}'),
	('marketplace', 'word',   '{store,stores,product,products,cart,marketplace,bought,sold,purchasing}'),
	('property',    'prefix', '{rental,apartment,landlord,tenant}'),
	('property',    'word',   '{property,properties,rent,rents,renting,rented,renter,renters,house,houses,
		real estate,realestate}'),
	('mobility',    'prefix', '{ride,driver,taxi,transport,schedule}'),
	('mobility',    'word',   '{trip,trips,book,booking,booked,nearby,deliver,delivered,deliveries,delivery,
		driving,riding,scheduling}'),
	('profile',     'prefix', '{wallet,token,transfer,redeem,reward,payment,deposit,withdraw,referral,profile}'),
	('profile',     'word',   '{earn,earned,earning,earnings,balance,pay,paid,paying,money,account,accounts}'),
	('insurance',   'prefix', '{claim,premium,insure}'),
	('insurance',   'word',   '{insurance,insuring,assurance,cover,covers,coverage,policy,policies,
		protection}')
  ) AS seed (domain, match, patterns), unnest(patterns::text[]) AS pattern;

INSERT INTO @extschema@.webhook_routing_keywords
	(domain, kind, pattern, match, installed, is_seed, config_version)
SELECT domain, 'button', pattern, match, true, true, 1
  FROM (VALUES
	('jobs',        'prefix', '{job}'),
	('jobs',        'exact',  '{jobs,jobs_agent}'),
	('marketplace', 'prefix', '{shop,buy}'),
	('marketplace', 'exact',  '{marketplace,shops_services,buy_and_sell,business_broker_agent,general_broker}'),
	('property',    'prefix', '{property,rent}'),
	('property',    'exact',  '{property_rentals,real_estate_agent}'),
	('mobility',    'exact',  '{rides,mobility,rides_agent,nearby_drivers,nearby_passengers,schedule_trip}'),
	('profile',     'exact',  '{wallet,token_transfer,momo_qr,profile,profile_assets,my_business,saved_locations}'),
	('insurance',   'exact',  '{insurance,insurance_agent,motor_insurance,insurance_submit,insurance_help}')
  ) AS seed (domain, match, patterns), unnest(patterns::text[]) AS pattern;

SELECT pg_catalog.pg_extension_config_dump('@extschema@.webhook_routing_targets', 'WHERE NOT is_seed');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.webhook_routing_domains', 'WHERE NOT is_seed');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.webhook_routing_keywords', 'WHERE NOT is_seed');

-- What is wrong with a URL that webhooks would be sent to; NULL when nothing is. The forwarder
-- checks the address it connects to as well, since a name may lead anywhere.
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
	ELSIF address = ANY ('{fd00:ec2::254,100.100.100.200}'::inet[]) THEN
		RETURN 'its host is a metadata service';
	ELSIF address = ANY ('{0.0.0.0,::}'::inet[]) THEN
		RETURN 'its address is unspecified';
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
-- is the NOT NULL constraints' affair.
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
	config @extschema@.webhook_routing_config;
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
		'50 to 60000'::text);
	PERFORM @extschema@.webhook_routing_check_value(
		NEW.fallback_policy IN ('connect', 'error', 'any'), 'fallback_policy'::text,
		NEW.fallback_policy, 'connect, error, any'::text);
	PERFORM @extschema@.webhook_routing_check_url(NEW.name, NEW.url);
	IF NEW.retired AND (TG_OP = 'INSERT' OR NOT OLD.retired) THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('target "%s" cannot be retired yet', NEW.name),
			DETAIL = 'It has not been shown that it had no traffic for the soak at 100 %.',
			HINT = 'Leave the legacy function deployed: without it the kill switch has nowhere to go.';
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
	IF NOT EXISTS (SELECT FROM @extschema@.webhook_routing_targets t
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

	IF NOT EXISTS (SELECT FROM @extschema@.webhook_routing_domains d WHERE d.domain = NEW.domain) THEN
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

-- Name of a rule row for people.
CREATE FUNCTION @extschema@.webhook_routing_rule_name(rule jsonb) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT CASE WHEN rule ? 'pattern'
				THEN format('%s "%s" of %s', rule ->> 'kind', rule ->> 'pattern', rule ->> 'domain')
				WHEN rule ? 'legacy_target' THEN 'domain ' || (rule ->> 'domain')
				ELSE 'target ' || (rule ->> 'name') END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_rule_name(jsonb) IS
	'Internal: how a rule row is called in the history';

-- Records one statement's edits of a rule table as one config row. Only edits of rows that stay
-- what they are called appear as old -> new; a renamed keyword is one removed and one added.
CREATE FUNCTION @extschema@.webhook_routing_rules_edited() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	stamp   bigint := @extschema@.webhook_routing_noted_edit();
	newest  bigint;
	edit    text;
	result  @extschema@.webhook_routing_config;
	problem text;
BEGIN
	-- One statement may insert, update and delete; its later triggers find the first one's row.
	newest := (@extschema@.get_current_routing_config()).version;
	IF stamp NOT IN (newest, newest + 1) THEN
		RETURN NULL;	-- restored rows; their config row is restored too
	END IF;
	IF TG_OP = 'INSERT' THEN
		SELECT string_agg(@extschema@.webhook_routing_rule_name(to_jsonb(n)) || ' added', '; ')
		  INTO edit FROM new_rows n;
	ELSIF TG_OP = 'DELETE' THEN
		SELECT string_agg(@extschema@.webhook_routing_rule_name(to_jsonb(o)) || ' removed', '; ')
		  INTO edit FROM old_rows o;
	ELSE
		SELECT string_agg(
				   CASE WHEN n.rule IS NULL THEN o.name || ' removed'
						WHEN o.rule IS NULL THEN n.name || ' added'
						ELSE format('%s: %s', n.name,
									@extschema@.webhook_routing_difference(o.rule, n.rule)) END, '; ')
		  INTO edit
		  FROM (SELECT to_jsonb(t) AS rule, @extschema@.webhook_routing_rule_name(to_jsonb(t)) AS name
				  FROM old_rows t) o
		  FULL JOIN (SELECT to_jsonb(t) AS rule,
							@extschema@.webhook_routing_rule_name(to_jsonb(t)) AS name
					   FROM new_rows t) n USING (name);
	END IF;
	IF edit IS NULL THEN
		RETURN NULL;
	END IF;
	result := @extschema@.webhook_routing_append('{}'::jsonb, NULL::text, edit);
	PERFORM @extschema@.webhook_routing_note_edit(result.version);
	problem := @extschema@.webhook_routing_rules_problem();
	IF problem IS NOT NULL AND TG_OP <> 'DELETE' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('the rules could not be compiled with this edit: %s', problem),
			HINT = 'Take rows back: disabled keywords and those of disabled domains do not count.';
	END IF;
	RAISE NOTICE 'Routing rules updated (%), percentage %, %',
		CASE WHEN length(edit) > 200 THEN left(edit, 200) || '...' ELSE edit END,
		result.percentage, @extschema@.webhook_routing_state(result.enabled, result.domains);
	RETURN NULL;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_rules_edited() IS
	'Internal: append the config row that records an edit of the rules';

-- What a restored row says is not checked, so only the owner may bring one.
CREATE FUNCTION @extschema@.webhook_routing_owner_only() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	IF NOT pg_has_role(current_user, (SELECT c.relowner FROM pg_class c WHERE c.oid = TG_RELID),
					   'USAGE') THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
			MESSAGE = format('only the owner of %s restores its rows', TG_TABLE_NAME),
			HINT = 'Leave the version and the date out; they are given.';
	END IF;
	PERFORM @extschema@.webhook_routing_note_edit(0::bigint);
	RETURN NEW;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_owner_only() IS
	'Internal: let nobody but the owner restore rows';

-- A restored row takes the place of the untouched seed of the same name. No search_path is pinned,
-- since the trigger fires only where it is empty.
CREATE FUNCTION @extschema@.webhook_routing_rule_restored() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
AS $function$
BEGIN
	IF TG_TABLE_NAME = 'webhook_routing_targets' THEN
		PERFORM @extschema@.webhook_routing_check_url(NEW.name, NEW.url);
		UPDATE @extschema@.webhook_routing_targets t
		   SET url = NEW.url, timeout_ms = NEW.timeout_ms, fallback_policy = NEW.fallback_policy,
			   retired = NEW.retired, is_seed = NEW.is_seed, config_version = NEW.config_version
		 WHERE t.name = NEW.name AND t.is_seed;
	ELSIF TG_TABLE_NAME = 'webhook_routing_domains' THEN
		UPDATE @extschema@.webhook_routing_domains d
		   SET legacy_target = NEW.legacy_target, protected = NEW.protected,
			   percentage = NEW.percentage, priority = NEW.priority, enabled = NEW.enabled,
			   is_seed = NEW.is_seed, config_version = NEW.config_version
		 WHERE d.domain = NEW.domain AND d.is_seed;
	ELSE
		UPDATE @extschema@.webhook_routing_keywords k
		   SET match = NEW.match, language = NEW.language, enabled = NEW.enabled,
			   is_seed = NEW.is_seed, config_version = NEW.config_version
		 WHERE k.domain = NEW.domain AND k.kind = NEW.kind AND k.pattern = NEW.pattern AND k.is_seed;
	END IF;
	IF FOUND THEN
		RETURN NULL;
	END IF;
	RETURN NEW;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_rule_restored() IS
	'Internal: let a restored row take the place of the fresh seed';

-- The three tables have the same triggers; they fire in the order of their names. The only UPDATE that
-- brings its own config_version is the one of webhook_routing_rule_restored().
DO $do$
DECLARE
	subject text;
BEGIN
	FOREACH subject IN ARRAY '{target,domain,keyword}'::text[] LOOP
		EXECUTE replace($triggers$
			CREATE TRIGGER a_lock BEFORE INSERT OR UPDATE OR DELETE
				ON @extschema@.webhook_routing_SUBJECTs
				FOR EACH STATEMENT
				WHEN (pg_catalog.current_setting('search_path') NOT IN ('', '""'))
				EXECUTE FUNCTION @extschema@.webhook_routing_rules_before();
			COMMENT ON TRIGGER a_lock ON @extschema@.webhook_routing_SUBJECTs IS
				'Waits for the lock that serialises changes, before any row is locked';

			CREATE TRIGGER a_owner_only BEFORE INSERT ON @extschema@.webhook_routing_SUBJECTs
				FOR EACH ROW WHEN (NEW.config_version IS NOT NULL
								   AND pg_catalog.current_setting('search_path') IN ('', '""'))
				EXECUTE FUNCTION @extschema@.webhook_routing_owner_only();
			COMMENT ON TRIGGER a_owner_only ON @extschema@.webhook_routing_SUBJECTs IS
				'Lets nobody but the owner restore a row';

			CREATE TRIGGER a_restored_row BEFORE INSERT ON @extschema@.webhook_routing_SUBJECTs
				FOR EACH ROW WHEN (NEW.config_version IS NOT NULL
								   AND pg_catalog.current_setting('search_path') IN ('', '""'))
				EXECUTE FUNCTION @extschema@.webhook_routing_rule_restored();
			COMMENT ON TRIGGER a_restored_row ON @extschema@.webhook_routing_SUBJECTs IS
				'Lets a restored row take the place of the fresh seed';

			CREATE TRIGGER b_new_row BEFORE INSERT ON @extschema@.webhook_routing_SUBJECTs
				FOR EACH ROW WHEN (NEW.config_version IS NULL
								   OR pg_catalog.current_setting('search_path') NOT IN ('', '""'))
				EXECUTE FUNCTION @extschema@.webhook_routing_SUBJECT_edited();
			COMMENT ON TRIGGER b_new_row ON @extschema@.webhook_routing_SUBJECTs IS
				'Checks a new SUBJECT and gives it its config version';

			CREATE TRIGGER b_edited_row BEFORE UPDATE ON @extschema@.webhook_routing_SUBJECTs
				FOR EACH ROW WHEN (pg_catalog.pg_trigger_depth() = 0
								   OR NEW.config_version = OLD.config_version)
				EXECUTE FUNCTION @extschema@.webhook_routing_SUBJECT_edited();
			COMMENT ON TRIGGER b_edited_row ON @extschema@.webhook_routing_SUBJECTs IS
				'Checks an edited SUBJECT and gives it its config version';

			CREATE TRIGGER b_restored_seed BEFORE UPDATE ON @extschema@.webhook_routing_SUBJECTs
				FOR EACH ROW WHEN (pg_catalog.pg_trigger_depth() > 0
								   AND NEW.config_version <> OLD.config_version)
				EXECUTE FUNCTION @extschema@.webhook_routing_owner_only();
			COMMENT ON TRIGGER b_restored_seed ON @extschema@.webhook_routing_SUBJECTs IS
				'Lets nobody but the owner replace a seed by a restored row';

			CREATE TRIGGER b_removed_row BEFORE DELETE ON @extschema@.webhook_routing_SUBJECTs
				FOR EACH ROW EXECUTE FUNCTION @extschema@.webhook_routing_SUBJECT_edited();
			COMMENT ON TRIGGER b_removed_row ON @extschema@.webhook_routing_SUBJECTs IS
				'Refuses to remove a SUBJECT that came with the extension or is in use';

			CREATE TRIGGER c_record_insert AFTER INSERT ON @extschema@.webhook_routing_SUBJECTs
				REFERENCING NEW TABLE AS new_rows
				FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.webhook_routing_rules_edited();
			COMMENT ON TRIGGER c_record_insert ON @extschema@.webhook_routing_SUBJECTs IS
				'Appends the config row that records what was added';

			CREATE TRIGGER c_record_update AFTER UPDATE ON @extschema@.webhook_routing_SUBJECTs
				REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
				FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.webhook_routing_rules_edited();
			COMMENT ON TRIGGER c_record_update ON @extschema@.webhook_routing_SUBJECTs IS
				'Appends the config row that records what was edited';

			CREATE TRIGGER c_record_delete AFTER DELETE ON @extschema@.webhook_routing_SUBJECTs
				REFERENCING OLD TABLE AS old_rows
				FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.webhook_routing_rules_edited();
			COMMENT ON TRIGGER c_record_delete ON @extschema@.webhook_routing_SUBJECTs IS
				'Appends the config row that records what was removed';

			CREATE TRIGGER invalidate_ruleset AFTER INSERT OR UPDATE OR DELETE
				ON @extschema@.webhook_routing_SUBJECTs
				FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.webhook_routing_invalidate();
			ALTER TABLE @extschema@.webhook_routing_SUBJECTs ENABLE ALWAYS TRIGGER invalidate_ruleset;
			COMMENT ON TRIGGER invalidate_ruleset ON @extschema@.webhook_routing_SUBJECTs IS
				'Makes every backend reload its ruleset when the edit commits';

			CREATE TRIGGER no_truncate BEFORE TRUNCATE ON @extschema@.webhook_routing_SUBJECTs
				FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.webhook_routing_rules_before();
			COMMENT ON TRIGGER no_truncate ON @extschema@.webhook_routing_SUBJECTs IS
				'Refuses TRUNCATE, which would take the seeds along';
		$triggers$, 'SUBJECT', subject);
	END LOOP;
END
$do$;

CREATE TRIGGER a_owner_only BEFORE INSERT ON @extschema@.webhook_routing_config
	FOR EACH ROW
	WHEN (NEW.version IS NOT NULL AND NEW.created_at IS NOT NULL
		  AND pg_catalog.current_setting('search_path') IN ('', '""'))
	EXECUTE FUNCTION @extschema@.webhook_routing_owner_only();
COMMENT ON TRIGGER a_owner_only ON @extschema@.webhook_routing_config IS
	'Lets nobody but the owner restore a row';
