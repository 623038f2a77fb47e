-- The peer of route_decide(): what a team writes in an afternoon, and writes well. It answers the
-- same question for a plain text message (one regular expression a domain, compiled once; a sticky
-- hash; the config row), without buttons, statuses, several items, diacritics or rules as data.
CREATE FUNCTION bench_plpgsql_router(payload jsonb,
    OUT webhook_name text, OUT routed_to text, OUT domain text, OUT reason text, OUT bucket integer,
    OUT percentage numeric, OUT from_number text, OUT message_id text)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    message jsonb := payload #> '{entry,0,changes,0,value,messages,0}';
    body    text := lower(message #>> '{text,body}');
    config  webhook_routing_config;
BEGIN
    SELECT * INTO config FROM webhook_routing_config ORDER BY version DESC LIMIT 1;
    from_number := message ->> 'from';
    message_id := message ->> 'id';
    domain := CASE
        WHEN body ~ '\m(insurance|assurance|cover|claim|policy|premium|insure|protection)' THEN 'insurance'
        WHEN body ~ '\m(job|hiring|hire|apply|career|work|employment|cv\M|resume\M|gig\M)' THEN 'jobs'
        WHEN body ~ '\m(property|rent\M|rental|renting|apartment|house\M|real estate|landlord|tenant)' THEN 'property'
        WHEN body ~ '\m(ride|trip\M|driver|taxi|transport|schedule|book\M|nearby|delivery)' THEN 'mobility'
        WHEN body ~ '\m(buy|sell|shop|store\M|product|order|cart\M|purchase|marketplace|business|broker)' THEN 'marketplace'
        WHEN body ~ '\m(wallet|token|transfer|redeem|earn|reward|balance|payment|pay\M|deposit|withdraw|money|referral|profile|account\M)' THEN 'profile'
        ELSE 'unknown' END;
    webhook_name := 'wa-webhook-' || domain;
    percentage := config.percentage;
    bucket := (hashtextextended(from_number, config.hash_salt) & 2147483647) % 10000;
    routed_to := 'legacy';
    IF domain = 'unknown' THEN
        webhook_name := config.default_webhook;
        reason := 'unknown_domain';
    ELSIF domain IN ('mobility', 'profile', 'insurance') THEN
        reason := 'protected';
    ELSIF NOT config.enabled THEN
        reason := 'disabled';
    ELSIF NOT domain = ANY (config.domains) THEN
        reason := 'not_enrolled';
    ELSIF bucket < percentage * 100 THEN
        routed_to := 'unified';
        webhook_name := config.unified_webhook;
        reason := 'in_percentage';
    ELSE
        reason := 'out_of_percentage';
    END IF;
END $$;
