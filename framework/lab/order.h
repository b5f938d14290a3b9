/* SPDX-License-Identifier: MPL-2.0 */

/*  order.h - one order to a lab: a trouble, what it is for and for how long. Its text is the same
 *  on the command line, in a written drill and on the control socket:
 *
 *    kill TARGET                         SIGKILL; a host: all that it runs, up again after DURATION
 *    pause TARGET                        SIGSTOP, and SIGCONT after DURATION
 *    resume TARGET
 *    restart ACTOR                       one instance after the other, drained (baton restart)
 *    scale ACTOR N                       in all, over its hosts (baton scale)
 *    partition HOST [in|out]             nothing passes the host's link
 *    slow HOST [in|out]                  a link that delays
 *    lossy HOST [in|out]                 a link that drops
 *    heal HOST|all                       every trouble of the links
 *    fill-disk                           the orchestrator's disk is full
 *    provider NAME [down|up]             what a `baton lab worker --provider NAME` needs
 *    poison TOPIC [key KEY]              an event that kills the worker that handles it
 *    burst x10, burst TOPIC rate R       more load
 *    trouble                             any of those that break something: only with random
 *
 *  with "for DURATION" (bounded, each has a default), "random" instead of a target, "rate R" (again
 *  and again, so many a second, for DURATION) and "seed S". Words may have "--" in front.
 *
 *  Pure: text in, struct out.  */
#ifndef BN_LAB_ORDER_H
#define BN_LAB_ORDER_H

#include <baton/error.h>
#include <baton/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BN_LAB_ORDER_BYTES_MAX 255     /* of its text: what a control socket takes */
#define BN_LAB_FOR_MS_MAX      3600000 /* no trouble lasts longer */

/*  X (NAME, text, what it breaks is undone after this many ms by default; 0: takes no time)  */
#define BN_LAB_KINDS(X)                                                                            \
    X (KILL, "kill", 500)                                                                          \
    X (PAUSE, "pause", 2000)                                                                       \
    X (RESUME, "resume", 0)                                                                        \
    X (RESTART, "restart", 0)                                                                      \
    X (SCALE, "scale", 0)                                                                          \
    X (PARTITION, "partition", 5000)                                                               \
    X (SLOW, "slow", 5000)                                                                         \
    X (LOSSY, "lossy", 5000)                                                                       \
    X (HEAL, "heal", 0)                                                                            \
    X (FILL_DISK, "fill-disk", 5000)                                                               \
    X (PROVIDER, "provider", 60000)                                                                \
    X (POISON, "poison", 0)                                                                        \
    X (BURST, "burst", 5000)                                                                       \
    X (TROUBLE, "trouble", 0)

typedef enum {
#define BN_LAB_KIND_ENUM(name, text, for_ms) BN_LAB_##name,
    BN_LAB_KINDS (BN_LAB_KIND_ENUM)
#undef BN_LAB_KIND_ENUM
        BN_LAB_KIND_COUNT
} bn_lab_kind_t;

typedef enum { BN_LAB_BOTH_WAYS, BN_LAB_IN, BN_LAB_OUT } bn_lab_way_t; /* as the host sees it */

typedef struct {
    bn_lab_kind_t kind;
    char target[BATON_TOPIC_BYTES_MAX + 1]; /* "": none, or random */
    char key[BATON_KEY_BYTES_MAX + 1];      /* POISON */
    bn_lab_way_t way;
    uint64_t for_ms; /* the default filled in */
    bool for_given;  /* said, not the default */
    uint32_t number; /* SCALE: instances; BURST: so many times the load, 0: `rate` of `target` */
    double rate;     /* a second; 0: once */
    bool random;
    bool up; /* PROVIDER: is there again */
    bool seed_set;
    uint64_t seed;
} bn_lab_order_t;

const char *bn_lab_kind_text (bn_lab_kind_t kind);

/*  Errors: ARGUMENT; `what` (256 bytes) says what is wrong.  */
baton_err_t bn_lab_order_parse (bn_lab_order_t *self, const char *text, char what[256]);

/*  "500ms", "10s", "2m", "1h", "1.5s": false if it is anything else.  */
bool bn_lab_duration (const char *text, uint64_t *ms);

#endif
