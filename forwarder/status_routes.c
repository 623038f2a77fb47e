/* SPDX-License-Identifier: PostgreSQL
 *
 * status_routes.c: what the admin listener serves of the status page: the page, the same as JSON,
 * its style sheet, script and icon.
 */
#include "forwarder.h"
#include "status.h"

/* Nothing but what this listener serves: no style and no script in the page itself, no frame around
 * it, no form in it. */
static void status_protect(struct admin_answer *answer)
{
    admin_header(answer, "Content-Security-Policy",
                 "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
                 "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    admin_header(answer, "Referrer-Policy", "no-referrer");
    admin_header(answer, "Cross-Origin-Resource-Policy", "same-origin");
}

void status_page_route(const struct admin *admin, struct admin_answer *answer)
{
    struct status_view view;

    status_look(admin, &view);
    answer->type = "text/html; charset=utf-8";
    status_protect(answer);
    status_write_page(&answer->body, &view);
}

void status_json_route(const struct admin *admin, struct admin_answer *answer)
{
    struct status_view view;

    status_look(admin, &view);
    answer->type = "application/json";
    status_protect(answer);
    status_write_json(&answer->body, &view);
}

void status_asset_route(const struct admin *admin, struct admin_answer *answer)
{
    const struct asset *asset = asset_find(answer->path);

    (void) admin;
    if (asset == NULL || asset->length == 0)
    {
        answer->status = 404;
        writer_string(&answer->body, "it was not built in: make UPLOT=yes\n");
        return;
    }
    answer->type = asset->type;
    answer->cache = "public, max-age=86400, immutable"; /* its name changes when it does */
    status_protect(answer);
    writer_put(&answer->body, asset->bytes, asset->length);
}

void status_icon_route(const struct admin *admin, struct admin_answer *answer)
{
    (void) admin;
    answer->type = "image/svg+xml";
    answer->cache = "public, max-age=86400";
    status_protect(answer);
    status_write_icon(&answer->body, MHD_lookup_connection_value(answer->connection,
                                                                 MHD_GET_ARGUMENT_KIND, "level"));
}
