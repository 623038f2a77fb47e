-- The rules as data: every edit is recorded, checked as a whole, and can be taken back.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS webhook_routing;
CREATE EXTENSION webhook_routing;
RESET client_min_messages;
\set SHOW_CONTEXT never

-- The seeds are the facts of the system that is replaced.
SELECT domain, legacy_target, protected, percentage, priority, enabled
  FROM webhook_routing_domains ORDER BY priority;
SELECT domain, kind, match, string_agg(pattern, ' ' ORDER BY pattern) AS patterns
  FROM webhook_routing_keywords GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SELECT name, url, timeout_ms, fallback_policy, retired FROM webhook_routing_targets ORDER BY name;
SELECT bool_and(installed AND is_seed AND config_version = 1) AS all_seeds
  FROM (SELECT installed, is_seed, config_version FROM webhook_routing_domains
		UNION ALL SELECT installed, is_seed, config_version FROM webhook_routing_keywords
		UNION ALL SELECT installed, is_seed, config_version FROM webhook_routing_targets) AS rules;

-- Each statement is one config row, old -> new.
INSERT INTO webhook_routing_targets (name, url) VALUES ('wa-webhook-travel', 'https://functions.example.org/travel');
INSERT INTO webhook_routing_domains (domain, legacy_target) VALUES ('travel', 'wa-webhook-travel');
INSERT INTO webhook_routing_keywords (domain, pattern, match) VALUES ('travel', 'visa', 'word'), ('travel', 'passport', 'prefix');
INSERT INTO webhook_routing_keywords (domain, kind, pattern) VALUES ('travel', 'button', 'travel_agent');
UPDATE webhook_routing_keywords SET enabled = false WHERE domain = 'jobs' AND pattern = 'gig';
UPDATE webhook_routing_domains SET percentage = 12.50, priority = 15 WHERE domain = 'property';
UPDATE webhook_routing_targets SET timeout_ms = 5000, fallback_policy = 'any' WHERE name = 'wa-webhook-unified';
UPDATE webhook_routing_keywords SET pattern = 'visas' WHERE domain = 'travel' AND pattern = 'visa';
DELETE FROM webhook_routing_keywords WHERE domain = 'travel' AND kind = 'button';
SELECT version, change FROM webhook_routing_config ORDER BY version;
SELECT match FROM webhook_routing_keywords WHERE pattern = 'travel_agent' OR pattern = 'visas';
-- An edited seed is no longer one, but did come with the extension; and it names its version.
SELECT domain, installed, is_seed, config_version FROM webhook_routing_domains
 WHERE domain IN ('jobs', 'property', 'travel') ORDER BY 1;

-- An edit that changes nothing is none. Nobody declares a row a seed.
UPDATE webhook_routing_domains SET percentage = 12.5 WHERE domain = 'property';
UPDATE webhook_routing_keywords SET is_seed = true, installed = true, config_version = 99
 WHERE domain = 'travel';
INSERT INTO webhook_routing_keywords (domain, pattern, is_seed, installed, config_version)
VALUES ('travel', 'flight', true, true, 99);
SELECT pattern, is_seed, installed, config_version FROM webhook_routing_keywords
 WHERE domain = 'travel' ORDER BY 1;
INSERT INTO webhook_routing_keywords (domain, pattern) VALUES ('travel', 'flight') ON CONFLICT DO NOTHING;
INSERT INTO webhook_routing_keywords (domain, pattern, match) VALUES ('travel', 'flight', 'prefix')
	ON CONFLICT (domain, kind, pattern) DO UPDATE SET match = excluded.match;
SELECT max(version), count(*) FROM webhook_routing_config;

-- A statement that does several things records all of them.
INSERT INTO webhook_routing_keywords (domain, pattern) VALUES ('travel', 'flight'), ('travel', 'tourist')
	ON CONFLICT (domain, kind, pattern) DO UPDATE SET match = excluded.match;
MERGE INTO webhook_routing_keywords k
	USING (VALUES ('tourist', false), ('flight', true), ('embassy', false)) AS v (pattern, gone)
	   ON k.domain = 'travel' AND k.kind = 'keyword' AND k.pattern = v.pattern
	WHEN MATCHED AND v.gone THEN DELETE
	WHEN MATCHED THEN UPDATE SET match = 'prefix'
	WHEN NOT MATCHED THEN INSERT (domain, pattern) VALUES ('travel', v.pattern);
