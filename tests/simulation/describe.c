/* SPDX-License-Identifier: MPL-2.0 */

/*  describe.c - how much a mailbox holds, and what it is waiting for, for people: the only place
 *  that looks inside.  */
#include "core/mailbox_internal.h"
#include "simulation/sim.h"
#include <inttypes.h>
#include <stdio.h>

/*  What is received: what fan-out and FETCH may each fill, and a section more that each brings, as
 *  does a FETCH of parked events. What is unsettled: a run more than is allowed, of events from the
 *  main line and again of parked ones, and what was set aside without a run, which had been
 *  received.  */
void sim_oracle_bounds (sim_t *sim, uint32_t slot)
{
    const sim_process_t *process = &sim->processes[slot];
    const bn_mailbox_t *mailbox = process->mailbox;
    const sim_config_t *config = &sim->config;
    size_t received = mailbox->queue_bytes + mailbox->out_bytes;
    size_t received_max = 2 * (size_t)config->prefetch_bytes + 3 * sim->model->section_bytes_max;
    size_t event = sim->model->section_bytes_max + 4096; /* and what makes a dead letter of it */
    size_t account_max = config->settle_bytes + (config->run_events + 1) * event;
    size_t unsettled_max = account_max + received_max;
    size_t main_line = mailbox->unsettled_bytes - mailbox->relief_bytes;
    if (received > received_max)
        sim_fail (sim, "G7: %s holds %zu bytes received, of %u for prefetching", process->instance,
                  received, config->prefetch_bytes);
    if (main_line > unsettled_max || mailbox->relief_bytes > unsettled_max)
        sim_fail (sim, "G7: %s holds %zu bytes unsettled and %zu of parked events, of %u each",
                  process->instance, main_line, mailbox->relief_bytes, config->settle_bytes);
}

static void describe_slot (sim_t *sim, const sim_process_t *process, const bn_slot_t *slot)
{
    unsigned ready = 0, held = 0, unsettled = 0;
    for (const bn_outcome_t *outcome = slot->ready.first; outcome; outcome = outcome->next)
        ready++;
    for (const bn_outcome_t *outcome = slot->held.first; outcome; outcome = outcome->next)
        held++;
    unsigned states[6] = {0};
    for (bn_map_node_t *node = bn_map_first (slot->parked); node; node = bn_map_next (node)) {
        const bn_parked_entry_t *entry = bn_map_value (node);
        unsettled += !entry->settled;
        states[entry->state]++;
    }
    sim_say_line (sim,
                  "  %s partition %u.%" PRIu64 ": floor %" PRIu64 " position %" PRIu64
                  " known %" PRIu64 " ready %u held %u returned %u out %u parked %zu",
                  process->instance, slot->index, slot->generation, slot->floor, slot->position,
                  slot->known, ready, held, slot->returned_count, slot->out_count,
                  bn_map_count (slot->parked));
    sim_say_line (sim,
                  "    (unsettled %u; blocked %u due %u wanted %u fetching %u ready %u out %u)%s%s"
                  "%s%s%s careful %" PRIu64,
                  unsettled, states[0], states[1], states[2], states[3], states[4], states[5],
                  slot->revoked ? " revoked" : "",
                  bn_relief_stopped (&slot->relief) ? " stopped" : "",
                  slot->relief.state == BN_RELIEF_PART ? " relief" : "",
                  slot->missing ? " missing" : "", slot->behind ? " behind" : "",
                  slot->careful_until);
}

void sim_describe (sim_t *sim, uint32_t slot)
{
    const sim_process_t *process = &sim->processes[slot];
    if (!process->used || !sim->tell)
        return;
    const bn_mailbox_t *mailbox = process->mailbox;
    sim_say_line (sim,
                  "%s (%" PRIu64 "): link %d, asking %s%s%s%s%s, run %s, careful %d, queue %zu, "
                  "unsettled %zu, out %zu%s",
                  process->instance, process->incarnation, (int)mailbox->link,
                  bn_mailbox_asking (mailbox, BN_ASK_FETCH) ? "F" : "",
                  bn_mailbox_asking (mailbox, BN_ASK_OFFSETS) ? "O" : "",
                  bn_mailbox_asking (mailbox, BN_ASK_SETTLE) ? "S" : "",
                  bn_mailbox_asking (mailbox, BN_ASK_BEGIN) ? "B" : "",
                  bn_mailbox_asking (mailbox, BN_ASK_LEAVE) ? "L" : "",
                  mailbox->run_out ? "out" : "in", (int)mailbox->careful, mailbox->queue_bytes,
                  mailbox->unsettled_bytes, mailbox->out_bytes,
                  mailbox->expired ? ", expired" : "");
    for (uint32_t p = 0; p < mailbox->partitions; p++)
        if (mailbox->slots[p].owned)
            describe_slot (sim, process, &mailbox->slots[p]);
}
