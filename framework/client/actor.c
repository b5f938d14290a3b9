/* SPDX-License-Identifier: MPL-2.0 */

/*  actor.c - an actor's options, its handlers, and the thread that runs them.  */

#include "client/actor_internal.h"
#include "client/link.h"
#include "shell/clock.h"
#include "wire/topic.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_ENDPOINT   "tcp://127.0.0.1:7711"
#define DELAY_MS_MAX       86400000u /* a backoff, a deadline; the wire has no more, either */
#define ATTEMPTS_MAX       1000u
#define EMIT_BYTES_MAX     (4u * 1024 * 1024)
#define PREFETCH_BYTES_MIN (64u * 1024)
#define KEEP_AWAKE_MS_MAX  60000u
/*  A run that is away for one to two times this leaves the courier to the stand-in: the first where
 *  runs have been long, up to the second where they have been quick. Longer than most runs
 *  (BN_RUN_MS_MAX), and nothing to any timeout of a session.  */
#define WATCH_MS     10
#define WATCH_MS_MAX 40

/*  "HOST-PID", with what a name may not contain replaced.  */
static void default_instance (char *text, size_t size)
{
    char host[BATON_NAME_BYTES_MAX - 10] = "";
    if (gethostname (host, sizeof host) != 0 || !host[0])
        snprintf (host, sizeof host, "host");
    host[sizeof host - 1] = 0;
    for (char *at = host; *at; at++)
        if (!bn_instance_name_valid (at, 1))
            *at = '-';
    snprintf (text, size, "%s-%d", host, (int)getpid ());
}

/*  Fills in the defaults. False: out of range.  */
static bool complete (baton_actor_options_t *options)
{
    if (!options->max_attempts)
        options->max_attempts = 5;
    if (!options->backoff_max_ms)
        options->backoff_max_ms = options->backoff_min_ms > 30000 ? options->backoff_min_ms : 30000;
    if (!options->backoff_min_ms)
        options->backoff_min_ms = options->backoff_max_ms < 100 ? options->backoff_max_ms : 100;
    if (!options->backoff_jitter_pct)
        options->backoff_jitter_pct = 20;
    else if (options->backoff_jitter_pct == UINT32_MAX)
        options->backoff_jitter_pct = 0;
    if (!options->handler_deadline_ms)
        options->handler_deadline_ms = 30000;
    if (!options->emit_bytes_max)
        options->emit_bytes_max = 1024 * 1024;
    if (!options->prefetch_bytes)
        options->prefetch_bytes = 8 * 1024 * 1024;
    return options->start >= BATON_START_TAIL && options->start <= BATON_START_TIME &&
           options->max_attempts <= ATTEMPTS_MAX && options->backoff_max_ms <= DELAY_MS_MAX &&
           options->backoff_min_ms <= options->backoff_max_ms &&
           options->handler_deadline_ms <= DELAY_MS_MAX && options->backoff_jitter_pct <= 100 &&
           options->emit_bytes_max <= EMIT_BYTES_MAX &&
           options->prefetch_bytes >= PREFETCH_BYTES_MIN &&
           options->keep_awake_ms <= KEEP_AWAKE_MS_MAX &&
           bn_link_endpoint_valid (options->endpoint);
}

