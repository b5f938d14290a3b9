/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/lab_report.h"
#include <inttypes.h>
#include <string.h>

static const char *const s_phases[BN_LAB_PHASES] = {"before", "during", "after"};

static void s_print_count (FILE *out, const char *name, uint64_t count)
{
    fprintf (out, "  %-16s %" PRIu64 "\n", name, count);
}

static void s_print_latency (FILE *out, const char *name, const bn_lab_latency_t *phases)
{
    fprintf (out, "  %-16s", name);
    for (size_t i = 0; i < BN_LAB_PHASES; i++)
        if (phases[i].count)
            fprintf (out, " %10.1f /%10.1f", (double)phases[i].p50_us / 1000,
                     (double)phases[i].p99_us / 1000);
        else
            fprintf (out, " %10s /%10s", "-", "-");
    fprintf (out, "\n");
}

static void s_print_tables (const bn_lab_result_t *result, FILE *out)
{
    const bn_lab_verdict_t *verdict = &result->verdict;
    fprintf (out, "\n  %-16s %22s %22s %22s\n", "ms, p50 / p99", "before", "during", "after");
    s_print_latency (out, "receipt", verdict->receipt);
    s_print_latency (out, "last effect", verdict->done);
    fprintf (out, "\n  %-24s %12s %10s %10s %10s\n", "ACTOR", "OUTAGE", "SETTLED", "RETRIED",
             "DEAD");
    for (size_t i = 0; i < result->actor_count; i++) {
        const bn_lab_actor_t *actor = &result->actors[i];
        fprintf (out, "  %-24s %9" PRIu64 " ms %10" PRIu64 " %10" PRIu64 " %10" PRIu64 "\n",
                 actor->name, actor->outage_ms, actor->settled, actor->retried, actor->died);
    }
    fprintf (out, "\n");
}

void bn_lab_report_print (const bn_lab_result_t *result, FILE *out)
{
    const bn_lab_verdict_t *verdict = &result->verdict;
    bool first = true;
    if (!result->judged) {
        fprintf (out, "no verdict: %s\n", result->failure);
        return;
    }
    fprintf (out, "\n");
    s_print_count (out, "events", verdict->events);
    s_print_count (out, "in the journal", verdict->journal);
    s_print_count (out, "dead letters", verdict->dead_letters);
    fprintf (out, "  %-16s", "troubles");
    for (bn_lab_kind_t kind = BN_LAB_KILL; kind < BN_LAB_KIND_COUNT; kind++)
        if (result->troubles[kind]) {
            fprintf (out, "%s %s %" PRIu64, first ? "" : ",", bn_lab_kind_text (kind),
                     result->troubles[kind]);
            first = false;
        }
    fprintf (out, "%s\n", first ? " none" : "");
    s_print_count (out, "lost", verdict->lost);
    s_print_count (out, "duplicated", verdict->duplicated);
    s_print_count (out, "out_of_order", verdict->out_of_order);
    s_print_count (out, "double_effects", verdict->double_effects);
    fprintf (out, "  %-16s %" PRIu64 " ms\n", "longest outage", result->outage_ms);
    s_print_tables (result, out);
    for (size_t i = 0; i < verdict->example_count; i++)
        fprintf (out, "  %s\n", verdict->examples[i]);
    for (size_t i = 0; i < result->missed_count; i++)
        fprintf (out, "  %s\n", result->missed[i]);
    if (result->unexpected_count)
        fprintf (out, "  %s\n", result->unexpected);
    if (bn_lab_result_ok (result))
        fprintf (out, "passed in %.1f s\n", result->seconds);
    else
        fprintf (out, "FAILED: %s\n",
                 bn_lab_verdict_ok (verdict) ? "not as expected" : "a guarantee is broken");
}

/*  ---- JSON ---- */

static json_t *s_int (uint64_t value)
{
    return json_integer ((json_int_t)value);
}

static json_t *s_latency (const bn_lab_latency_t *phases)
{
    json_t *object = json_object ();
    for (size_t i = 0; i < BN_LAB_PHASES; i++)
        json_object_set_new (object, s_phases[i],
                             json_pack ("{s:o, s:o, s:o, s:o}", "count", s_int (phases[i].count),
                                        "p50_us", s_int (phases[i].p50_us), "p99_us",
                                        s_int (phases[i].p99_us), "max_us",
                                        s_int (phases[i].max_us)));
    return object;
}

static json_t *s_actors (const bn_lab_result_t *result)
{
    json_t *actors = json_array ();
    for (size_t i = 0; i < result->actor_count; i++) {
        const bn_lab_actor_t *actor = &result->actors[i];
        json_array_append_new (
            actors, json_pack ("{s:s, s:o, s:o, s:o, s:o}", "name", actor->name, "outage_ms",
                               s_int (actor->outage_ms), "settled", s_int (actor->settled),
                               "retried", s_int (actor->retried), "died", s_int (actor->died)));
    }
    return actors;
}

/*  What is wrong, in words.  */
static json_t *s_findings (const bn_lab_result_t *result)
{
    json_t *findings = json_array ();
    for (size_t i = 0; i < result->verdict.example_count; i++)
        json_array_append_new (findings, json_string (result->verdict.examples[i]));
    for (size_t i = 0; i < result->missed_count; i++)
        json_array_append_new (findings, json_string (result->missed[i]));
    if (result->unexpected_count)
        json_array_append_new (findings, json_string (result->unexpected));
    if (!result->judged)
        json_array_append_new (findings, json_string (result->failure));
    return findings;
}

json_t *bn_lab_report_json (const char *drill, const bn_lab_result_t *result)
{
    const bn_lab_verdict_t *verdict = &result->verdict;
    char seed[32];
    json_t *troubles = json_object ();
    json_t *object = json_object ();
    snprintf (seed, sizeof (seed), "%" PRIu64, result->seed);
    for (bn_lab_kind_t kind = BN_LAB_KILL; kind < BN_LAB_KIND_COUNT; kind++)
        if (result->troubles[kind])
            json_object_set_new (troubles, bn_lab_kind_text (kind), s_int (result->troubles[kind]));
    json_object_set_new (object, "drill", json_string (drill));
    json_object_set_new (object, "seed", json_string (seed));
    json_object_set_new (object, "passed", json_boolean (bn_lab_result_ok (result)));
    json_object_set_new (object, "judged", json_boolean (result->judged));
    json_object_set_new (object, "events", s_int (verdict->events));
    json_object_set_new (object, "unreceipted", s_int (verdict->unreceipted));
    json_object_set_new (object, "journal", s_int (verdict->journal));
    json_object_set_new (object, "dead_letters", s_int (verdict->dead_letters));
    json_object_set_new (object, "troubles", troubles);
    json_object_set_new (object, "lost", s_int (verdict->lost));
    json_object_set_new (object, "duplicated", s_int (verdict->duplicated));
    json_object_set_new (object, "out_of_order", s_int (verdict->out_of_order));
    json_object_set_new (object, "double_effects", s_int (verdict->double_effects));
    json_object_set_new (object, "outage_ms", s_int (result->outage_ms));
    json_object_set_new (object, "actors", s_actors (result));
    json_object_set_new (object, "receipt", s_latency (verdict->receipt));
    json_object_set_new (object, "last_effect", s_latency (verdict->done));
    json_object_set_new (object, "seconds", json_real (result->seconds));
    json_object_set_new (object, "findings", s_findings (result));
    return object;
}
