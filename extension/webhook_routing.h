#ifndef WEBHOOK_ROUTING_H
#define WEBHOOK_ROUTING_H

#include "postgres.h"

#include "access/htup.h"
#include "fmgr.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

#include "route.h"

extern Oid	webhook_routing_relation(FunctionCallInfo fcinfo, const char *name);
extern HeapTuple webhook_routing_newest_config(Relation config, Snapshot snapshot);
extern const char *const webhook_routing_version;

#endif
