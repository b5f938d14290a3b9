/* SPDX-License-Identifier: MPL-2.0 */

/*  conductor_publish.c - PUBLISH: checks of sections, record, receipt.  */
#include "base/plant.h"
#include "core/conductor_internal.h"
#include <stdio.h>

/*  ---- checks ---- */

bool bn_conductor_is_dead_topic (const bn_text_t *topic, const bn_actor_state_t *actor)
{
    const size_t prefix = sizeof "$dead." - 1;
    size_t size = strlen (actor->name);
    return topic->size == prefix + size && memcmp (topic->text, "$dead.", prefix) == 0 &&
           memcmp (topic->text + prefix, actor->name, size) == 0;
}

/*  known: the topic is one that there are events of.  */
static bool check_section (bn_conductor_t *self, const bn_section_t *section, uint32_t index,
                           const bn_actor_state_t *dead_of, bool known)
{
    bn_text_t topic = section->topic;
    if (!known && !bn_topic_valid (topic.text, topic.size))
        return bn_conductor_refuse (self, BATON_ERR_TOPIC, 0,
                                    "section %" PRIu32 ": the topic is not valid", index);
    if (bn_topic_reserved (topic.text, topic.size) &&
        !(dead_of && bn_conductor_is_dead_topic (&topic, dead_of)))
        return bn_conductor_refuse (self, BATON_ERR_TOPIC, 0,
                                    "section %" PRIu32 ": topics that start with '$' are reserved",
                                    index);
    if (section->partition >= self->state->partitions)
        return bn_conductor_refuse (self, BATON_ERR_PARTITION, section->partition,
                                    "section %" PRIu32 ": partition %" PRIu32
                                    " does not exist; there are %" PRIu32,
                                    index, section->partition, self->state->partitions);
    bn_batch_limits_t limits = {.partition = section->partition,
                                .partitions = self->state->partitions,
                                .data_bytes_max = self->options.data_bytes_max};
    uint32_t event = 0;
    const char *what = NULL;
    baton_err_t err = bn_batch_check (section->payload.data, section->payload.size, section->count,
                                      &limits, &event, &what);
    if (err)
        return bn_conductor_refuse (self, err, 0,
                                    "section %" PRIu32 " (topic %.*s, partition %" PRIu32
                                    "), event %" PRIu32 ": %s",
                                    index, (int)topic.size, topic.text, section->partition, event,
                                    what ? what : baton_err_text (err));
    return true;
}

/*  New topics must fit under topics_max. $dead topics are as many as actors and do not count here:
 *  giving an event up must never fail for the number of topics.  */
static bool check_topics (bn_conductor_t *self, const bn_section_t *sections, uint32_t count)
{
    bn_map_t *fresh = NULL;
    bool ok = true;
    for (uint32_t index = 0; ok && index < count; index++) {
        bn_text_t topic = sections[index].topic;
        if (bn_topic_reserved (topic.text, topic.size) ||
            bn_map_get (self->state->topics, topic.text, topic.size))
            continue;
        if (!fresh)
            fresh = bn_map_new ();
        if (!fresh || !bn_map_put (fresh, topic.text, topic.size, self, NULL)) {
            self->effects->failed = true;
            ok = false;
        } else if (bn_map_count (self->state->topics) + bn_map_count (fresh) >
                   self->options.topics_max)
            /*  Not LIMIT: topics do not drain, and a producer that waited for it would wait with
             *  all that is behind it.  */
            ok = bn_conductor_refuse (self, BATON_ERR_TOPIC, 0,
                                      "section %" PRIu32 ": there are %" PRIu32
                                      " topics already (topics_max); %.*s would be a new one",
                                      index, self->options.topics_max, (int)topic.size, topic.text);
    }
    bn_map_destroy (&fresh);
    return ok;
}

bool bn_conductor_check_sections (bn_conductor_t *self, bn_section_t *sections, uint32_t count,
                                  const bn_actor_state_t *dead_of, uint32_t *events)
{
    uint64_t sum = 0;
    bool all_known = true;
    for (uint32_t index = 0; index < count; index++) {
        bn_text_t topic = sections[index].topic;
        void *known = bn_map_get (self->state->topics, topic.text, topic.size);
        sections[index].topic_state = known; /* applied in this step, before any topic could go */
        all_known &= known != NULL;
        if (!check_section (self, &sections[index], index, dead_of, known != NULL))
            return false;
        sections[index].base = self->state->tail + sum;
        sum += sections[index].count;
    }
    bn_assert (sum <= UINT32_MAX); /* each event has bytes in the message, which are checked */
    *events = (uint32_t)sum;
    return all_known || check_topics (self, sections, count);
}

/*  ---- PUBLISH ---- */

static void send_receipt (bn_conductor_t *self, const bn_receipt_t *receipt)
{
    bn_message_t reply = {.type = BN_RECEIPT, .receipt = *receipt};
    bn_conductor_reply (self, &reply);
}

/*  A sequence that is not the next one: a repeat gets its receipt again, a skip is refused.  */
static void not_next (bn_conductor_t *self, const bn_producer_state_t *producer,
                      const bn_publish_t *publish)
{
    uint64_t last = producer ? producer->sequence : 0;
    if (publish->sequence > last) {
        bn_conductor_refuse (self, BATON_ERR_SEQUENCE, last + 1,
                             "sequence %" PRIu64 " from producer %016" PRIx64 ": expected %" PRIu64,
                             publish->sequence, publish->producer_id, last + 1);
        return;
    }
    bn_receipt_t receipt = producer->receipts[publish->sequence % BN_PRODUCER_RECEIPTS];
    if (receipt.sequence != publish->sequence)
        receipt = (bn_receipt_t){.sequence = publish->sequence, .base = BN_NO_OFFSET};
    receipt.duplicate = true;
    send_receipt (self, &receipt);
}

void bn_conductor_publish (bn_conductor_t *self, bn_session_t *session, bn_publish_t *publish)
{
    if (publish->producer_id == 0 || publish->producer_id != session->incarnation) {
        bn_conductor_refuse (self, BATON_ERR_ARGUMENT, 0,
                             "producer id %016" PRIx64 " is not the one that HELLO named",
                             publish->producer_id);
        return;
    }
    const bn_producer_state_t *producer =
        bn_map_get_u64 (self->state->producers, publish->producer_id);
    if (publish->sequence != (producer ? producer->sequence : 0) + 1 &&
        !(BN_PLANT (duplicate_appended) && producer)) {
        not_next (self, producer, publish);
        return;
    }
    if (self->disk_full) {
        bn_conductor_refuse (self, BATON_ERR_DISK_FULL, 0,
                             "free space is below the reserve; nothing was accepted");
        return;
    }
    uint32_t events = 0;
    if (!bn_conductor_check_sections (self, publish->sections, publish->section_count, NULL,
                                      &events))
        return;
    bn_record_t record = {.type = BN_RECORD_PUBLISH, .publish = *publish};
    bn_receipt_t receipt = {
        .sequence = publish->sequence, .base = self->state->tail, .count = events};
    bn_blob_t *body = bn_conductor_persist (self, &record, events);
    if (!body)
        return;
    /*  The events first: somebody waits for them, while the producer may publish more anyway.  */
    bn_conductor_apply_events (self, &record, events, body, publish->sections,
                               publish->section_count);
    send_receipt (self, &receipt);
}
