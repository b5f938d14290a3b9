/* SPDX-License-Identifier: MPL-2.0 */

/*  judge.h - was a guarantee broken? From the receipts of the load and the journal alone.
 *
 *  DESIGN. Nothing is believed that the system says about itself: what has a receipt must be in the
 *  journal, where the receipt says; what anybody could see there must still be there; what actors
 *  emitted names its cause, so that order and number of effects can be compared with the causes. So
 *  it works for any system of actors, not only for those made for tests.
 *
 *    lost            receipted and not in the journal at its offset (G1); seen in the journal and
 *                    gone; a declared effect without which an event was settled (G2, G5)
 *    duplicated      an event that was published once and is in the journal twice
 *    out_of_order    within a key: events of the load against the order in which they were sent, an
 *                    actor's effects and dead letters against the order of their causes (G3)
 *    double_effects  the same effect of the same event of the same actor twice, two dead letters,
 *                    an effect and a dead letter, more effects than declared (G5)
 *
 *  Pure: no clock, no files.  */
#ifndef BN_LAB_JUDGE_H
#define BN_LAB_JUDGE_H

#include "lab/history.h"
#include <baton/event.h>

#define BN_LAB_EXAMPLES_MAX      20
#define BN_LAB_EXAMPLE_BYTES_MAX 400
#define BN_LAB_EFFECTS_MAX       32

/*  Declared: each event of `from` (a pattern) makes `actor` emit exactly one event of topic `to`,
 *  or becomes a dead letter.  */
typedef struct {
    char actor[BATON_NAME_BYTES_MAX + 1];
    char from[BATON_TOPIC_BYTES_MAX + 1];
    char to[BATON_TOPIC_BYTES_MAX + 1];
} bn_lab_effect_t;

typedef enum { BN_LAB_BEFORE, BN_LAB_DURING, BN_LAB_AFTER, BN_LAB_PHASES } bn_lab_phase_t;

typedef struct {
    uint64_t count;
    uint64_t p50_us;
    uint64_t p99_us;
    uint64_t max_us;
} bn_lab_latency_t;

typedef struct {
    const bn_lab_log_t *sent;
    const bn_lab_history_t *journal; /* read when all was over; ascending offsets */
    const bn_lab_history_t *seen;    /* by somebody who followed it live; may be NULL */
    const bn_lab_effect_t *effects;
    size_t effect_count;
    uint64_t trouble_from_us; /* monotonic; both 0: there was none */
    uint64_t trouble_to_us;
} bn_lab_case_t;

typedef struct {
    uint64_t events;      /* of the load with a receipt */
    uint64_t unreceipted; /* of the load without one: no promise was made */
    uint64_t journal;
    uint64_t dead_letters;
    uint64_t lost;
    uint64_t duplicated;
    uint64_t out_of_order;
    uint64_t double_effects;
    bn_lab_latency_t receipt[BN_LAB_PHASES]; /* from due to the receipt */
    bn_lab_latency_t done[BN_LAB_PHASES];    /* from due until its last effect could be seen */
    char examples[BN_LAB_EXAMPLES_MAX][BN_LAB_EXAMPLE_BYTES_MAX];
    size_t example_count;
} bn_lab_verdict_t;

/*  Errors: MEMORY.  */
baton_err_t bn_lab_judge (bn_lab_verdict_t *verdict, const bn_lab_case_t *it);

/*  Adds to one of the counts, and an example while there is room.  */
void bn_lab_verdict_broken (bn_lab_verdict_t *self, uint64_t *count, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));
/*  None of the guarantees is broken.  */
bool bn_lab_verdict_ok (const bn_lab_verdict_t *self);

#endif
