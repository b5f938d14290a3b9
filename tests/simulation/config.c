/* SPDX-License-Identifier: MPL-2.0 */

/*  config.c - the seed chooses the system as well as its fate. Each kind of fault is on in half of
 *  the seeds (swarm testing: what hides behind one fault shows without it).  */
#include "simulation/sim.h"
#include <stdio.h>
#include <string.h>

static const char *const s_fault_names[FAULT_COUNT] = {
    "power",      "kill",  "disk-cut", "disk-error", "disk-full", "disk-slow", "rot",
    "disconnect", "split", "fanout",   "crash",      "poison",    "hang",      "pause",
    "replace",    "stop",  "replay",   "clock",      "deploy",    "forget",    "memory"};

const char *sim_fault_name (sim_fault_t fault)
{
    return s_fault_names[fault];
}

static uint64_t between (bn_prng_t *prng, uint64_t least, uint64_t most)
{
    return least + bn_prng_below (prng, most - least + 1);
}

static bool half (bn_prng_t *prng)
{
    return bn_prng_below (prng, 2) == 0;
}

/*  One of three sizes: small ones find more, large ones find other things.  */
static uint64_t scale (bn_prng_t *prng, uint64_t small, uint64_t middle, uint64_t large)
{
    uint64_t pick = bn_prng_below (prng, 10);
    return pick < 4 ? small : pick < 8 ? middle : large;
}

static void make_actors (sim_config_t *config, bn_prng_t *prng)
{
    static const struct {
        const char *name;
        const char *patterns[SIM_REVISIONS][SIM_PATTERNS];
    } kinds[] = {
        {"audit", {{">"}, {"shop.*"}, {"shop.a", "other.x"}, {">"}}},
        {"bill", {{"shop.*"}, {"shop.a"}, {"shop.b", "other.*"}, {"shop.*", "other.*"}}},
        {"count",
         {{"shop.a", "made.>"}, {"shop.a"}, {"shop.b", "made.audit"}, {"shop.*", "made.>"}}},
        {"deal",
         {{"shop.b", "made.audit", "made.bill.*"},
          {"made.audit", "shop.b"},
          {"shop.c"},
          {"shop.*", "made.>"}}},
        {"bury",
         {{"$dead.bill", "shop.c"},
          {"$dead.bill"},
          {"shop.c", "shop.a"},
          {"$dead.bill", "shop.*"}}}};
    static const char *const emits[] = {"made.audit", "made.bill.x", "made.count", "shop.b"};
    uint32_t first = (uint32_t)bn_prng_below (prng, 5);
    config->actor_count = (uint32_t)scale (prng, 1, 2, 3);
    for (uint32_t i = 0; i < config->actor_count; i++) {
        sim_actor_config_t *actor = &config->actors[i];
        uint32_t kind = (first + i) % 5;
        actor->name = kinds[kind].name;
        memcpy (actor->patterns, kinds[kind].patterns, sizeof actor->patterns);
        actor->names = (uint32_t)between (prng, 1, 3);
        uint32_t min_ms = (uint32_t)scale (prng, 20, 100, 400);
        actor->policy =
            (bn_policy_t){.max_attempts = (uint32_t)between (prng, 2, 5),
                          .backoff_min_ms = min_ms,
                          .backoff_max_ms = min_ms * (uint32_t)between (prng, 1, 4),
                          .handler_deadline_ms = (uint32_t)scale (prng, 200, 600, 1500)};
        actor->emit_pct = (uint32_t)scale (prng, 0, 30, 60);
        actor->emit_topic = emits[bn_prng_below (prng, 4)];
        static const uint32_t starts[] = {BATON_START_TAIL,      BATON_START_TAIL,
                                          BATON_START_BEGINNING, BATON_START_BEGINNING,
                                          BATON_START_OFFSET,    BATON_START_TIME};
        actor->start_kind = starts[bn_prng_below (prng, 6)];
        actor->start_value = actor->start_kind == BATON_START_TIME
                                 ? SIM_EPOCH_US + bn_prng_below (prng, 4000000)
                                 : bn_prng_below (prng, 100);
    }
}

