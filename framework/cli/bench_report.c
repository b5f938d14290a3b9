/* SPDX-License-Identifier: MPL-2.0 */

/*  bench_report.c - what a benchmark has measured, for people and for programs.  */

#include "cli/bench.h"
#include "cli/json.h"
#include <baton/version.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static double s_seconds (uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? (double)(to_ns - from_ns) / 1e9 : 1e-9;
}

static void s_machine (char *text, size_t size)
{
    struct utsname uname_info;
    char line[256], model[128] = "unknown processor";
    FILE *file = fopen ("/proc/cpuinfo", "re");
    while (file && fgets (line, sizeof (line), file)) {
        char *colon = strchr (line, ':');
        if (colon && !strncmp (line, "model name", 10)) {
            snprintf (model, sizeof (model), "%.*s", (int)strcspn (colon + 2, "\n"), colon + 2);
            break;
        }
    }
    if (file)
        fclose (file);
    uname (&uname_info);
    snprintf (text, size, "%ld x %s, %s %s", sysconf (_SC_NPROCESSORS_ONLN), model,
              uname_info.sysname, uname_info.release);
}

static const struct {
    const char *name;
    double share;
} s_shares[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}};

static void s_print_latency (const char *name, const bn_histogram_t *latency)
{
    printf ("  %-10s", name);
    for (size_t i = 0; i < 4; i++)
        printf ("  %s %9.3f", s_shares[i].name,
                (double)bn_histogram_at (latency, s_shares[i].share) / 1e6);
    printf ("  max %9.3f\n", (double)latency->max / 1e6);
}

static const char *const s_roles[] = {"orchestrator", "actors", "producers"};

static double s_us_per_event (const bn_bench_t *bench, const bn_bench_usage_t *usage)
{
    return (double)(usage->user_us + usage->system_us) / (double)bench->events;
}

static void s_print_usage (const bn_bench_t *bench, const bn_bench_totals_t *totals)
{
    double sum = 0;
    printf ("processor microseconds per event, and MiB resident at most\n");
    for (int role = 0; role < 3; role++) {
        const bn_bench_usage_t *usage = &totals->usage[role];
        if (usage->memory_kib == 0)
            continue;
        sum += s_us_per_event (bench, usage);
        printf ("  %-12s  %8.3f  (user %.3f, system %.3f)  %6.1f MiB\n", s_roles[role],
                s_us_per_event (bench, usage), (double)usage->user_us / (double)bench->events,
                (double)usage->system_us / (double)bench->events, (double)usage->memory_kib / 1024);
    }
    printf ("  %-12s  %8.3f\n", "together", sum);
}

void bn_bench_print (const bn_bench_t *bench, const bn_bench_place_t *place,
                     const bn_bench_totals_t *totals)
{
    char machine[512];
    double publish_s = s_seconds (totals->first_ns, totals->receipt_last_ns);
    double handle_s = s_seconds (totals->first_ns, totals->handled_last_ns);
    s_machine (machine, sizeof (machine));
    printf ("machine   %s\n", machine);
    printf ("settings  %" PRIu64 " events of %" PRIu64 " bytes, %" PRIu64 " keys; %" PRIu64
            " producers, %" PRIu64 " actors x %" PRIu64 " instances; ",
            bench->events, bench->size, bench->keys, bench->producers, bench->actors,
            bench->instances);
    if (bench->stages > 1)
        printf ("%" PRIu64 " stages; ", bench->stages);
    if (bench->rate)
        printf ("%" PRIu64 " events/s; ", bench->rate);
    if (bench->connect_set)
        printf ("orchestrator at %s\n", place->endpoint);
    else
        printf ("sync %s%s, journal on %s\n", bench->sync,
                bench->keep_awake_ms ? ", processors kept awake" : "", place->filesystem);
    printf ("published %" PRIu64 " in %.3f s: %.0f events/s, %.2f MB/s\n", totals->receipts,
            publish_s, (double)totals->receipts / publish_s,
            (double)(totals->receipts * bench->size) / publish_s / 1e6);
    printf ("handled   %" PRIu64 " in %.3f s: %.0f events/s\n", totals->handled, handle_s,
            (double)totals->handled / handle_s);
    s_print_usage (bench, totals);
    printf ("latency, milliseconds%s\n",
            bench->rate ? "" : " (of a full queue: no --rate was given)");
    s_print_latency ("receipt", &totals->receipt);
    s_print_latency ("delivery", &totals->delivery);
    if (bench->rate)
        s_print_latency ("timer", &totals->late);
}