SELECT change FROM webhook_routing_config ORDER BY version DESC LIMIT 5;
SELECT pattern, match FROM webhook_routing_keywords WHERE domain = 'travel' ORDER BY 1;

-- Also with an empty search_path, as careful programs set it, an edit is an edit.
SET search_path = '';
INSERT INTO public.webhook_routing_keywords (domain, pattern) VALUES ('travel', 'airport');
UPDATE public.webhook_routing_keywords SET enabled = false WHERE pattern = 'airport';
DELETE FROM public.webhook_routing_keywords WHERE pattern = 'airport';
RESET search_path;
SELECT max(version), count(*) FROM webhook_routing_config;

-- A protected domain cannot be moved, whichever way it is tried.
SELECT max(version) AS newest FROM webhook_routing_config \gset
SELECT set_routing_domains('{mobility}');
UPDATE webhook_routing_domains SET legacy_target = 'wa-webhook-unified' WHERE domain = 'mobility';
UPDATE webhook_routing_domains SET percentage = 100 WHERE domain = 'mobility';
UPDATE webhook_routing_domains SET protected = true WHERE domain = 'jobs';
UPDATE webhook_routing_targets SET url = 'https://functions.example.org/wa-webhook-unified' WHERE name = 'wa-webhook-mobility';
UPDATE webhook_routing_targets SET url = 'https://functions.example.org/v1/wa-webhook-mobility/?x=1' WHERE name = 'wa-webhook-unified';
SELECT update_routing_settings('{"unified_webhook": "wa-webhook-insurance"}');
INSERT INTO webhook_routing_targets (name, url) VALUES ('copy', 'https://functions.example.org/WA-Webhook-Unified/');
UPDATE webhook_routing_domains SET legacy_target = 'copy' WHERE domain = 'profile';
BEGIN;
UPDATE webhook_routing_targets SET url = 'https://u.example.org/all' WHERE name = 'wa-webhook-unified';
UPDATE webhook_routing_targets SET url = 'https://U.example.org/all/' WHERE name = 'wa-webhook-profile';
ROLLBACK;
UPDATE webhook_routing_targets SET retired = true WHERE name = 'wa-webhook-profile';
INSERT INTO webhook_routing_domains (domain, legacy_target, protected) VALUES ('health', 'wa-webhook-unified', true);
-- Nor can any other lose its way back.
UPDATE webhook_routing_domains SET legacy_target = 'wa-webhook-unified' WHERE domain = 'jobs';
UPDATE webhook_routing_targets SET url = 'https://functions.example.org/wa-webhook-unified' WHERE name = 'wa-webhook';
UPDATE webhook_routing_targets SET retired = true WHERE name = 'wa-webhook-jobs';
INSERT INTO webhook_routing_targets (name, retired) VALUES ('gone', true);
-- What came with the extension can be disabled, not removed or renamed.
DELETE FROM webhook_routing_keywords WHERE pattern = 'rent';
DELETE FROM webhook_routing_domains WHERE domain = 'profile';
DELETE FROM webhook_routing_targets WHERE name = 'wa-webhook';
UPDATE webhook_routing_keywords SET pattern = 'rents' WHERE kind = 'keyword' AND pattern = 'rent';
UPDATE webhook_routing_domains SET domain = 'jobs2' WHERE domain = 'jobs';
UPDATE webhook_routing_targets SET name = 'x' WHERE name = 'wa-webhook-travel';
TRUNCATE webhook_routing_keywords;
TRUNCATE webhook_routing_domains CASCADE;
TRUNCATE webhook_routing_targets CASCADE;
-- What is enrolled or in use stays too.
SELECT change FROM set_routing_domains('{jobs,travel}');
DELETE FROM webhook_routing_keywords WHERE domain = 'travel';
DELETE FROM webhook_routing_domains WHERE domain = 'travel';
DELETE FROM webhook_routing_targets WHERE name = 'wa-webhook-travel';
SELECT change FROM update_routing_settings('{"unified_webhook": "copy"}');
DELETE FROM webhook_routing_targets WHERE name = 'copy';
-- Values.
UPDATE webhook_routing_domains SET percentage = 99.996 WHERE domain = 'jobs';
UPDATE webhook_routing_domains SET percentage = 'NaN' WHERE domain = 'jobs';
UPDATE webhook_routing_domains SET percentage = 101 WHERE domain = 'jobs';
INSERT INTO webhook_routing_domains (domain, legacy_target) VALUES ('unknown', 'wa-webhook');
INSERT INTO webhook_routing_domains (domain, legacy_target) VALUES ('two words', 'wa-webhook');
INSERT INTO webhook_routing_domains (domain, legacy_target) VALUES ('nowhere', 'no-such-target');
DO $$ BEGIN UPDATE webhook_routing_domains SET legacy_target = NULL WHERE domain = 'jobs';
EXCEPTION WHEN not_null_violation THEN RAISE NOTICE '%', SQLERRM; END $$;
DO $$ BEGIN INSERT INTO webhook_routing_keywords (domain, pattern) VALUES (NULL, 'x');
EXCEPTION WHEN not_null_violation THEN RAISE NOTICE '%', SQLERRM; END $$;
INSERT INTO webhook_routing_keywords (domain, pattern) VALUES ('nowhere', 'x');
INSERT INTO webhook_routing_keywords (domain, pattern) VALUES ('jobs', 'jo*');
INSERT INTO webhook_routing_keywords (domain, pattern) VALUES ('jobs', '');
INSERT INTO webhook_routing_keywords (domain, pattern) VALUES ('jobs', ' - ');
INSERT INTO webhook_routing_keywords (domain, pattern) VALUES ('jobs', E'a\nb');
INSERT INTO webhook_routing_keywords (domain, pattern, match) VALUES ('jobs', 'x', 'regex');
INSERT INTO webhook_routing_keywords (domain, pattern, kind) VALUES ('jobs', 'x', 'emoji');
INSERT INTO webhook_routing_keywords (domain, pattern) VALUES ('jobs', 'work');
INSERT INTO webhook_routing_targets (name) VALUES ('../etc');
INSERT INTO webhook_routing_targets (name) VALUES (E'a\r\nHost: b');
UPDATE webhook_routing_targets SET timeout_ms = 0 WHERE name = 'wa-webhook';
UPDATE webhook_routing_targets SET timeout_ms = 600000 WHERE name = 'wa-webhook';
UPDATE webhook_routing_targets SET fallback_policy = 'never' WHERE name = 'wa-webhook';
-- No deadline of its own: the forwarder's default, in the rules as they are and as they are kept.
BEGIN;
UPDATE webhook_routing_targets SET timeout_ms = 60000 WHERE name = 'wa-webhook';
UPDATE webhook_routing_targets SET timeout_ms = NULL WHERE name = 'wa-webhook';
SELECT change FROM webhook_routing_config ORDER BY version DESC LIMIT 2;
SELECT line FROM routing_ruleset(), unnest(string_to_array(snapshot, E'\n')) AS line WHERE line ~ '^target\twa-webhook\t';
SELECT rules ~ E'(?n)^target\twa-webhook\t\\\\N\t60000\t' AS had_one,
	   rules ~ E'(?n)^target\twa-webhook\t\\\\N\t\\\\N\t' AS has_none
  FROM webhook_routing_rulesets ORDER BY config_version DESC LIMIT 2;
