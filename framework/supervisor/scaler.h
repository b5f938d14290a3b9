/* SPDX-License-Identifier: MPL-2.0 */

/*  scaler.h - how many instances an elastic service should have: a decision without I/O or clock.
 *
 *  What is known of the service comes in as samples, each with its time; what comes out is the
 *  number wanted and the reason, as one line for the log.
 *
 *  DESIGN. What people wait for is the lag, so the lag decides, and not processor time: an instance
 *  that waits for a payment provider is idle, and yet there are too few of them.
 *
 *    Grow.    When ready / target_lag, rounded up, is more than there are instances, and was so in
 *             the sample before, the number goes there at once.
 *    Cap.     More instances help only while they have something to share. With r ready events, b
 *             of them in the busiest partition, nothing is done before b are handled one after the
 *             other, so r / b instances are as good as any number. One hot key is r / b = 1. Parked
 *             events wait for their time, which no instance brings nearer: they do not count.
 *    Shrink.  When fewer would do for a whole cooldown: few enough that the ready events are below
 *             half of their target and that the events that come are at most 80 % of what they can
 *             handle. What an instance can handle is measured while there is a queue; until it was,
 *             half of the spare instances go at a time.
 *    Calm.    The measure is raised by a quarter each time that it has kept the number up for a
 *             cooldown, since a handler may have become faster where nothing queues to show it. A
 *             shrink that then proves wrong (the same load makes it grow again) doubles the wait
 *             until the next one, up to CALM_MAX cooldowns, until there is clearly less to do. So a
 *             steady load that n instances hold and n - 1 do not is probed ever more seldom.
 *
 *  INVARIANT S1: wanted is within min..max, whatever the samples say.
 *  INVARIANT S2: `changed` is set only when the number is another one, or the kind of the reason.
 *
 *  Nothing here knows of processes or the orchestrator.  */
#ifndef BN_SCALER_H
#define BN_SCALER_H

#include <stdbool.h>
#include <stdint.h>

#define BN_SCALER_REASON_BYTES 160

typedef struct {
    uint32_t min;         /* instances; default 1 */
    uint32_t max;         /* never below min */
    uint32_t target_lag;  /* ready events for each instance; default 1,000 */
    uint32_t cooldown_ms; /* default 30,000 */
} bn_scaler_options_t;

/*  What the orchestrator says of an actor at one moment.  */
typedef struct {
    uint64_t now_ms;          /* monotonic; never less than that of the sample before */
    uint64_t ready;           /* events to be handled, those in flight among them */
    uint64_t ready_most;      /* of them in the partition that has the most; 0: not known */
    uint64_t parked;          /* events that wait for a retry, or behind one */
    uint64_t published;       /* events for the actor since the beginning */
    uint64_t settled;         /* events that it has settled since the beginning */
    uint32_t instances;       /* that are wanted now */
    uint32_t partitions;      /* of the journal */
    uint32_t busy_partitions; /* that have ready events */
} bn_scaler_sample_t;

typedef enum {
    BN_SCALER_STEADY,   /* the number is right */
    BN_SCALER_GROW,     /* wanted is more */
    BN_SCALER_SHRINK,   /* wanted is less */
    BN_SCALER_AT_MAX,   /* more would help, and is not allowed */
    BN_SCALER_NO_SHARE, /* more would have nothing to do: the lag is in too few partitions */
    BN_SCALER_PARKED    /* what waits, waits for its retries */
} bn_scaler_kind_t;

typedef struct {
    uint32_t wanted;
    bn_scaler_kind_t kind;
    bool changed;                        /* worth a line in the log (S2) */
    char reason[BN_SCALER_REASON_BYTES]; /* "all of the lag of 12000 is in 1 of 32 partitions..." */
} bn_scaler_decision_t;

typedef struct {
    bn_scaler_options_t options;
    bn_scaler_sample_t last;
    bool seen;             /* last is set */
    bn_scaler_kind_t kind; /* of the last decision */
    uint32_t wanted;       /* by it */
    uint32_t over;         /* samples in a row that ask for more */
    uint64_t since_ms;     /* since when fewer would do */
    uint64_t light_ms;     /* since when they would for the lag alone */
    uint32_t enough;       /* how many, in the second half of that time; 0: not yet */
    bool idle;             /* nothing has come since then */
    uint64_t changed_ms;   /* of the last change of the number */
    bool shrunk;           /* the last change was one, and may prove wrong */
    double shrunk_rate;    /* events a second that came then */
    uint32_t calm;         /* cooldowns to wait for a shrink: 1, 2, 4, ... */
    double calm_rate;      /* events a second that came when a shrink proved wrong */
    double rate_in;        /* events a second, smoothed */
    double rate_out;
    double capacity; /* events a second of one instance; 0: not measured yet */
} bn_scaler_t;

/*  Zero in the options: the default. The fields of bn_scaler_t are its own.  */
void bn_scaler_init (bn_scaler_t *self, const bn_scaler_options_t *options);
void bn_scaler_step (bn_scaler_t *self, const bn_scaler_sample_t *sample,
                     bn_scaler_decision_t *decision);

#endif
