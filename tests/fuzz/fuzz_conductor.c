/* SPDX-License-Identifier: MPL-2.0 */

/*  fuzz_conductor.c - peers that say anything in any order. An input is a list of steps: route and
 *  kind (a byte), number of frames (a byte), for each a size (two bytes) and its bytes. Oracles: no
 *  step makes more answers than it ended requests; the state keeps its invariants.  */
#include "core/conductor.h"
#include "fuzz.h"
#include <string.h>

enum { ROUTES = 4, FRAMES_MAX = 6, STEPS_MAX = 64 };

typedef struct {
    const uint8_t *at;
    size_t left;
    bn_time_t now;
    bn_effects_t effects;
} world_t;

static uint8_t take (world_t *self)
{
    if (self->left == 0)
        return 0;
    self->left--;
    return *self->at++;
}

static uint32_t take_frames (world_t *self, bn_frame_t frames[FRAMES_MAX])
{
    uint32_t count = take (self) % (FRAMES_MAX + 1);
    for (uint32_t i = 0; i < count; i++) {
        size_t size = take (self);
        size = size << 8 | take (self);
        if (size > self->left)
            size = self->left;
        frames[i] = (bn_frame_t){self->at, size};
        self->at += size;
        self->left -= size;
    }
    return count;
}

static uint32_t answers (const world_t *self, uint64_t route)
{
    uint32_t count = 0;
    for (size_t i = 0; i < self->effects.count; i++) {
        const bn_effect_t *effect = &self->effects.items[i];
        if (effect->route != route)
            continue;
        if (effect->kind == BN_EFFECT_READ)
            count++;
        else if (effect->kind == BN_EFFECT_SEND) {
            bn_message_t message;
            char what[256];
            bn_frame_t frame = {effect->head->data, effect->head->size};
            FUZZ_CHECK (!bn_message_decode (&message, &frame, 1, what));
            count += message.type != BN_BEAT || message.request != 0;
            bn_message_fini (&message);
        }
    }
    return count;
}

static void step (world_t *self, bn_conductor_t *conductor)
{
    bn_frame_t frames[FRAMES_MAX];
    uint8_t what = take (self);
    uint64_t route = 1 + what % ROUTES;
    bn_conductor_event_t event = {.kind = BN_CONDUCTOR_MESSAGE,
                                  .now = self->now,
                                  .random = 7,
                                  .route = route,
                                  .frames = frames,
                                  .disk_full = what >= 250};
    if (what / ROUTES % 16 == 14)
        event.kind = BN_CONDUCTOR_GONE;
    else if (what / ROUTES % 16 == 15)
        event.kind = BN_CONDUCTOR_TICK;
    else
        event.frame_count = take_frames (self, frames);
    bn_conductor_step (conductor, &event, &self->effects);
    FUZZ_CHECK (!self->effects.failed);
    /*  A FETCH that waits is answered when the next one ends it: two at most.  */
    if (event.kind == BN_CONDUCTOR_MESSAGE)
        FUZZ_CHECK (answers (self, route) <= 2);
    bn_effects_clear (&self->effects);
    self->now.mono_ms += what * 16;
    self->now.wall_us += what * 16000;
}

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t size)
{
    const bn_conductor_options_t options = {.message_bytes_max = 1 << 20,
                                            .data_bytes_max = 1 << 16,
                                            .topics_max = 8,
                                            .actors_max = 4,
                                            .sessions_max = ROUTES,
                                            .parked_max = 4,
                                            .dead_max = 4,
                                            .heartbeat_ms = 1000,
                                            .session_timeout_ms = 6000,
                                            .reconnect_grace_ms = 2000,
                                            .fanout_endpoint = "tcp://127.0.0.1:7712"};
    world_t world = {.at = bytes, .left = size, .now = {.mono_ms = 1000, .wall_us = 1000000}};
    bn_state_t *state = bn_state_new (4);
    bn_conductor_t *conductor = bn_conductor_new (&options, &state);
    char what[256];
    FUZZ_CHECK (conductor);
    bn_effects_init (&world.effects);
    bn_conductor_step (
        conductor,
        &(bn_conductor_event_t){
            .kind = BN_CONDUCTOR_START, .now = world.now, .random = 4711, .partitions = 8},
        &world.effects);
    bn_effects_clear (&world.effects);
    for (int i = 0; i < STEPS_MAX && world.left > 0; i++)
        step (&world, conductor);
    FUZZ_CHECK (bn_state_check (bn_conductor_state (conductor), what));
    bn_effects_fini (&world.effects);
    bn_conductor_destroy (&conductor);
    return 0;
}
