/* SPDX-License-Identifier: MPL-2.0 */

/*  simulate.c - baton-simulate: runs seeds, and says what it found.  */
#include "simulation/planted.h"
#include "simulation/sim.h"
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    uint64_t from;
    uint64_t seeds;
    bool verbose;
    bool json;
    bool keep_going;
    bool hashes;
    const char *program;
    const char *planted;
} options_t;

static sigjmp_buf s_fell;
static volatile sig_atomic_t s_falling;

/*  A failed assertion of the product is a finding like any other.  */
static void fell (int number)
{
    if (s_falling)
        _Exit (128 + number);
    s_falling = 1;
    siglongjmp (s_fell, number);
}

typedef struct {
    bool failed;
    char failure[512];
    uint64_t trace;
    sim_stats_t stats;
} outcome_t;

static void print_story (const sim_t *sim)
{
    uint64_t first = sim->story_count > SIM_STORY_LINES ? sim->story_count - SIM_STORY_LINES : 0;
    for (uint64_t i = first; i < sim->story_count; i++)
        printf ("  %s\n", sim->story[i % SIM_STORY_LINES]);
}

static void run_seed (uint64_t seed, bool tell, bool verbose, outcome_t *outcome)
{
    sim_t *volatile sim = sim_new (seed, tell, verbose);
    int number = sigsetjmp (s_fell, 1);
    if (number == 0)
        sim_run (sim);
    else
        sim_fail (sim, "an assertion failed or the process was hit by signal %d", number);
    s_falling = 0;
    *outcome = (outcome_t){.failed = sim->failed, .trace = sim->trace, .stats = sim->stats};
    memcpy (outcome->failure, sim->failure, sizeof outcome->failure);
    if (tell && !verbose)
        print_story (sim);
    sim_t *over = sim;
    if (number == 0) /* after a fall nothing in it can be relied on: it is left */
        sim_destroy (&over);
}

static void add_stats (sim_stats_t *all, const sim_stats_t *one)
{
    uint64_t *to = (uint64_t *)all;
    const uint64_t *from = (const uint64_t *)one;
    for (size_t i = 0; i < sizeof *all / sizeof *to; i++)
        to[i] += from[i];
}

static void print_json (const options_t *options, const sim_stats_t *stats, uint64_t seeds,
                        uint64_t failures, uint64_t trace)
{
    printf ("{\"seeds\":%" PRIu64 ",\"from\":%" PRIu64 ",\"failures\":%" PRIu64
            ",\"steps\":%" PRIu64 ",\"events\":%" PRIu64 ",\"emitted\":%" PRIu64
            ",\"handled\":%" PRIu64 ",\"settles\":%" PRIu64 ",\"records\":%" PRIu64
            ",\"crashes\":%" PRIu64 ",\"recoveries\":%" PRIu64 ",\"torn_tails\":%" PRIu64
            ",\"records_lost\":%" PRIu64 ",\"read\":%" PRIu64 ",\"answers\":%" PRIu64
            ",\"starved\":%" PRIu64 ",\"rot_cases\":%" PRIu64 ",\"fanout_drops\":%" PRIu64
            ",\"virtual_seconds\":%" PRIu64 ",\"trace\":\"%016" PRIx64 "\",\"faults\":{",
            seeds, options->from, failures, stats->steps, stats->events, stats->emitted,
            stats->calls, stats->settles, stats->records, stats->crashes, stats->recoveries,
            stats->torn, stats->lost, stats->read, stats->answers, stats->starved, stats->rot_cases,
            stats->fanout_drops, stats->virtual_us / 1000000, trace);
    for (int fault = 0; fault < FAULT_COUNT; fault++)
        printf ("%s\"%s\":%" PRIu64, fault ? "," : "", sim_fault_name ((sim_fault_t)fault),
                stats->faults[fault]);
    printf ("}}\n");
}

static void print_text (const sim_stats_t *stats, uint64_t seeds, uint64_t failures, uint64_t trace)
{
    printf ("%" PRIu64 " seeds, %" PRIu64 " failures; %" PRIu64 " steps, %" PRIu64
            " events published, %" PRIu64 " emitted, %" PRIu64 " handled, %" PRIu64
            " settles, %" PRIu64 " virtual seconds\n",
            seeds, failures, stats->steps, stats->events, stats->emitted, stats->calls,
            stats->settles, stats->virtual_us / 1000000);
    printf ("%" PRIu64 " crashes, %" PRIu64 " recoveries, %" PRIu64 " torn tails, %" PRIu64
            " rot cases, %" PRIu64 " fan-out messages dropped\nfaults:",
            stats->crashes, stats->recoveries, stats->torn, stats->rot_cases, stats->fanout_drops);
    for (int fault = 0; fault < FAULT_COUNT; fault++)
        printf (" %s %" PRIu64, sim_fault_name ((sim_fault_t)fault), stats->faults[fault]);
    printf ("\ntrace %016" PRIx64 "\n", trace);
}

