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
	timeout_ms      integer,
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
	'Deadline of one attempt in milliseconds; NULL: the forwarder''s --attempt-timeout';
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
-- "accountant" is a job, "payload" no payment, and what is "covered in mud" is not insured. Inflections
-- of those are rows of their own.
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
