-- Every error in extension/errors.txt is provoked and says what the list says; every error that a
-- function of ours can raise is in the list.
SET client_min_messages = error;
DROP EXTENSION IF EXISTS webhook_routing;
CREATE EXTENSION webhook_routing;
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only
\set content `cat "$PG_ABS_SRCDIR/extension/errors.txt"`
CREATE TEMP TABLE error AS
	SELECT place, field[1] AS sqlstate, field[2] AS condition, field[3] AS message, field[4] AS hint, field[5] AS provocation
	  FROM regexp_split_to_table(:'content', '\n') WITH ORDINALITY AS line (line, place),
		   LATERAL (SELECT string_to_array(line, E'\t') AS field) AS split
	 WHERE line !~ '^#';
SELECT line FROM error, LATERAL (SELECT error::text AS line) AS l
 WHERE sqlstate !~ '^[0-9A-Z]{5}$' OR condition IS NULL OR message = '' OR hint = '' OR provocation IS NULL;

-- A pattern that what was said has to match: <words> stand for anything.
CREATE FUNCTION pg_temp.pattern(said text) RETURNS text LANGUAGE sql AS $$
	SELECT '^' || regexp_replace(regexp_replace(said, '([][(){}.*+?^$|\\])', '\\\1', 'g'), '<[a-z ]+>', '.+', 'g') || '$' $$;
CREATE FUNCTION pg_temp.provoke(wanted error) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	code text; said text; advice text;
BEGIN
	BEGIN
		EXECUTE wanted.provocation;
		RETURN 'no error';
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, said = MESSAGE_TEXT, advice = PG_EXCEPTION_HINT;
	END;
	IF code = wanted.sqlstate AND said ~ pg_temp.pattern(wanted.message) AND coalesce(nullif(advice, ''), '-') ~ pg_temp.pattern(wanted.hint) THEN
		RETURN NULL;
	END IF;
	RETURN format('%s, "%s", hint "%s"', code, said, advice);
END $$;
SELECT message, got FROM error, pg_temp.provoke(error) AS got
 WHERE provocation !~ '^(isolation|TAP|none): ' AND got IS NOT NULL ORDER BY place;

-- The messages in the source of our functions, with what varies taken out.
CREATE TEMP VIEW raised AS
	SELECT p.proname, regexp_replace(replace(replace(message[1], '''''', ''''), '%%', '%'), '%[sLI]', '<>', 'g') AS message
	  FROM pg_proc p
	  JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
	  JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'webhook_routing',
		   regexp_matches(regexp_replace(p.prosrc, '''\s*\n\s*''', '', 'g'),
			'RAISE EXCEPTION USING[^;]*?MESSAGE = (?:pg_catalog\.)?(?:format\()?''((?:[^'']|'''')*)''', 'g') AS message;
SELECT count(*) > 30 FROM raised;
SELECT DISTINCT proname, message FROM raised
 WHERE message NOT IN (SELECT regexp_replace(message, '<[a-z ]+>', '<>', 'g') FROM error) ORDER BY 1, 2;
-- Those whose message is made elsewhere, as the rollout's gates are, by their own SQLSTATEs.
SELECT DISTINCT p.proname, code[1] AS not_listed
  FROM pg_proc p
  JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
  JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'webhook_routing',
	   regexp_matches(p.prosrc, '''(WR[0-9]{3})''', 'g') AS code
 WHERE code[1] NOT IN (SELECT sqlstate FROM error) ORDER BY 1, 2;
SELECT count(DISTINCT code[1]) > 8 AS there_are_some
  FROM pg_proc p, regexp_matches(p.prosrc, '''(WR[0-9]{3})''', 'g') AS code WHERE p.proname LIKE '%routing%' OR p.proname LIKE 'rollout%';
SELECT DISTINCT proname AS without_using FROM (
	SELECT p.proname, regexp_matches(p.prosrc, 'RAISE EXCEPTION (?!USING)', 'g')
	  FROM pg_proc p
	  JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
	  JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'webhook_routing') AS found ORDER BY 1;

DROP EXTENSION webhook_routing;
CREATE EXTENSION webhook_routing;
