/* SPDX-License-Identifier: MPL-2.0 */

#include "lab/worker.h"
#include "base/prng.h"
#include "lab/order.h"
#include "shell/clock.h"
#include <baton/actor.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PATTERNS_MAX 16
#define EMITS_MAX    8

typedef struct {
    const char *patterns[PATTERNS_MAX];
    size_t pattern_count;
    const char *emits[EMITS_MAX]; /* topics */
    size_t emit_count;
    uint64_t handle_ms;
    double fail_rate;
    char provider[PATH_MAX]; /* file that is there while it is down; "": none */
    bn_prng_t prng;
} s_worker_t;

static void s_pause_ms (uint64_t ms)
{
    struct timespec rest = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    while (ms && nanosleep (&rest, &rest) && errno == EINTR)
        ;
}

static bool s_is_poisoned (const baton_event_t *event)
{
    baton_value_t value;
    bool poison = false;
    return baton_event_field (event, "poison", &value) && baton_value_bool (value, &poison) &&
           poison;
}

static baton_verdict_t s_handle (baton_context_t *context, const baton_event_t *event, void *arg)
{
    s_worker_t *self = arg;
    size_t size;
    const void *data = baton_event_data (event, &size);
    if (s_is_poisoned (event))
        kill (getpid (), SIGKILL); /* nothing can be put in order any more */
    s_pause_ms (self->handle_ms);
    if (*self->provider && access (self->provider, F_OK) == 0) {
        baton_reason (context, "the provider is down");
        return BATON_RETRY;
    }
    if (self->fail_rate > 0 &&
        (double)bn_prng_below (&self->prng, 1000000) < self->fail_rate * 1e6) {
        baton_reason (context, "it fails now and then");
        return BATON_RETRY;
    }
    baton_attributes_t attributes = {.datacontenttype = baton_event_datacontenttype (event)};
    for (size_t i = 0; i < self->emit_count; i++)
        baton_emit (context, self->emits[i], NULL, data, size, &attributes);
    return BATON_ACK;
}

static bool s_take_provider (s_worker_t *self, const char *name)
{
    const char *folder = getenv (BN_LAB_VARIABLE);
    if (!*name || strchr (name, '/'))
        return false;
    if (!folder || !*folder) {
        fprintf (stderr, "baton lab worker: --provider works in a lab only (" BN_LAB_VARIABLE
                         " is not set)\n");
        return false;
    }
    return snprintf (self->provider, sizeof self->provider, "%s/%s" BN_LAB_DOWN, folder, name) <
           (int)sizeof self->provider;
}

static bool s_take (s_worker_t *self, int option, const char *value)
{
    char *end;
    switch (option) {
    case 'o':
        if (self->pattern_count == PATTERNS_MAX)
            return false;
        self->patterns[self->pattern_count++] = value;
        return true;
    case 'e':
        if (self->emit_count == EMITS_MAX)
            return false;
        self->emits[self->emit_count++] = value;
        return true;
    case 't':
        return bn_lab_duration (value, &self->handle_ms);
    case 'f':
        self->fail_rate = strtod (value, &end);
        return end != value && !*end && self->fail_rate >= 0 && self->fail_rate <= 1;
    case 'p':
        return s_take_provider (self, value);
    default:
        return false;
    }
}

static baton_err_t s_configure (baton_actor_t *actor, int argc, char **argv, void *arg)
{
    static const struct option options[] = {
        {"on", required_argument, NULL, 'o'},       {"emit", required_argument, NULL, 'e'},
        {"handle", required_argument, NULL, 't'},   {"fail-rate", required_argument, NULL, 'f'},
        {"provider", required_argument, NULL, 'p'}, {NULL, 0, NULL, 0}};
    s_worker_t *self = arg;
    char program[] = "baton lab worker";
    char *words[64] = {program};
    if (argc > 62)
        return BATON_ERR_LIMIT;
    for (int i = 0; i < argc; i++)
        words[i + 1] = argv[i];
    int option, index = 0;
    optind = 0;
    while ((option = getopt_long (argc + 1, words, "+", options, &index)) != -1) {
        if (option == '?')
            return BATON_ERR_ARGUMENT;
        if (!s_take (self, option, optarg)) {
            fprintf (stderr, "baton lab worker: --%s: not a valid value: %s\n", options[index].name,
                     optarg);
            return BATON_ERR_ARGUMENT;
        }
    }
    if (optind <= argc || !self->pattern_count) {
        fprintf (stderr, "baton lab worker: %s\n",
                 optind <= argc ? "only options come after --" : "which events? --on PATTERN");
        return BATON_ERR_ARGUMENT;
    }
    for (size_t i = 0; i < self->pattern_count; i++) {
        baton_err_t err = baton_actor_on (actor, self->patterns[i], s_handle, self);
        if (err) {
            fprintf (stderr, "baton lab worker: --on %s: %s\n", self->patterns[i],
                     baton_err_text (err));
            return err;
        }
    }
    return BATON_OK;
}

int bn_lab_worker (int argc, char **argv)
{
    s_worker_t self = {.handle_ms = 0};
    baton_actor_options_t options = {
        .name = "worker",
        .usage = "  --on PATTERN           handles these topics; may be repeated\n"
                 "  --emit TOPIC           emits an event with its data for each; may be repeated\n"
                 "  --handle TIME          takes so long for each, such as 5ms\n"
                 "  --fail-rate 0..1       share of the events that it tries again\n"
                 "  --provider NAME        tries again while that provider is down (in a lab)\n"};
    bn_prng_init (&self.prng, bn_random_u64 ());
    return baton_actor_main (argc, argv, &options, s_configure, &self);
}
