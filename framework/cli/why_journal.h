/* SPDX-License-Identifier: MPL-2.0 */

/*  why_journal.h - what `baton why` looks up in the journal: events by id, what caused what, who
 *  stands before whom in a partition.
 *
 *  The journal has no index by id, so looking one up is a scan, and each is bounded by scan_max
 *  events. Ids that baton makes itself help: that of an emitted event (ACTOR-JOURNAL-OFFSET-INDEX)
 *  and that of a dead letter (dead.ACTOR.JOURNAL.OFFSET) say where their cause is.
 *
 *  Events are JSON objects: offset, partition, topic, key, time, id, source, and what led to
 *  them: causationid, correlationid; deadid and deadreason of a dead letter.  */
#ifndef BN_CLI_WHY_JOURNAL_H
#define BN_CLI_WHY_JOURNAL_H

#include "cli/reader.h"
#include <jansson.h>

typedef struct {
    bn_admin_t *admin;    /* borrowed */
    uint32_t patience_ms; /* of bn_reader_t */
    uint64_t journal_id;
    uint64_t tail;     /* when it began: later events are not looked at */
    uint64_t scan_max; /* events that one search may look at */
} bn_why_journal_t;

/*  What was looked at: [from, to).  */
typedef struct {
    uint64_t from;
    uint64_t to;
} bn_why_range_t;

/*  Each returns an error of the orchestrator (bn_admin_error_text), or MEMORY. *event is owned,
 *  NULL if there is none.  */
baton_err_t bn_why_at (bn_why_journal_t *self, uint64_t offset, json_t **event);
typedef enum { BN_WHY_ID, BN_WHY_KEY } bn_why_by_t;
/*  An event with that id or key before `end`: backward, except that an id can say where to begin.
 *  Of several with a key: the latest.  */
baton_err_t bn_why_find (bn_why_journal_t *self, bn_why_by_t by, const char *text, uint64_t end,
                         bn_why_range_t *range, json_t **event);
/*  Appends to the array what the event was caused by, nearest first. *missing (128 bytes + 1) is
 *  the id of the cause that was not found, "": the chain is complete.  */
baton_err_t bn_why_causes (bn_why_journal_t *self, const json_t *event, json_t *chain,
                           char missing[BATON_ID_BYTES_MAX + 1]);
/*  Appends what it has caused, in journal order; `depth` is set in each. *more: there is more than
 *  fits.  */
baton_err_t bn_why_effects (bn_why_journal_t *self, const json_t *event, json_t *list,
                            bn_why_range_t *range, bool *more);

/*  The main line of an actor in a partition: events from the floor on that its patterns match. The
 *  one at `offset`, or those of the key, are appended to `found` with `ahead` and `ahead_of_key`:
 *  how many stand before it.  */
typedef struct {
    const char *const *patterns;
    size_t pattern_count;
    uint32_t partition;
    uint64_t floor;
    uint64_t offset; /* stops there; BN_NO_OFFSET: all of the key */
    const char *key; /* "": only the offset */
    size_t found_max;
} bn_why_line_t;

/*  *range says how far it looked.  */
baton_err_t bn_why_line (bn_why_journal_t *self, const bn_why_line_t *line, json_t *found,
                         bn_why_range_t *range);

#endif
