/* SPDX-License-Identifier: MPL-2.0 */

/*  reader.h - events out of the journal, one by one, for the subcommands that print or look at
 *  them. A loop of READ requests around a callback.  */
#ifndef BN_CLI_READER_H
#define BN_CLI_READER_H

#include "client/admin.h"
#include "wire/batch.h"

typedef struct {
    bn_text_t topic;
    uint32_t partition;
    uint64_t offset;
    bn_event_fields_t fields;
} bn_read_event_t; /* borrowed during the callback */

/*  false: that is enough.  */
typedef bool (bn_read_fn) (const bn_read_event_t *event, void *arg);

typedef struct {
    bn_from_t from_kind;
    uint64_t from;      /* offset, or microseconds since 1970 UTC */
    uint64_t upto;      /* exclusive; BN_NO_OFFSET with `follow`: for ever */
    uint32_t bytes_max; /* of one answer, at least one section; default 1 MiB */
    bool follow;        /* waits for more at the end, and for an orchestrator that is away */
    /*  A refusal that may pass (UNREADABLE, LIMIT) is tried again for as long since the last
     *  answer; 0: not at all; for ever with `follow`.  */
    uint32_t patience_ms;
    const char *const *patterns;
    size_t pattern_count; /* 0: all topics, also those of dead letters */
    bn_read_fn *event;
    void *arg;
} bn_reader_t;

/*  Blocks. With follow it comes back only when the callback has enough or on an error that waiting
 *  does not help. bn_admin_error_text says what went wrong.  */
baton_err_t bn_reader_run (bn_reader_t *self, bn_admin_t *admin);

#endif