ROLLBACK;

-- URLs: what may be called, and what may not.
SELECT left(url, 50) AS url, webhook_routing_url_problem(url) AS problem
  FROM unnest(ARRAY['https://functions.example.org/v1/wa-webhook', 'http://localhost:9000/x',
	'http://127.0.0.1:54321/functions/v1/wa-webhook', 'http://10.0.0.7', 'http://[::1]:8080/', 'HTTPS://Example.ORG',
	'https://example.org/a?b=c', 'http://[2001:db8::1]/', 'https://example.org/a%20b', 'https://example.org/a..b/.c/d.?e=../f']) WITH ORDINALITY AS u (url, place) ORDER BY place;
SELECT left(url, 50) AS url, webhook_routing_url_problem(url) AS problem
  FROM unnest(ARRAY['', 'functions.example.org', 'file:///etc/passwd', 'ftp://example.org', 'https://', 'https:///x',
	'http://user:secret@example.org/', 'http://user@example.org/', E'http://example.org/\r\nX: y', 'http://example.org/a b',
	'http://example.org\@evil/', 'http://example.org/#x', 'http://exämple.org/', 'http://example.org:0/', 'http://example.org:99999/',
	'http://169.254.169.254/latest/meta-data/', 'http://169.254.1.1/', 'http://169.254.169.254./', 'http://2852039166/',
	'http://0xA9FEA9FE/', 'http://0251.0376.0251.0376/', 'http://169.254.43518/', 'http://a.0x1/', 'http://[fe80::1]/',
	'http://[febf::1]/', 'http://[fd00:ec2::254]/', 'http://[::ffff:169.254.169.254]/', 'http://[::169.254.169.254]/',
	'http://[64:ff9b::a9fe:a9fe]/', 'http://[fe80::1%25eth0]/', 'http://[::]/', 'http://0.0.0.0/', 'http://metadata.google.internal/',
	'https://example.org/wa%2Dwebhook%2Dunified', 'https://example.org/%77a-webhook', 'https://example.org/%7e', 'https://example.org/a%2Fb',
	'https://example.org/x?y=%41', 'https://example.org/%2e%2E/x', 'https://example.org/%', 'https://example.org/%zz',
	'https://example.org/a/../x', 'https://example.org/./x', 'https://example.org/x/..', 'https://example.org/.?y',
	'http://METADATA.google.internal./', 'http://100.100.100.200/', 'http://%31%36%39.254.169.254/',
	'http://192.0.0.192/', 'http://0.1.2.3/', 'http://224.0.0.1/', 'http://255.255.255.255/', 'http://[ff02::1]/',
	'http://example.org/' || repeat('x', 2048)]) WITH ORDINALITY AS u (url, place) ORDER BY place;
