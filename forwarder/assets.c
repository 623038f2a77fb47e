/* SPDX-License-Identifier: PostgreSQL
 *
 * assets.c: the files that the status page needs, as bytes of the program. Ours are in
 * forwarder/page/; uPlot's were fetched by the build (scripts/uplot.sh), and are empty when it was
 * left out.
 *
 * The assembler includes them (.incbin), so that no tool has to turn them into C. PAGE_BUILT is
 * where the build has put what was fetched.
 */
#include <string.h>

#include "status.h"

#define ASSET_BYTES(symbol, file)                                                                  \
    __asm__(".section .rodata\n"                                                                   \
            ".balign 16\n"                                                                         \
            "asset_" #symbol ":\n"                                                                 \
            ".incbin \"" file "\"\n"                                                               \
            "asset_" #symbol "_end:\n"                                                             \
            ".byte 0\n"                                                                            \
            ".previous\n");                                                                        \
    extern const char asset_##symbol[], asset_##symbol##_end[]

ASSET_BYTES(page_css, "forwarder/page/page.css");
ASSET_BYTES(page_js, "forwarder/page/page.js");
ASSET_BYTES(uplot_js, PAGE_BUILT "/uplot.js");
ASSET_BYTES(uplot_css, PAGE_BUILT "/uplot.css");
ASSET_BYTES(uplot_licence, PAGE_BUILT "/uplot-licence.txt");

#define ASSETS(X)                                                                                  \
    X("/status/page.css", "text/css; charset=utf-8", page_css)                                     \
    X("/status/page.js", "text/javascript; charset=utf-8", page_js)                                \
    X("/status/uplot.js", "text/javascript; charset=utf-8", uplot_js)                              \
    X("/status/uplot.css", "text/css; charset=utf-8", uplot_css)                                   \
    X("/status/uplot-licence.txt", "text/plain; charset=utf-8", uplot_licence)

enum
{
#define X(path, type, symbol) ASSET_##symbol,
    ASSETS(X)
#undef X
        ASSET_COUNT
};

/* Lengths are known to the linker alone. */
static const struct asset *assets(void)
{
    static struct asset table[ASSET_COUNT];

#define X(path, type, symbol)                                                                      \
    table[ASSET_##symbol] = (struct asset){path, type, asset_##symbol,                             \
                                           (size_t) (asset_##symbol##_end - asset_##symbol)};
    ASSETS(X)
#undef X
    return table;
}

const struct asset *asset_find(const char *path)
{
    const struct asset *table = assets();

    for (size_t i = 0; i < ASSET_COUNT; i++)
        if (strcmp(table[i].path, path) == 0)
            return &table[i];
    return NULL;
}

/* FNV-1a, 32 bits (draft-eastlake-fnv). */
uint32_t assets_fingerprint(void)
{
    static uint32_t hash;
    const struct asset *table = assets();

    if (hash != 0)
        return hash;
    hash = 2166136261u;
    for (size_t i = 0; i < ASSET_COUNT; i++)
        for (size_t j = 0; j < table[i].length; j++)
            hash = (hash ^ (unsigned char) table[i].bytes[j]) * 16777619u;
    return hash;
}

bool assets_have_uplot(void)
{
    return asset_find("/status/uplot.js")->length > 0;
}
