-- The peer of route_decide(): what a team writes in an afternoon. It answers the same question for
-- a plain text message (keywords by regular expression, a sticky hash, the config row), without
-- protected domains, buttons, statuses, several items or diacritics.
CREATE FUNCTION bench_plpgsql_router(payload jsonb,
    OUT webhook_name text, OUT routed_to text, OUT domain text, OUT reason text, OUT bucket integer,
    OUT percentage numeric, OUT from_number text, OUT message_id text)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    message jsonb := payload #> '{entry,0,changes,0,value,messages,0}';
    body    text := lower(message #>> '{text,body}');
    config  webhook_routing_config;
    rule    record;
    best    bigint := 0;
BEGIN
    SELECT * INTO config FROM webhook_routing_config ORDER BY version DESC LIMIT 1;
    from_number := message ->> 'from';
    message_id := message ->> 'id';
    FOR rule IN
        SELECT d.domain, d.legacy_webhook, count(*) AS matches
          FROM webhook_routing_keywords k JOIN webhook_routing_domains d USING (domain)
         WHERE k.kind = 'keyword' AND body ~ ('\m' || k.pattern || CASE k.match WHEN 'word' THEN '\M' ELSE '' END)
         GROUP BY d.domain, d.legacy_webhook, d.priority ORDER BY matches DESC, d.priority
    LOOP
        domain := rule.domain;
        webhook_name := rule.legacy_webhook;
        best := rule.matches;
        EXIT;
    END LOOP;
    percentage := config.percentage;
    bucket := (hashtextextended(from_number, config.hash_salt) & 2147483647) % 10000;
    routed_to := 'legacy';
    IF domain IS NULL THEN
        domain := 'unknown';
        webhook_name := config.default_webhook;
        reason := 'unknown_domain';
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
