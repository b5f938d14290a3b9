/* SPDX-License-Identifier: MPL-2.0 */

/*  mixed.h - sections with events of several topics, taken apart.
 *
 *  DESIGN. Where events of many topics take turns, each would be a section of its own, and a
 *  section costs far more than an event: a head, a frame, a checksum of its own common attributes.
 *  So a producer may put all events of a partition into one mixed section (batch.h). Who wants all
 *  of its topics gets it as it is. For everybody else it is taken apart, into what it stands for: a
 *  plain section for each *run*, consecutive events of one topic. Only PUBLISH, SETTLE, their
 *  records and bundles have mixed sections; bn_record_decode and bn_record_sections give plain
 *  ones, so that nobody who reads the journal has to know.
 *
 *  Each part has the common attributes, so that many short events behind long ones would be far
 *  more in parts than as a whole. They may be BN_MIXED_PARTS_MAX times as much (G7).
 *
 *  The parts have the same common attributes and the same events, without the sixth element. So
 *  they are the same bytes whoever makes them, and counted as they would have been.  */
#ifndef BN_MIXED_H
#define BN_MIXED_H

#include "wire/message.h"

#define BN_MIXED_EVENT_FIRST 0x96 /* the first byte of each event: an array of 6 */
#define BN_MIXED_PARTS_MAX   4

/*  Where an event is in the payload of its section.  */
typedef struct bn_mixed_event {
    void *topic_state; /* borrowed; the core's, once it has looked the topic up; else NULL */
    uint32_t at;
    uint32_t bare; /* bytes without the topic */
    uint32_t topic_at;
    uint32_t topic_size;
} bn_mixed_event_t;

static inline bool bn_is_mixed (const bn_section_t *section)
{
    return section->topic.size == 0;
}

static inline bn_text_t bn_mixed_topic (const uint8_t *payload, const bn_mixed_event_t *event)
{
    return (bn_text_t){(const char *)payload + event->topic_at, event->topic_size};
}

/*  Says where each event is; nothing is checked but what can be read. count: as in bn_mixed_check.
 *  Errors: MALFORMED, TOPIC, KEY, TOO_LARGE.  */
baton_err_t bn_mixed_scan (const void *payload, size_t size, uint32_t count,
                           bn_mixed_event_t *events);

/*  How many of the `count` events at `events` are a run; 1 or more.  */
uint32_t bn_mixed_run (const uint8_t *payload, const bn_mixed_event_t *events, uint32_t count);

/*  The payload of a run as a plain section's: its size, and the bytes. `common` is the size of the
 *  common attributes, which is where the first event of the section is.  */
size_t bn_mixed_run_bytes (uint32_t common, const bn_mixed_event_t *events, uint32_t count);
void bn_mixed_run_write (uint8_t *to, const uint8_t *payload, uint32_t common,
                         const bn_mixed_event_t *events, uint32_t count);

/*  The bytes of all parts of a section.  */
size_t bn_mixed_parts_bytes (const uint8_t *payload, const bn_mixed_event_t *events,
                             uint32_t count);

/*  Replaces the mixed ones of *count sections by their parts; bases are set. The array is replaced
 *  (bn_section_array_free) if there is one among them. Topics and payloads of the others stay
 *  borrowed. Errors: MEMORY, MALFORMED (a count that cannot be), TOO_LARGE (BN_MIXED_PARTS_MAX),
 *  and those of bn_mixed_scan; the sections are then as they were.  */
baton_err_t bn_mixed_take_apart (bn_section_t **sections, uint32_t *count);

#endif
