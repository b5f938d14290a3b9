/* SPDX-License-Identifier: MPL-2.0 */

/*  history.h - what a run left behind, in memory, for the judge: events as somebody saw them, and
 *  what the load has sent. Grows with the events; texts are copied and owned.  */
#ifndef BN_LAB_HISTORY_H
#define BN_LAB_HISTORY_H

#include <baton/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BN_LAB_EVENTS_MAX 4000000 /* of a run: some 300 bytes each */
#define BN_LAB_NO_OFFSET  UINT64_MAX

typedef struct {
    uint64_t offset;
    uint64_t seen_us;     /* monotonic; when it was seen first; 0: not known */
    uint64_t dead_offset; /* of the event that this is the dead letter of, or NO_OFFSET */
    const char *id;       /* texts: never NULL, "" for none */
    const char *source;
    const char *topic;
    const char *key;
    const char *cause;       /* causationid */
    const char *correlation; /* correlationid */
} bn_lab_event_t;

typedef struct {
    bn_lab_event_t *events; /* owned; as added */
    size_t count;
    size_t capacity;
} bn_lab_history_t;

void bn_lab_history_init (bn_lab_history_t *self);
void bn_lab_history_fini (bn_lab_history_t *self);
/*  Errors: MEMORY, LIMIT.  */
baton_err_t bn_lab_history_add (bn_lab_history_t *self, const bn_lab_event_t *event);
/*  By offset, where offsets ascend; NULL: there is none.  */
const bn_lab_event_t *bn_lab_history_at (const bn_lab_history_t *self, uint64_t offset);

/*  One event of the load.  */
typedef struct {
    const char *id;
    const char *topic;
    const char *key;
    uint64_t due_us;     /* monotonic; when it was to be published */
    uint64_t receipt_us; /* 0: there is no receipt */
    uint64_t offset;     /* as the receipt says */
} bn_lab_sent_t;

typedef struct {
    bn_lab_sent_t *events; /* owned; in the order of publishing */
    size_t count;
    size_t capacity;
} bn_lab_log_t;

void bn_lab_log_init (bn_lab_log_t *self);
void bn_lab_log_fini (bn_lab_log_t *self);
baton_err_t bn_lab_log_add (bn_lab_log_t *self, const bn_lab_sent_t *event);

#endif
