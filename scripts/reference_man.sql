-- Prints the manual page webhook_routing(7) in man(7) from the COMMENTs of a live database. Run by
-- scripts/reference.sh with psql -XAtq; nothing here knows an object by name but the table of settings.
\ir reference_objects.sql

-- Prose as roff: no backslash, and no line that begins a request.
CREATE FUNCTION pg_temp.roff(prose text) RETURNS text LANGUAGE sql AS
$$SELECT regexp_replace(replace(replace(coalesce(prose, ''), '\', '\e'), '--', '\-\-'), '^(?=[.''])', '\&', 'gn')$$;

-- The columns of a relation as a list of its own.
CREATE FUNCTION pg_temp.columns(relation text) RETURNS text LANGUAGE sql AS
$$SELECT string_agg(format(E'.TP\n\\fB%s\\fR %s\n%s', c.name, c.type, pg_temp.roff(regexp_replace(c.comment, '\s+', ' ', 'g'))),
                    E'\n' ORDER BY c.place)
    FROM documented_column c WHERE c.relation = columns.relation AND c.comment IS NOT NULL$$;

CREATE FUNCTION pg_temp.relations(wanted text) RETURNS SETOF text LANGUAGE sql AS
$$SELECT format(E'.TP\n.B %s\n%s\n.RS\n%s\n.RE', name, pg_temp.roff(comment), pg_temp.columns(name))
    FROM documented_relation WHERE kind = wanted AND name <> 'webhook_routing_config'
   ORDER BY name$$;

SELECT format(E'.\\" SPDX-License-Identifier: PostgreSQL\n.\\" Made by scripts/reference.sh from the comments of the installed objects.\n'
              '.TH WEBHOOK_ROUTING 7 2026-11-28 "webhook_routing %s" "webhook_routing"', extversion)
  FROM pg_extension WHERE extname = 'webhook_routing';
\qecho '.SH NAME'
\qecho 'webhook_routing \\- PostgreSQL extension that routes WhatsApp webhooks, a percentage at a time'
\qecho '.SH SYNOPSIS'
\qecho '.B CREATE EXTENSION webhook_routing;'
\qecho '.SH DESCRIPTION'
\qecho 'The extension decides for each webhook whether the legacy function or the unified one gets it, keeps the'
\qecho 'log with its statistics, and is how an operator raises the percentage, watches and takes everything back.'
\qecho '.BR webhook\\-forwarder (8)'
\qecho 'asks it for every request.'
\qecho '.PP'
\qecho 'Nothing is granted to PUBLIC;'
\qecho '.B grant_routing_role()'
\qecho 'gives a role what it needs.'
\qecho '.SH FUNCTIONS'
SELECT format(E'.TP\n\\fB%s\\fR(%s)\n%s\n.br\nReturns %s.', name, pg_temp.roff(arguments), pg_temp.roff(comment), pg_temp.roff(result))
  FROM documented_function
 ORDER BY name, identity;
\qecho '.SH SETTINGS'
\qecho 'Columns of the table'
\qecho '.BR webhook_routing_config ,'
\qecho 'of which the newest row is in force.'
\qecho 'The functions above append a row for each change.'
SELECT pg_temp.columns('webhook_routing_config');
\qecho '.SH VIEWS'
SELECT pg_temp.relations('View');
\qecho '.SH TABLES'
SELECT pg_temp.relations('Table');
\qecho '.SH TYPES'
SELECT format(E'.TP\n.B %s\n%s', name, pg_temp.roff(comment))
  FROM documented_type
 ORDER BY name;
\qecho '.SH EXAMPLES'
\qecho 'A tenth of the senders to unified, how they fare, and everything back:'
\qecho '.PP'
\qecho '.in +4n'
\qecho '.EX'
\qecho 'SELECT update_routing_percentage(10, \'why\');'
\qecho 'SELECT * FROM check_routing_health();'
\qecho 'SELECT set_routing_enabled(false, \'why\');'
\qecho '.EE'
\qecho '.in'
\qecho '.SH SEE ALSO'
\qecho '.BR webhook\\-forwarder (8),'
\qecho '.BR psql (1)'
