-- A router as it is replaced: two tables, a view and four functions, as the SQL migrations of a hosted
-- PostgreSQL make them (row security, policies, grants to the roles of its API, triggers, indexes), with 40 days
-- of traffic, an operator's changes, and rows as they come about over time.
-- Variable: rows, how many log rows.
SET client_min_messages = warning;
SELECT setseed(0.5);
SELECT format('CREATE ROLE %I NOLOGIN', r) FROM unnest('{api_anonymous,api_service}'::text[]) r
 WHERE to_regrole(r) IS NULL \gexec

CREATE TABLE public.webhook_routing_config (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	percentage numeric(5,2) NOT NULL DEFAULT 0.00 CHECK (percentage >= 0 AND percentage <= 100),
	enabled boolean DEFAULT false,
	domains text[] DEFAULT ARRAY['jobs', 'marketplace', 'property'],
	created_at timestamptz DEFAULT now(),
	updated_at timestamptz DEFAULT now(),
	created_by text DEFAULT 'system',
	notes text
);
CREATE TABLE public.webhook_routing_logs (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	webhook_name text NOT NULL,
	domain text,
	routed_to text NOT NULL,
	from_number text,
	message_id text,
	response_time_ms double precision,
	status text NOT NULL,
	error_message text,
	region text,
	created_at timestamptz DEFAULT now()
);
CREATE INDEX idx_webhook_routing_logs_created_at ON public.webhook_routing_logs (created_at DESC);
CREATE INDEX idx_webhook_routing_logs_domain ON public.webhook_routing_logs (domain, routed_to);
CREATE INDEX webhook_routing_config_created_at_idx ON public.webhook_routing_config (created_at DESC);

CREATE FUNCTION public.update_updated_at_column() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.updated_at = now(); RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE UPDATE ON public.webhook_routing_config
	FOR EACH ROW EXECUTE FUNCTION public.update_updated_at_column();

CREATE FUNCTION public.get_current_routing_config()
RETURNS TABLE (percentage numeric, enabled boolean, domains text[]) LANGUAGE sql STABLE SECURITY DEFINER AS $$
	SELECT c.percentage, c.enabled, c.domains FROM webhook_routing_config c ORDER BY c.created_at DESC LIMIT 1 $$;
CREATE FUNCTION public.update_routing_percentage(new_percentage numeric, update_notes text DEFAULT NULL)
RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
	INSERT INTO webhook_routing_config (percentage, enabled, domains, created_by, notes)
	SELECT new_percentage, c.enabled, c.domains, current_user, update_notes
	  FROM webhook_routing_config c ORDER BY c.created_at DESC LIMIT 1 $$;
CREATE FUNCTION public.set_routing_enabled(is_enabled boolean, update_notes text DEFAULT NULL)
RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
	INSERT INTO webhook_routing_config (percentage, enabled, domains, created_by, notes)
	SELECT c.percentage, is_enabled, c.domains, current_user, update_notes
	  FROM webhook_routing_config c ORDER BY c.created_at DESC LIMIT 1 $$;
CREATE VIEW public.webhook_routing_stats AS
	SELECT domain, routed_to, count(*) AS request_count, avg(response_time_ms) AS avg_response_ms,
	       percentile_cont(0.95) WITHIN GROUP (ORDER BY response_time_ms) AS p95_ms,
	       count(*) FILTER (WHERE status = 'error') AS error_count, min(created_at) AS first_request, max(created_at) AS last_request
	  FROM public.webhook_routing_logs WHERE created_at > now() - interval '1 hour' GROUP BY domain, routed_to;
CREATE FUNCTION public.check_routing_health()
RETURNS TABLE (domain text, routed_to text, is_healthy boolean) LANGUAGE sql STABLE AS $$
	SELECT domain, routed_to, error_count = 0 FROM webhook_routing_stats $$;