UPDATE webhook_routing_targets SET url = 'http://169.254.169.254/' WHERE name = 'wa-webhook-jobs';
INSERT INTO webhook_routing_targets (name, url) VALUES ('x', 'file:///etc/passwd');
-- All of that left no trace but what succeeded.
SELECT version - :newest AS plus, change FROM webhook_routing_config WHERE version > :newest ORDER BY version;

-- A protected domain stays protected.
UPDATE webhook_routing_domains SET protected = false WHERE domain = 'profile';
UPDATE webhook_routing_domains SET protected = false, enabled = false;
-- One of one's own can be made anew.
BEGIN;
INSERT INTO webhook_routing_targets (name) VALUES ('wa-webhook-health');
INSERT INTO webhook_routing_domains (domain, legacy_target, protected) VALUES ('health', 'wa-webhook-health', true);
SAVEPOINT before;
UPDATE webhook_routing_domains SET protected = false WHERE domain = 'health';
ROLLBACK TO before;
DELETE FROM webhook_routing_domains WHERE domain = 'health';
INSERT INTO webhook_routing_domains (domain, legacy_target) VALUES ('health', 'wa-webhook-health');
ROLLBACK;
-- Nor can its function be reached by way of another domain: by name, by address, before or after.
INSERT INTO webhook_routing_domains (domain, legacy_target, priority) VALUES ('rides2', 'wa-webhook-mobility', 1);
INSERT INTO webhook_routing_targets (name, url) VALUES ('rides-copy', 'https://functions.example.org/v1/wa-webhook-mobility');
INSERT INTO webhook_routing_domains (domain, legacy_target) VALUES ('rides2', 'rides-copy');
UPDATE webhook_routing_domains SET legacy_target = 'wa-webhook-profile' WHERE domain = 'jobs';
BEGIN;
INSERT INTO webhook_routing_targets (name, url) VALUES ('twin', 'https://functions.example.org/twin');
INSERT INTO webhook_routing_domains (domain, legacy_target) VALUES ('twin_a', 'twin'), ('twin_b', 'twin');
SAVEPOINT before;
UPDATE webhook_routing_domains SET protected = true WHERE domain = 'twin_a';
ROLLBACK TO before;
UPDATE webhook_routing_targets SET url = 'https://functions.example.org/wa-webhook-insurance' WHERE name = 'twin';
ROLLBACK TO before;
UPDATE webhook_routing_targets SET url = 'https://functions.example.org:443/twin?for=insurance' WHERE name = 'wa-webhook-insurance';
ROLLBACK TO before;
-- Two protected ones may share.
UPDATE webhook_routing_domains SET protected = true WHERE domain LIKE 'twin\__';
ROLLBACK;
-- Which spellings are one function.
SELECT a, b, webhook_routing_same_function('a', a, 'b', b) AS same
  FROM (VALUES ('https://f.example.org/x', 'https://f.example.org:443/x'), ('http://f.example.org/x', 'http://f.example.org:080/x'),
	('https://f.example.org/x', 'https://f.example.org/x?y=1'), ('https://f.example.org', 'https://F.example.org./'),
	('https://f.example.org/x', 'https://f.example.org//x//'), ('https://f.example.org/x', 'http://f.example.org/x'),
	('https://[2001:db8::1]/x', 'https://[2001:db8::1]:443/x'), ('https://f.example.org/v1/B/?y', NULL), (NULL, 'http://f.example.org:9/a'),
	('https://f.example.org/x', 'https://f.example.org:8443/x'), ('https://f.example.org/x', 'https://f.example.org/y'),
	('https://f.example.org/x', 'https://g.example.org/x'), ('https://f.example.org/b/x', NULL), (NULL, NULL)) AS pair (a, b);