static json_t *s_usage_json (const bn_bench_t *bench, const bn_bench_totals_t *totals)
{
    json_t *object = json_object ();
    for (int role = 0; role < 3; role++) {
        const bn_bench_usage_t *usage = &totals->usage[role];
        if (usage->memory_kib > 0)
            json_object_set_new (object, s_roles[role],
                                 json_pack ("{s:f, s:I, s:I, s:I}", "us_per_event",
                                            s_us_per_event (bench, usage), "user_us",
                                            (json_int_t)usage->user_us, "system_us",
                                            (json_int_t)usage->system_us, "memory_kib",
                                            (json_int_t)usage->memory_kib));
    }
    return object;
}

static json_t *s_latency_json (const bn_histogram_t *latency)
{
    json_t *object = json_object ();
    json_object_set_new (object, "min_us",
                         json_real (latency->count ? (double)latency->min / 1e3 : 0));
    json_object_set_new (
        object, "mean_us",
        json_real (latency->count ? latency->sum / (double)latency->count / 1e3 : 0));
    for (size_t i = 0; i < 4; i++) {
        char name[16];
        snprintf (name, sizeof (name), "%s_us", s_shares[i].name);
        json_object_set_new (
            object, name, json_real ((double)bn_histogram_at (latency, s_shares[i].share) / 1e3));
    }
    json_object_set_new (object, "max_us", json_real ((double)latency->max / 1e3));
    return object;
}

void bn_bench_print_json (const bn_bench_t *bench, const bn_bench_place_t *place,
                          const bn_bench_totals_t *totals)
{
    char machine[512];
    double publish_s = s_seconds (totals->first_ns, totals->receipt_last_ns);
    double handle_s = s_seconds (totals->first_ns, totals->handled_last_ns);
    s_machine (machine, sizeof (machine));
    json_t *object = json_pack (
        "{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:I, s:f, s:f, s:I, s:f, s:f}",
        "version", BATON_VERSION_TEXT, "machine", machine, "events", (json_int_t)bench->events,
        "size", (json_int_t)bench->size, "keys", (json_int_t)bench->keys, "producers",
        (json_int_t)bench->producers, "actors", (json_int_t)bench->actors, "instances",
        (json_int_t)bench->instances, "rate", (json_int_t)bench->rate, "sync",
        bench->connect_set ? "unknown" : bench->sync, "filesystem",
        bench->connect_set ? "unknown" : place->filesystem, "receipts",
        (json_int_t)totals->receipts, "publish_seconds", publish_s, "published_per_second",
        (double)totals->receipts / publish_s, "handled", (json_int_t)totals->handled,
        "handle_seconds", handle_s, "handled_per_second", (double)totals->handled / handle_s);
    json_object_set_new (object, "stages", json_integer ((json_int_t)bench->stages));
    json_object_set_new (object, "keep_awake_ms", json_integer ((json_int_t)bench->keep_awake_ms));
    json_object_set_new (object, "usage", s_usage_json (bench, totals));
    json_object_set_new (object, "receipt_latency", s_latency_json (&totals->receipt));
    json_object_set_new (object, "delivery_latency", s_latency_json (&totals->delivery));
    if (bench->rate)
        json_object_set_new (object, "timer_late", s_latency_json (&totals->late));
    char *text = object ? json_dumps (object, JSON_COMPACT | JSON_REAL_PRECISION (9)) : NULL;
    if (text)
        puts (text);
    free (text);
    json_decref (object);
}
