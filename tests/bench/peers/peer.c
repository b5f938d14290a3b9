/* SPDX-License-Identifier: MPL-2.0 */

/*  peer.c - bench_peer SYSTEM ROLE NAME=VALUE...: see peer.h. Prints "ready", and "result JSON" at
 *  its end, like the children of `baton bench`, but with percentiles instead of the histogram.  */
#include "peer.h"
#include "shell/clock.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define SAMPLE_EVENTS 16 /* as in baton bench: without a rate one of so many is timed */

uint64_t peer_now_ns (void)
{
    return bn_clock_mono_ns ();
}

uint64_t peer_due_ns (const peer_load_t *load, uint64_t start_ns, uint64_t k)
{
    if (load->rate)
        return start_ns + (uint64_t)((double)k * 1e9 / (double)load->rate);
    return k % SAMPLE_EVENTS == 0 || k + 1 == load->events ? peer_now_ns () : 0;
}

uint64_t peer_await_turn (const peer_load_t *load, uint64_t due_ns)
{
    uint64_t now_ns;
    return load->rate && bn_clock_sleep_until (due_ns, &now_ns) ? now_ns : due_ns;
}

void peer_fill (const peer_load_t *load, char *event, uint64_t from_ns)
{
    memcpy (event, &from_ns, sizeof from_ns);
    memset (event + sizeof from_ns, 'x', load->size - sizeof from_ns);
}

bool peer_handle (peer_load_t *load, const void *event, uint64_t size)
{
    uint64_t from_ns;
    if (size != load->size)
        return peer_failed ("an event of %" PRIu64 " bytes", size);
    memcpy (&from_ns, event, sizeof from_ns);
    load->done++;
    if (!from_ns)
        return true;
    load->last_ns = peer_now_ns ();
    if (!load->first_ns)
        load->first_ns = load->last_ns;
    bn_histogram_add (&load->latency, load->last_ns > from_ns ? load->last_ns - from_ns : 0);
    return true;
}

void peer_ready (void)
{
    puts ("ready");
    fflush (stdout);
}

bool peer_failed (const char *format, ...)
{
    va_list args;
    va_start (args, format);
    fprintf (stderr, "bench_peer: ");
    vfprintf (stderr, format, args);
    fprintf (stderr, "\n");
    va_end (args);
    return false;
}

static const struct {
    const char *system, *role;
    peer_role_fn *run;
} roles[] = {
#ifdef PEER_REDIS
    {"redis", "producer", peer_redis_producer}, {"redis", "consumer", peer_redis_consumer},
#endif
#ifdef PEER_NATS
    {"nats", "producer", peer_nats_producer},   {"nats", "consumer", peer_nats_consumer},
#endif
    {"proxy", "server", peer_proxy_server},     {"proxy", "producer", peer_proxy_producer},
    {"proxy", "consumer", peer_proxy_consumer}, {"disk", "producer", peer_disk_producer},
};

static bool take (peer_load_t *load, char *argument)
{
    const struct {
        const char *name;
        uint64_t *number;
        const char **text;
    } known[] = {{"events", &load->events, NULL}, {"size", &load->size, NULL},
                 {"rate", &load->rate, NULL},     {"window", &load->window, NULL},
                 {"group", NULL, &load->group},   {"endpoint", NULL, &load->endpoint}};
    char *value = strchr (argument, '=');
    if (!value)
        return false;
    *value++ = 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char *end = value;
        if (strcmp (known[i].name, argument))
            continue;
        if (known[i].text) {
            *known[i].text = value;
            return true;
        }
        *known[i].number = strtoull (value, &end, 10);
        return *value && !*end;
    }
    return false;
}

static uint64_t us (struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

static void print_result (const peer_load_t *load)
{
    struct rusage usage;
    getrusage (RUSAGE_SELF, &usage);
    printf ("result {\"events\":%" PRIu64 ",\"first_ns\":%" PRIu64 ",\"last_ns\":%" PRIu64
            ",\"user_us\":%" PRIu64 ",\"system_us\":%" PRIu64 ",\"p50_us\":%.1f,\"p90_us\":%.1f,"
            "\"p99_us\":%.1f,\"p99.9_us\":%.1f}\n",
            load->done, load->first_ns, load->last_ns, us (usage.ru_utime), us (usage.ru_stime),
            (double)bn_histogram_at (&load->latency, 0.5) / 1e3,
            (double)bn_histogram_at (&load->latency, 0.9) / 1e3,
            (double)bn_histogram_at (&load->latency, 0.99) / 1e3,
            (double)bn_histogram_at (&load->latency, 0.999) / 1e3);
    fflush (stdout);
}

int main (int argc, char **argv)
{
    peer_load_t load = {.endpoint = "127.0.0.1:0", .group = "g", .events = 1, .size = 100};
    bn_histogram_init (&load.latency);
    if (argc == 2 && !strcmp (argv[1], "list")) {
        for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
            if (!strcmp (roles[i].role, "producer"))
                puts (roles[i].system);
        return 0;
    }
    for (int i = 3; i < argc; i++)
        if (!take (&load, argv[i]))
            return peer_failed ("%s: what is that?", argv[i]), 2;
    if (load.size < sizeof (uint64_t) || load.size > PEER_SIZE_MAX || !load.events)
        return peer_failed ("size is 8 to %u bytes, events at least 1", PEER_SIZE_MAX), 2;
    for (size_t i = 0; argc >= 3 && i < sizeof roles / sizeof *roles; i++) {
        if (strcmp (roles[i].system, argv[1]) || strcmp (roles[i].role, argv[2]))
            continue;
        prctl (PR_SET_PDEATHSIG, 15); /* nothing stays when the benchmark is interrupted */
        prctl (PR_SET_TIMERSLACK, 1); /* else a sleep ends up to 50 us after its time */
        if (!roles[i].run (&load))
            return 1;
        print_result (&load);
        return 0;
    }
    return peer_failed ("usage: bench_peer SYSTEM ROLE [NAME=VALUE]...; or: bench_peer list"), 2;
}
