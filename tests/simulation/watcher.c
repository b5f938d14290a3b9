/* SPDX-License-Identifier: MPL-2.0 */

/*  watcher.c - somebody who reads along: READ with a wait, from the beginning, over every
 *  reconnect. Each event that its patterns match must come once, in order, as the journal has it,
 *  and not before it is durable; retention may take a beginning away, a power cut an end.  */
#include "simulation/sim.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LOOK_US   400000
#define ANSWER_US 40000000 /* without faults every READ is answered by then */

static const char *const s_patterns[] = {NULL, ">", "shop.*", "$dead.*", "made.>"};

static uint32_t watcher_peer (void)
{
    return SIM_PEERS_MAX - 1;
}

static void ask (sim_t *sim, bn_message_t *message)
{
    sim->watcher.request = message->request = ++sim->watcher.request_last;
    sim->watcher.asked_us = sim->now_us;
    bn_blob_t *head = sim_must (bn_message_encode (message));
    sim_to_server (sim, watcher_peer (), head, NULL, 0);
    bn_blob_unref (&head);
}

static void read_on (sim_t *sim)
{
    sim_watcher_t *watcher = &sim->watcher;
    bn_text_t pattern = {.text = watcher->pattern};
    if (pattern.text)
        pattern.size = strlen (pattern.text);
    ask (sim, &(bn_message_t){.type = BN_READ,
                              .read = {.wait_ms = (uint32_t)sim_below (sim, 1500),
                                       .bytes_max = 100 + (uint32_t)sim_below (sim, 5000),
                                       .from_kind = BN_FROM_OFFSET,
                                       .from = watcher->next,
                                       .patterns = &pattern,
                                       .pattern_count = watcher->pattern ? 1 : 0}});
}

void sim_watcher_link (sim_t *sim, bool up)
{
    sim->watcher.ready = false;
    sim->watcher.request = 0;
    if (up)
        ask (sim, &(bn_message_t){
                      .type = BN_HELLO,
                      .hello = {.role = BN_ROLE_ADMIN, .name = {"watcher", 7}, .incarnation = 2}});
}

/*  Nothing that it asked for lies between.  */
static bool nothing_skipped (sim_t *sim, uint64_t from, uint64_t to)
{
    const sim_watcher_t *watcher = &sim->watcher;
    for (uint64_t o = from; o < to; o++)
        if (!watcher->pattern || sim_model_matches (watcher->pattern, sim->model->log[o].topic))
            return sim_fail (sim, "G2: READ from %" PRIu64 " leaves out %" PRIu64 " (%s)",
                             watcher->next, o, sim->model->log[o].topic);
    return true;
}

/*  One section; *at is the offset that comes next.  */
static bool take_section (sim_t *sim, const bn_section_t *section, const bn_frame_t *frame,
                          uint64_t *at)
{
    const sim_model_t *model = sim->model;
    bn_batch_reader_t reader;
    bn_event_fields_t event;
    sim_log_t log;
    if (section->base + section->count > model->durable_tail)
        return sim_fail (sim, "G1: READ is sent %" PRIu64 " before it is on disk", section->base);
    if (bn_batch_reader_init (&reader, frame->data, frame->size, section->count))
        return sim_fail (sim, "READ is sent a section that cannot be read");
    for (uint64_t o = section->base; o < section->base + section->count; o++) {
        if (!bn_batch_next (&reader, &event))
            return sim_fail (sim, "READ is sent a section that cannot be read");
        sim_model_describe (&event, &section->topic, section->partition, &log);
        if (log.hash != model->log[o].hash || log.partition != model->log[o].partition)
            return sim_fail (sim, "G1: READ is sent %" PRIu64 " as what the journal does not say",
                             o);
        if (o < *at)
            continue; /* a section is sent whole */
        if (!nothing_skipped (sim, *at, o))
            return false;
        if (sim->watcher.pattern && !sim_model_matches (sim->watcher.pattern, log.topic))
            return sim_fail (sim, "READ is sent %s, which it did not ask for", log.topic);
        *at = o + 1;
        sim->stats.read++;
    }
    return true;
}

static void take_events (sim_t *sim, const bn_events_t *events, const bn_frame_t *frames)
{
    sim_watcher_t *watcher = &sim->watcher;
    uint64_t at = events->from;
    if (at < watcher->next || (at > watcher->next && at > sim->server.first_base))
        sim_fail (sim, "G2: READ from %" PRIu64 " begins at %" PRIu64, watcher->next, at);
    if (events->scanned_to > sim->model->durable_tail || events->scanned_to < at)
        sim_fail (sim, "G1: READ from %" PRIu64 " has seen all up to %" PRIu64, at,
                  events->scanned_to);
    for (uint32_t i = 0; i < events->section_count && !sim->failed; i++) {
        const bn_section_t *section = &events->sections[i];
        if (section->base + section->count <= at)
            sim_fail (sim, "G3: READ is sent %" PRIu64 " again", section->base);
        else
            take_section (sim, section, &frames[i + 1], &at);
    }
    if (!sim->failed && nothing_skipped (sim, at, events->scanned_to))
        watcher->next = events->scanned_to > at ? events->scanned_to : at;
}

void sim_watcher_message (sim_t *sim, const bn_frame_t *frames, size_t count)
{
    sim_watcher_t *watcher = &sim->watcher;
    bn_message_t message;
    char what[256];
    if (bn_message_decode (&message, frames, count, what)) {
        sim_fail (sim, "the reader is sent what cannot be read: %s", what);
        return;
    }
    if (message.request == watcher->request) {
        watcher->request = 0;
        if (message.type == BN_WELCOME)
            watcher->ready = true;
        else if (message.type == BN_EVENTS)
            take_events (sim, &message.events, frames);
        else if (message.type == BN_ERROR)
            sim_say (sim, "reader: refused: %.*s", (int)message.error.text.size,
                     message.error.text.text);
        bool disk = sim->config.faults[FAULT_DISK_ERROR] || sim->config.faults[FAULT_DISK_CUT];
        if (message.type == BN_ERROR && !disk && message.error.code != BATON_ERR_MEMORY)
            sim_fail (sim, "READ from %" PRIu64 " is refused: %.*s", watcher->next,
                      (int)message.error.text.size, message.error.text.text);
        if (message.type != BN_ERROR && !sim->failed)
            read_on (sim);
    }
    bn_message_fini (&message);
}

void sim_watcher_look (sim_t *sim)
{
    sim_watcher_t *watcher = &sim->watcher;
    sim_push (sim, sim->now_us + sim_about (sim, LOOK_US), EVENT_WATCHER, 0, 0, 0);
    if (watcher->ready && watcher->request == 0)
        read_on (sim);
    else if (watcher->ready && sim->liveness && sim->now_us > watcher->asked_us + ANSWER_US)
        sim_fail (sim, "READ from %" PRIu64 " is not answered", watcher->next);
}

void sim_watcher_lost (sim_t *sim, uint64_t tail)
{
    if (sim->watcher.next > tail)
        sim->watcher.next = tail;
}

void sim_watcher_init (sim_t *sim)
{
    sim->watcher.pattern = s_patterns[sim_below (sim, sizeof s_patterns / sizeof *s_patterns)];
    sim_peer_init (sim, watcher_peer (), PEER_WATCHER, 0);
    sim_connect_later (sim, watcher_peer (), 100000);
    sim_push (sim, LOOK_US, EVENT_WATCHER, 0, 0, 0);
}