baton_err_t baton_actor_new (baton_actor_t **actor, const baton_actor_options_t *options)
{
    *actor = NULL;
    if (!options || !options->name)
        return BATON_ERR_ARGUMENT;
    baton_actor_options_t filled = *options;
    char instance[BATON_NAME_BYTES_MAX + 1];
    default_instance (instance, sizeof instance);
    if (!filled.instance)
        filled.instance = instance;
    if (!filled.endpoint)
        filled.endpoint = DEFAULT_ENDPOINT;
    if (!bn_actor_name_valid (filled.name, strlen (filled.name)) ||
        !bn_instance_name_valid (filled.instance, strlen (filled.instance)))
        return BATON_ERR_NAME;
    if (!complete (&filled))
        return BATON_ERR_ARGUMENT;

    baton_actor_t *self = calloc (1, sizeof *self);
    if (!self)
        return BATON_ERR_MEMORY;
    snprintf (self->name, sizeof self->name, "%s", filled.name);
    snprintf (self->instance, sizeof self->instance, "%s", filled.instance);
    snprintf (self->endpoint, sizeof self->endpoint, "%s", filled.endpoint);
    snprintf (self->source, sizeof self->source, "/actors/%s", filled.name);
    self->options = filled;
    self->options.name = self->name;
    self->options.instance = self->instance;
    self->options.endpoint = self->endpoint;
    self->run_ms_max = BN_RUN_MS_MAX;
    uint32_t quarter_ms = self->options.handler_deadline_ms / 4 + 1;
    self->crossing = bn_crossing_new (quarter_ms < WATCH_MS ? quarter_ms : WATCH_MS,
                                      quarter_ms < WATCH_MS_MAX ? quarter_ms : WATCH_MS_MAX);
    if (!self->crossing) {
        free (self);
        return BATON_ERR_MEMORY;
    }
    *actor = self;
    return BATON_OK;
}

void baton_actor_destroy (baton_actor_t **actor_p)
{
    baton_actor_t *self = *actor_p;
    if (!self)
        return;
    bn_crossing_destroy (&self->crossing);
    for (uint32_t i = 0; i < self->handler_count; i++)
        free (self->handlers[i].pattern);
    free (self);
    *actor_p = NULL;
}

baton_err_t baton_actor_on (baton_actor_t *self, const char *pattern, baton_handler_fn *handler,
                            void *arg)
{
    if (!handler || self->ran)
        return BATON_ERR_ARGUMENT;
    if (!pattern || !bn_pattern_valid (pattern, strlen (pattern)))
        return BATON_ERR_TOPIC;
    if (self->handler_count == BN_PATTERNS_MAX)
        return BATON_ERR_LIMIT;
    char *copy = strdup (pattern);
    if (!copy)
        return BATON_ERR_MEMORY;
    self->patterns[self->handler_count] = copy;
    self->handlers[self->handler_count++] =
        (bn_handler_t){.pattern = copy, .handler = handler, .arg = arg};
    return BATON_OK;
}

static const bn_handler_t *handler_for (const baton_actor_t *self, bn_text_t topic)
{
    for (uint32_t i = 0; i < self->handler_count; i++) {
        const char *pattern = self->handlers[i].pattern;
        if (bn_pattern_matches (pattern, strlen (pattern), topic.text, topic.size))
            return &self->handlers[i];
    }
    return NULL;
}

/*  True if an earlier item of the key waits for a retry or was left out: then this one waits too
 *  (G3).  */
static bool waits (const bn_run_t *run, uint32_t index)
{
    uint64_t key_hash = run->items[index].key_hash;
    if (key_hash == 0)
        return false;
    for (uint32_t i = 0; i < index; i++)
        if (run->items[i].key_hash == key_hash &&
            (run->items[i].result == BN_RESULT_RETRY || run->items[i].result == BN_RESULT_NONE))
            return true;
    return false;
}

static void handle (baton_actor_t *self, baton_context_t *context, bn_run_item_t *item,
                    uint32_t index, uint64_t now_ms, const bn_crossing_facts_t *facts)
{
    const bn_handler_t *handler = handler_for (self, item->topic);
    if (!handler) {
        /*  Only what a pattern matches is sent here.  */
        item->result = BN_RESULT_ACK;
        return;
    }
    bn_context_begin (context, item, facts);
    bn_crossing_begin (self->crossing, index, now_ms + self->options.handler_deadline_ms);
    baton_verdict_t verdict = handler->handler (context, &context->event, handler->arg);
    bn_crossing_end (self->crossing);
    bn_context_end (context, verdict);
}