static void make_storage (sim_config_t *config, bn_prng_t *prng)
{
    bool volatile_sync = bn_prng_below (prng, 5) == 0;
    config->sync = !volatile_sync ? BN_SYNC_ALWAYS : half (prng) ? BN_SYNC_INTERVAL : BN_SYNC_NEVER;
    config->sync_interval_ms = 50;
    config->segment_bytes = scale (prng, 8192, 16384, 65536);
    config->checkpoint_bytes = half (prng) ? 0 : scale (prng, 1000, 8000, 40000);
    config->retention_bytes = config->checkpoint_bytes && half (prng) ? config->segment_bytes : 0;
    config->sync_us = (uint32_t)scale (prng, 200, 2000, 10000);
}

static void make_load (sim_config_t *config, bn_prng_t *prng)
{
    config->producer_count = (uint32_t)between (prng, 1, SIM_PRODUCERS_MAX);
    config->topics = (uint32_t)between (prng, 1, 4);
    config->keys = (uint32_t)scale (prng, 2, 6, 20);
    config->keyless_pct = (uint32_t)scale (prng, 0, 10, 50);
    config->groups = (uint32_t)scale (prng, 8, 20, 40);
    config->group_events_max = (uint32_t)between (prng, 1, 5);
    config->padding_max = (uint32_t)scale (prng, 0, 100, 900);
    config->retry_pct = (uint32_t)scale (prng, 0, 8, 25);
    config->reject_pct = (uint32_t)scale (prng, 0, 2, 8);
    config->poison_pct = config->faults[FAULT_POISON] ? 4 : 0;
    config->handle_us = (uint32_t)scale (prng, 100, 3000, 20000);
    config->delay_us = (uint32_t)scale (prng, 100, 1000, 8000);
    config->safety_us = scale (prng, 2000000, 5000000, 10000000);
    config->produce_gap_us = (uint32_t)(config->safety_us / config->groups);
    config->fault_gap_us = (uint32_t)(config->safety_us / between (prng, 4, 24));
    config->fanout_hwm = (uint32_t)scale (prng, 2, 10, 1000);
    config->fanout_drop_pct = config->faults[FAULT_FANOUT] ? (uint32_t)between (prng, 1, 30) : 0;
    config->prefetch_bytes = (uint32_t)scale (prng, 400, 4000, 65536);
    config->settle_bytes = (uint32_t)scale (prng, 600, 4000, 65536);
    config->run_events = (uint32_t)scale (prng, 1, 4, 16);
    config->jitter_pct = (uint32_t)scale (prng, 0, 20, 100);
    config->misled = between (prng, 1, 4) == 1;
    config->request_bytes = (uint32_t)scale (prng, 1500, 6000, 60000);
}

void sim_config_make (sim_config_t *config, uint64_t seed)
{
    bn_prng_t prng;
    bn_prng_init (&prng, seed ^ UINT64_C (0x5eed));
    *config = (sim_config_t){.partitions = (uint32_t)scale (&prng, 1, 3, SIM_PARTITIONS_MAX)};
    for (int i = 0; i < FAULT_COUNT; i++)
        config->faults[i] = half (&prng);
    make_actors (config, &prng);
    make_load (config, &prng);
    make_storage (config, &prng);
    uint32_t heartbeat = (uint32_t)scale (&prng, 100, 250, 500);
    config->conductor = (bn_conductor_options_t){
        .message_bytes_max = 256 * 1024,
        .data_bytes_max = 64 * 1024,
        .topics_max = 64,
        .actors_max = 16,
        .sessions_max = 1000,
        .parked_max = (uint32_t)scale (&prng, 4, 20, 1000),
        .dead_max = (uint32_t)scale (&prng, 4, 20, 1000),
        .heartbeat_ms = heartbeat,
        .session_timeout_ms = heartbeat * 4,
        .reconnect_grace_ms = (uint32_t)scale (&prng, 0, heartbeat, heartbeat * 3),
        .bundle_section_bytes = seed % 4 ? 4096 : 0,
        .fanout_endpoint = "tcp://127.0.0.1:1"};
}
