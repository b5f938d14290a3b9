/* SPDX-License-Identifier: MPL-2.0 */

/*  event_internal.h - a baton_event_t over decoded fields.
 *
 *  DESIGN. A handler looks at two or three attributes of an event, so nothing is copied when an
 *  event is set: the struct is a window on decoded fields. What an accessor hands out with a NUL at
 *  its end is copied at the first access into a scratch area, which the next bn_event_set empties
 *  without freeing it. The area is large enough for every attribute of an event within the limits;
 *  only a long text out of the data, or more extensions than a publisher may give, takes memory of
 *  its own.
 *
 *  The fields must come from a payload that bn_batch_check accepted, and what they borrow from must
 *  outlive the event (or the next bn_event_set).  */
#ifndef BN_EVENT_INTERNAL_H
#define BN_EVENT_INTERNAL_H

#include "wire/batch.h"
#include <baton/event.h>

typedef struct bn_event_scratch bn_event_scratch_t;

struct baton_event {
    bn_text_t topic;          /* borrowed */
    bn_event_fields_t fields; /* borrowed */
    uint64_t offset;
    uint32_t partition;
    uint32_t attempt;
    bn_event_scratch_t *scratch; /* owned; copies made by accessors */
};

/*  False: no memory.  */
bool bn_event_init (baton_event_t *self);
void bn_event_fini (
    baton_event_t *self); /* also right after a failed or without an init of zeros */

/*  Makes it this event; everything that accessors returned before is gone.  */
void bn_event_set (baton_event_t *self, bn_text_t topic, const bn_event_fields_t *fields,
                   uint64_t offset, uint32_t partition, uint32_t attempt);

/*  True if the content type says MessagePack ("" is the default).  */
bool bn_content_is_msgpack (const char *text, size_t size);

#endif
