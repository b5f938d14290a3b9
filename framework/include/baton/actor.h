/* SPDX-License-Identifier: MPL-2.0 */

/*  actor.h - a named, durable subscriber.
 *
 *  An actor is a name; each process that runs it is an instance. Instances of one actor share its
 *  partitions: launch more of them to do more at a time. Events of one key are handled one at a
 *  time, in journal order, across topics, through retries and crashes (G3).
 *
 *  Handlers run one at a time in the thread that called baton_actor_run, which talks to the
 *  orchestrator between them; when a handler takes long, a thread of the actor's own stands in and
 *  keeps the session alive.
 *
 *  Thread rule: everything from the thread that runs the actor, but baton_actor_stop, which may be
 *  called from any thread and from a signal handler.
 */
#ifndef BATON_ACTOR_H
#define BATON_ACTOR_H

#include <baton/event.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    BATON_ACK,   /* done; what was emitted goes out, together with the acknowledgement (G5) */
    BATON_RETRY, /* again after the backoff; later events of the key wait; emissions discarded */
    BATON_REJECT /* to the dead letters at once; emissions discarded */
} baton_verdict_t;

typedef enum {
    BATON_START_TAIL,      /* a new actor sees what is published after its first join */
    BATON_START_BEGINNING, /* ... everything that the journal still holds */
    BATON_START_OFFSET,    /* ... from start_value on, an offset */
    BATON_START_TIME       /* ... what entered the journal at start_value or later,
                              microseconds since 1970 UTC; an event's own time does not count */
} baton_start_t;

typedef struct baton_actor baton_actor_t;

/*  What a handler may do besides returning a verdict; valid during the call.  */
typedef struct baton_context baton_context_t;

typedef baton_verdict_t (baton_handler_fn) (baton_context_t *context, const baton_event_t *event,
                                            void *arg);

/*  Zero means default. name, instance and endpoint are copied.  */
typedef struct {
    const char *name;             /* the actor; required; letters, digits, '-' and '_' */
    const char *instance;         /* default "HOST-PID"; a supervisor gives stable names */
    const char *endpoint;         /* default "tcp://127.0.0.1:7711" */
    baton_start_t start;          /* used only when the actor is registered the first time */
    uint64_t start_value;         /* offset, or time in microseconds */
    uint32_t max_attempts;        /* then dead-lettered; default 5, at most 1,000 */
    uint32_t backoff_min_ms;      /* default 100, or backoff_max_ms if that is less */
    uint32_t backoff_max_ms;      /* default 30,000, or backoff_min_ms if that is more; at most
                                     86,400,000; not below backoff_min_ms */
    uint32_t backoff_jitter_pct;  /* 0..100, share of the backoff that is random; default 20,
                                     UINT32_MAX for none */
    uint32_t handler_deadline_ms; /* default 30,000, at most 86,400,000 */
    uint32_t connect_timeout_ms;  /* 0: keep trying for ever (a warning each 5 s); else
                                     baton_actor_run gives up with UNREACHABLE after that long
                                     without an answer */
    size_t emit_bytes_max;        /* per handler call; default 1 MiB, at most 4 MiB */
    size_t prefetch_bytes;        /* received and not yet handled; default 8 MiB, at least 64 KiB */
    bool exit_when_hung;          /* end the process (code 70) when a handler is still running one
                                     more deadline after its deadline; baton_actor_main sets it */
    uint32_t keep_awake_ms;       /* as in orchestrator.h, for this machine: while events come and
                                     so long after; at most 60,000; default 0 = not */
    const char *usage;            /* for baton_actor_main: what the actor's own arguments are, those
                                     after "--"; whole lines, for --help; NULL: it has none */
} baton_actor_options_t;

/*  Errors: ARGUMENT (no name, a limit out of its range, what is no endpoint), NAME, MEMORY. *actor
 *  is NULL on error. Does not connect yet.  */
BATON_API baton_err_t baton_actor_new (baton_actor_t **actor, const baton_actor_options_t *options);

/*  Nulls the pointer; NULL is fine. Not while it runs: stop it, and let baton_actor_run return.  */
BATON_API void baton_actor_destroy (baton_actor_t **actor_p);