-- A dump's rows come with their version, under an empty search_path; they take the seed's place
-- and append nothing.
SELECT max(version) AS newest FROM webhook_routing_config \gset
SELECT set_config('search_path', '', false);
COPY public.webhook_routing_targets FROM stdin;
wa-webhook-jobs	https://functions.example.org/jobs	7000	connect	t	t	f	4
restored	\N	10000	error	f	f	f	5
\.
COPY public.webhook_routing_keywords FROM stdin;
jobs	keyword	work	word	en	t	t	f	6
jobs	keyword	akazi	word	rw	t	f	f	7
\.
COPY public.webhook_routing_targets FROM stdin;
bad	http://169.254.169.254/	10000	error	f	f	f	5
\.
RESET search_path;
SELECT * FROM webhook_routing_targets WHERE name IN ('wa-webhook-jobs', 'restored') ORDER BY name;
SELECT * FROM webhook_routing_keywords WHERE pattern IN ('work', 'akazi') ORDER BY pattern;
SELECT max(version) = :newest AS unchanged FROM webhook_routing_config;
-- That way is the owner's: an operator cannot take it around the checks, nor with a trigger of his own.
SET client_min_messages = warning;
CREATE ROLE regress_routing_operator;
GRANT SELECT, INSERT, UPDATE ON webhook_routing_domains TO regress_routing_operator;
CREATE SCHEMA regress_routing AUTHORIZATION regress_routing_operator;
SET ROLE regress_routing_operator;
CREATE TABLE regress_routing.lever ();
CREATE FUNCTION regress_routing.pull() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE public.webhook_routing_domains SET legacy_target = 'wa-webhook-unified', config_version = 99 WHERE domain = 'mobility';
	RETURN NULL;
END $$;
CREATE TRIGGER pull AFTER INSERT ON regress_routing.lever EXECUTE FUNCTION regress_routing.pull();
INSERT INTO regress_routing.lever DEFAULT VALUES;
SET search_path = '';
INSERT INTO regress_routing.lever DEFAULT VALUES;
INSERT INTO public.webhook_routing_domains (domain, legacy_target, protected, config_version) VALUES ('mobility', 'wa-webhook-unified', true, 2);
RESET search_path;
RESET ROLE;
DROP SCHEMA regress_routing CASCADE;
DROP OWNED BY regress_routing_operator;
DROP ROLE regress_routing_operator;
RESET client_min_messages;
SELECT legacy_target FROM webhook_routing_domains WHERE domain = 'mobility';
-- The switch names who can no longer go back.
SELECT change FROM set_routing_enabled(false, 'kill');
UPDATE webhook_routing_targets SET retired = false WHERE name = 'wa-webhook-jobs';
SELECT change FROM set_routing_enabled(false, 'kill');

SET client_min_messages = warning;
DROP EXTENSION webhook_routing;
CREATE EXTENSION webhook_routing;