CREATE FUNCTION public.cleanup_old_routing_logs() RETURNS bigint LANGUAGE sql AS $$
	WITH gone AS (DELETE FROM webhook_routing_logs WHERE created_at < now() - interval '45 days' RETURNING 1)
	SELECT count(*) FROM gone $$;
CREATE SCHEMA dashboard;
CREATE VIEW dashboard.errors AS
	SELECT created_at, domain, error_message FROM public.webhook_routing_logs WHERE status = 'error';

ALTER TABLE public.webhook_routing_config ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.webhook_routing_logs ENABLE ROW LEVEL SECURITY;
CREATE POLICY "service reads" ON public.webhook_routing_config FOR ALL TO api_service USING (true);
CREATE POLICY "service writes" ON public.webhook_routing_logs FOR ALL TO api_service USING (true);
GRANT ALL ON public.webhook_routing_config, public.webhook_routing_logs TO api_anonymous, api_service;

INSERT INTO public.webhook_routing_config (percentage, enabled, created_at, created_by, notes) VALUES
	(0, false, now() - interval '40 days', 'system', 'Initial configuration'),
	(0, true, now() - interval '39 days', 'ann', 'go'),
	(10, true, now() - interval '39 days', 'ann', 'Starting canary deployment'),
	(25, true, now() - interval '30 days', 'ann', 'Scaling to 25%'),
	(25, NULL, now() - interval '29 days', 'a script', 'nobody knows'),
	(25, false, now() - interval '28 days', 'bob', 'errors in jobs'),
	(10, true, now() - interval '20 days', 'ann', 'again'),
	(25, true, now() - interval '3 days', 'ann', 'Scaling to 25%');
ALTER TABLE public.webhook_routing_config DROP CONSTRAINT webhook_routing_config_percentage_check;
INSERT INTO public.webhook_routing_config (percentage, enabled, created_at, created_by) VALUES (-5, true, now() - interval '10 days', 'a script');
ALTER TABLE public.webhook_routing_config DISABLE TRIGGER touch;
UPDATE public.webhook_routing_config SET updated_at = created_at WHERE percentage <> 10;
ALTER TABLE public.webhook_routing_config ENABLE TRIGGER touch;

-- Each message to a side by chance, as such a router does; the last row a minute ago.
INSERT INTO public.webhook_routing_logs (webhook_name, domain, routed_to, from_number, message_id, response_time_ms, status, error_message, created_at)
SELECT CASE WHEN side = 'unified' THEN 'wa-webhook-unified' ELSE 'wa-webhook-' || d END, d, side,
       '25078' || lpad((random() * 5000)::integer::text, 7, '0'), 'wamid.' || n, 50 + 400 * random(),
       CASE WHEN failed THEN 'error' ELSE 'success' END, CASE WHEN failed THEN 'HTTP 500' END,
       now() - interval '1 minute' - (:rows - n) * interval '40 days' / :rows
  FROM generate_series(1, :rows) n,
       LATERAL (SELECT ('{jobs,marketplace,property}'::text[])[1 + n % 3] AS d,
                       CASE WHEN random() < 0.25 THEN 'unified' ELSE 'legacy' END AS side, random() < 0.001 AS failed) r;
-- What comes about over time.
INSERT INTO public.webhook_routing_logs (webhook_name, domain, routed_to, response_time_ms, status, created_at) VALUES
	('wa-webhook', NULL, 'legacy', 10, 'success', now() - interval '1 day'),
	('wa-webhook-jobs', 'jobs', 'legacy', NULL, 'error', now() - interval '1 day'),
	('wa-webhook-jobs', 'jobs', 'legacy', -3, 'success', now() - interval '1 day'),
	('wa-webhook-jobs', 'jobs', 'unified', 'NaN', 'success', now() - interval '1 day'),
	('wa-webhook-jobs', 'jobs', 'canary', 5, 'success', now() - interval '1 day'),
	('wa-webhook-jobs', 'jobs', 'legacy', 5, 'timeout', now() - interval '1 day'),
	('wa-webhook-jobs', 'jobs', 'legacy', 5, 'success', NULL);