void bn_actor_handle_run (baton_actor_t *self, baton_context_t *context, bn_run_t *run,
                          const bn_crossing_facts_t *facts)
{
    uint64_t start_ms = bn_clock_mono_ns () / 1000000;
    size_t bytes = 0;
    bool holes = false; /* some item of the run was not acknowledged or rejected */
    for (uint32_t i = 0; i < run->count && bytes < BN_RUN_BYTES_MAX; i++) {
        uint64_t now_ms = i == 0 ? start_ms : bn_clock_mono_ns () / 1000000;
        if ((bn_crossing_stopping (self->crossing) && !facts->after_stop) ||
            now_ms - start_ms >= self->run_ms_max)
            break;
        bn_run_item_t *item = &run->items[i];
        if (!holes || !waits (run, i)) {
            handle (self, context, item, i, now_ms, facts);
            bytes += context->emitted_bytes;
        }
        holes |= item->result == BN_RESULT_RETRY || item->result == BN_RESULT_NONE;
    }
}

static void *stand_in_main (void *courier)
{
    bn_courier_stand_in (courier);
    return NULL;
}

/*  The stand-in takes no signals: a SIGTERM wakes the thread that may be in a handler.  */
static bool start_stand_in (bn_courier_t *courier, pthread_t *thread)
{
    sigset_t all, before;
    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &before);
    int rc = pthread_create (thread, NULL, stand_in_main, courier);
    pthread_sigmask (SIG_SETMASK, &before, NULL);
    return rc == 0;
}

/*  The stand-in has taken the courier over from `run`: it gives the runs until it hands the courier
 *  back. False: the end.  */
static bool handle_what_is_given (baton_actor_t *self, baton_context_t *context, bn_run_t *run)
{
    bn_crossing_facts_t facts;
    bn_crossing_taken_t taken;
    do {
        bn_crossing_give_back (self->crossing, run);
        taken = bn_crossing_take (self->crossing, &run, &facts);
        if (taken == BN_CROSSING_RUN)
            bn_actor_handle_run (self, context, run, &facts);
    } while (taken == BN_CROSSING_RUN);
    return taken == BN_CROSSING_COURIER;
}

static void serve (baton_actor_t *self, baton_context_t *context, bn_courier_t *courier)
{
    bn_crossing_facts_t facts;
    bn_run_t *run;
    bool here = true; /* with the courier */
    while (here && (run = bn_courier_serve (courier, &facts)) != NULL) {
        bn_crossing_leave (self->crossing, run);
        bn_actor_handle_run (self, context, run, &facts);
        here = bn_crossing_back (self->crossing);
        if (here)
            bn_courier_handled (courier, run);
        else
            here = handle_what_is_given (self, context, run);
    }
}

static baton_err_t end_early (baton_actor_t *self, baton_err_t err, const char *text)
{
    snprintf (self->error_text, sizeof self->error_text, "%s", text);
    return err;
}

baton_err_t baton_actor_run (baton_actor_t *self)
{
    if (self->ran || self->handler_count == 0)
        return end_early (self, BATON_ERR_ARGUMENT,
                          self->ran ? "an actor runs once" : "the actor has no handler");
    self->ran = true;
    baton_context_t context;
    bn_context_options_t options = {.actor = self->name,
                                    .source = self->source,
                                    .emit_bytes_max = self->options.emit_bytes_max,
                                    .crossing = self->crossing};
    if (!bn_context_init (&context, &options))
        return end_early (self, BATON_ERR_MEMORY, baton_err_text (BATON_ERR_MEMORY));
    bn_courier_t *courier = bn_courier_new (self);
    pthread_t thread;
    baton_err_t err = BATON_OK;
    if (!courier)
        err = end_early (self, BATON_ERR_MEMORY, "no memory or descriptors for the courier");
    else if (!start_stand_in (courier, &thread))
        err = end_early (self, BATON_ERR_SYSTEM, "no thread to stand in for the handlers' one");
    else {
        serve (self, &context, courier);
        pthread_join (thread, NULL);
        err = self->err;
    }
    bn_courier_destroy (&courier);
    bn_context_fini (&context);
    return err;
}

const char *baton_actor_error_text (const baton_actor_t *self)
{
    return self->error_text;
}

void baton_actor_stop (baton_actor_t *self)
{
    bn_crossing_stop (self->crossing);
}