static int run_all (const options_t *options)
{
    sim_stats_t all = {.steps = 0};
    uint64_t failures = 0, seeds = 0, trace = 0;
    for (uint64_t i = 0; i < options->seeds; i++) {
        uint64_t seed = options->from + i;
        outcome_t outcome;
        run_seed (seed, options->verbose, options->verbose, &outcome);
        seeds++;
        add_stats (&all, &outcome.stats);
        trace = (trace ^ outcome.trace) * UINT64_C (0x9e3779b97f4a7c15);
        if (options->hashes)
            printf ("%" PRIu64 " %016" PRIx64 "\n", seed, outcome.trace);
        if (!outcome.failed)
            continue;
        failures++;
        fprintf (stderr, "seed %" PRIu64 ": %s\n", seed, outcome.failure);
        fprintf (stderr, "  replay: %s --seed %" PRIu64 " --verbose\n", options->program, seed);
        if (!options->keep_going) {
            if (!options->verbose && !options->json)
                run_seed (seed, true, false, &outcome);
            break;
        }
    }
    if (options->json)
        print_json (options, &all, seeds, failures, trace);
    else
        print_text (&all, seeds, failures, trace);
    return failures ? 1 : 0;
}

#ifdef BN_PLANTED
#define PLANTED_SEEDS 2000

/*  How many seeds it takes to find each planted bug.  */
static int find_planted (const options_t *options)
{
    unsigned missed = 0, sought = 0;
    if (options->json)
        fputs ("{", stdout);
    else
        printf ("| planted | seeds | found as |\n| --- | --- | --- |\n");
    for (int plant = BN_PLANT_NONE + 1; plant < BN_PLANT_COUNT; plant++) {
        const char *name = sim_plant_name ((bn_plant_t)plant);
        if (strcmp (options->planted, "all") != 0 && strcmp (options->planted, name) != 0)
            continue;
        bn_planted = (bn_plant_t)plant;
        outcome_t outcome = {.failed = false};
        uint64_t seeds = 0;
        while (!outcome.failed && seeds < PLANTED_SEEDS) {
            run_seed (options->from + seeds, false, false, &outcome);
            bn_planted = BN_PLANT_NONE; /* a seed that fails anyway finds nothing */
            outcome_t sound = {.failed = false};
            if (outcome.failed)
                run_seed (options->from + seeds, false, false, &sound);
            outcome.failed = outcome.failed && !sound.failed;
            bn_planted = (bn_plant_t)plant;
            seeds++;
        }
        if (options->json)
            printf ("%s\"%s\":%" PRId64, sought ? "," : "", name,
                    outcome.failed ? (int64_t)seeds : -1);
        else if (outcome.failed)
            printf ("| %s | %" PRIu64 " | %.100s |\n", sim_plant_text ((bn_plant_t)plant), seeds,
                    outcome.failure);
        else
            printf ("| %s (%s) | NOT FOUND | |\n", sim_plant_text ((bn_plant_t)plant), name);
        fflush (stdout);
        sought++;
        missed += !outcome.failed;
    }
    if (options->json)
        puts ("}");
    if (sought == 0)
        fprintf (stderr, "nothing of that name is planted\n");
    return missed || !sought ? 1 : 0;
}
#endif

static int usage (const char *program)
{
    fprintf (stderr,
             "usage: %s [--seeds N] [--from S] [--seed S] [--verbose] [--json]\n"
             "          [--keep-going] [--hashes]\n",
             program);
    return 2;
}

int main (int argc, char **argv)
{
    options_t options = {.from = 1, .seeds = 100, .program = argv[0]};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp (argv[i], "--verbose") == 0)
            options.verbose = true;
        else if (strcmp (argv[i], "--json") == 0)
            options.json = true;
        else if (strcmp (argv[i], "--keep-going") == 0)
            options.keep_going = true;
        else if (strcmp (argv[i], "--hashes") == 0)
            options.hashes = true;
        else if (value && strcmp (argv[i], "--seeds") == 0)
            options.seeds = strtoull (argv[++i], NULL, 10);
        else if (value && strcmp (argv[i], "--planted") == 0)
            options.planted = argv[++i];
        else if (value && strcmp (argv[i], "--from") == 0)
            options.from = strtoull (argv[++i], NULL, 10);
        else if (value && strcmp (argv[i], "--seed") == 0) {
            options.from = strtoull (argv[++i], NULL, 10);
            options.seeds = 1;
        } else
            return usage (argv[0]);
    }
    signal (SIGABRT, fell);
    signal (SIGSEGV, fell);
#ifdef BN_PLANTED
    if (options.planted)
        return find_planted (&options);
#endif
    return options.planted ? usage (argv[0]) : run_all (&options);
}
