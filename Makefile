# webhook_routing: `make` builds the extension and the forwarder, `sudo make install` installs both.
# The extension is built by PGXS from core/ and extension/; every program is built by
# Makefile.programs into build/, with objects of its own.

EXTENSION = webhook_routing
EXTVERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" webhook_routing.control)

MODULE_big = webhook_routing
CORE_SOURCES := $(sort $(wildcard core/*.c))
EXTENSION_SOURCES := $(sort $(wildcard extension/*.c))
OBJS = $(CORE_SOURCES:.c=.o) $(EXTENSION_SOURCES:.c=.o)

INSTALL_SCRIPTS := $(sort $(wildcard extension/install/*.sql))
DATA_built = extension/webhook_routing--$(EXTVERSION).sql
DATA = $(sort $(wildcard extension/packs/*.sql))

REGRESS = $(sort $(patsubst sql/%.sql,%,$(wildcard sql/*.sql)))
REGRESS_OPTS = --inputdir=. --load-extension=webhook_routing
ISOLATION = $(sort $(patsubst test/isolation/specs/%.spec,%,$(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test/isolation --outputdir=build/isolation --load-extension=webhook_routing

PG_CPPFLAGS = -Icore -DWEBHOOK_ROUTING_VERSION='"$(EXTVERSION)"'
PG_CFLAGS = -O2 -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers $(WERROR)
SHLIB_LINK = -lutf8proc

EXTRA_CLEAN = build/isolation results regression.diffs regression.out

# Bitcode for the JIT compiler would inline nothing here and needs a second compiler.
override with_llvm = no

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# The engine is plain C11 on its own terms; the extension keeps the server's style.
$(CORE_SOURCES:.c=.o): override CFLAGS := \
	$(filter-out -O2 -Wdeclaration-after-statement,$(CFLAGS)) -std=gnu11 -O3
$(OBJS): $(wildcard core/*.h extension/*.h) webhook_routing.control

extension/webhook_routing--$(EXTVERSION).sql: $(INSTALL_SCRIPTS) webhook_routing.control Makefile
	{ printf '%s\n' '\echo Use "CREATE EXTENSION webhook_routing" to load this file. \quit'; \
	  cat $(INSTALL_SCRIPTS); } > $@

include Makefile.programs
