# webhook_routing: `make` builds the extension and the forwarder, `sudo make install` installs both,
# `sudo make uninstall` takes the same files away. DESTDIR, PREFIX (/usr/local) and PG_CONFIG are
# understood. The extension is built by PGXS from core/ and extension/; every program is built by
# Makefile.programs into build/, with objects of its own. A machine that has only one of the two needs
# `make EXTENSION_ONLY=yes install` or `make -f Makefile.programs install-forwarder`.

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

# The manual page of the extension and the documentation; with EXTENSION_ONLY=yes the page alone.
EXTENSION_ONLY ?= no
PREFIX ?= /usr/local
EXTENSION_MANDIR ?= $(PREFIX)/share/man
PAGES_DIR = $(PREFIX)/share/doc/webhook_routing
PAGES := $(if $(filter yes,$(EXTENSION_ONLY)),,README.md CHANGELOG.md LICENSE \
	$(sort $(wildcard docs/*.md docs/*.png docs/reference/*.md)))

install: install-pages
install-pages:
	install -D -m 644 docs/reference/webhook_routing.7 '$(DESTDIR)$(EXTENSION_MANDIR)/man7/webhook_routing.7'
	$(foreach page,$(PAGES),install -D -m 644 $(page) '$(DESTDIR)$(PAGES_DIR)/$(page)' &&) true
uninstall: uninstall-pages
uninstall-pages:
	rm -f '$(DESTDIR)$(EXTENSION_MANDIR)/man7/webhook_routing.7' $(PAGES:%='$(DESTDIR)$(PAGES_DIR)/%')
	[ ! -d '$(DESTDIR)$(PAGES_DIR)' ] || find '$(DESTDIR)$(PAGES_DIR)' -depth -type d -empty -delete
.PHONY: install-pages uninstall-pages

ifneq ($(EXTENSION_ONLY),yes)
include Makefile.programs
endif