/*  Adds a handler for a topic pattern: dotted segments, "*" is one segment, ">" the rest. The
 *  first pattern that matches, in the order of the calls, takes the event. Before baton_actor_run.
 *  The pattern is copied; arg is the caller's, and is used until baton_actor_run returns.
 *  Errors: TOPIC, LIMIT (64 patterns), ARGUMENT (no handler, or it has run), MEMORY.  */
BATON_API baton_err_t baton_actor_on (baton_actor_t *self, const char *pattern,
                                      baton_handler_fn *handler, void *arg);

/*  Joins and handles events until baton_actor_stop or an error that cannot be waited out; blocks
 *  until then. An actor runs once. After a stop: finishes the event in hand, settles, leaves,
 *  returns BATON_OK; where a build with other topics has taken over, it first goes on for up to 5 s
 *  with what only this one knows. Errors: UNREACHABLE, FENCED (a newer process has taken this
 *  instance name), CONFLICT (it cannot take over with these topics now), ARGUMENT (no handler, or
 *  it has run), MEMORY, SYSTEM, and what the orchestrator refused; baton_actor_error_text says
 *  more.  */
BATON_API baton_err_t baton_actor_run (baton_actor_t *self);

/*  One line for a person about what baton_actor_run returned; "" if all went well. Borrowed.  */
BATON_API const char *baton_actor_error_text (const baton_actor_t *self);

/*  Makes baton_actor_run return, also one that is yet to be called. Async-signal-safe.  */
BATON_API void baton_actor_stop (baton_actor_t *self);

/*  ---- inside a handler -------------------------------------------------------------------- */

/*  Emits an event; it becomes durable and visible together with this event's acknowledgement.
 *  key NULL: the key of the event in hand. correlationid, causationid and traceparent are filled in
 *  unless given; the id is derived from actor, journal, offset and position, so that a repeated
 *  call emits the same id. Errors: TOPIC, KEY, TOO_LARGE (also emit_bytes_max), TOO_DEEP,
 *  MALFORMED, ARGUMENT (an attribute), MEMORY. An error also turns a later ACK of this call into a
 *  REJECT with that reason, so that a handler that does not look cannot lose an emission
 *  silently.  */
BATON_API baton_err_t baton_emit (baton_context_t *self, const char *topic, const char *key,
                                  const void *data, size_t size,
                                  const baton_attributes_t *attributes);
BATON_API baton_err_t baton_emit_data (baton_context_t *self, const char *topic, const char *key,
                                       baton_data_t *data);

/*  Why the verdict is RETRY or REJECT, for people and the dead letter; printf-like, cut at 255
 *  bytes. While the event waits for its next attempt, `baton why` shows the first 120.  */
BATON_API void baton_reason (baton_context_t *self, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

/*  Gives the running handler another `ms` from now before its deadline.  */
BATON_API void baton_extend (baton_context_t *self, uint32_t ms);

/*  True once a stop was asked for: a long handler may cut its work short. Not so for an event that
 *  is handled in spite of the stop, because the next build has other topics.  */
BATON_API bool baton_stopping (const baton_context_t *self);

/*  ---- a ready main ------------------------------------------------------------------------- */

/*  Parses --connect ENDPOINT, --name NAME (of the actor), --instance NAME, --start
 *  tail|beginning|OFFSET|TIME, --max-attempts, --backoff-min, --backoff-max (milliseconds),
 *  --handler-deadline, --connect-timeout, --log text|json, --help; the environment variables
 *  BATON_CONNECT, BATON_INSTANCE and BATON_LOG give defaults. SIGTERM and SIGINT drain; a second
 *  one of the same kind ends the process at once. `configure` adds the handlers; its argc and argv
 *  are the actor's own arguments, those after "--"; --help shows options.usage for them, and so
 *  does a configure that returns ARGUMENT. Where NOTIFY_SOCKET is set it tells who started the
 *  process when the actor has joined, how it is, and that it lives (sd_notify(3)'s protocol).
 *  Exit codes: 0 drained, 2 usage, 69 unreachable, 70 a handler hung, 75 fenced, 1 else.  */
typedef baton_err_t (baton_configure_fn) (baton_actor_t *actor, int argc, char **argv, void *arg);

BATON_API int baton_actor_main (int argc, char **argv, const baton_actor_options_t *defaults,
                                baton_configure_fn *configure, void *arg);

#ifdef __cplusplus
}
#endif
#endif
