/* SPDX-License-Identifier: MPL-2.0 */

/*  batch.h - events of one partition, packed into one payload frame.
 *
 *    payload = common *event
 *    common  = [id-prefix str, source str, time-us uint, datacontenttype str, dataschema str]
 *              ("" as datacontenttype: application/msgpack; "" as dataschema: none)
 *    event   = [id, key str, time-delta-us int, data bin, ext]
 *    id      = str (the whole id) / uint (id is id-prefix "-" decimal)
 *    ext     = nil / map of str -> str; "source", "datacontenttype", "dataschema" in it stand for
 *              the attributes of the same name and win over those in common
 *
 *  Attributes that are the same for a batch are sent once. The count is in the section that the
 *  payload belongs to. Event k of a section has the offset base + k.
 *
 *  A section has events of one topic, which its head names. A *mixed* section has events of
 *  several; its head names none (""), and each event has a sixth element:
 *
 *    event   = [id, key str, time-delta-us int, data bin, ext, topic]
 *    topic   = str / nil: that of the event before
 *
 *  INVARIANT B1: a payload that bn_batch_check accepted is read by bn_batch_next to its end without
 *  an error.  */
#ifndef BN_BATCH_H
#define BN_BATCH_H

#include "wire/mp.h"
#include <baton/event.h>

/*  An event as fields; texts are borrowed, not NUL-terminated.  */
typedef struct {
    const char *text;
    size_t size;
} bn_text_t;

typedef struct {
    bn_text_t id_prefix;
    bn_text_t id;            /* the whole id when id_number_set is false */
    bool id_number_set;      /* the id is id_prefix "-" id_number */
    uint64_t id_number;
    bn_text_t key;
    bn_text_t source;
    int64_t time_us;
    bn_text_t datacontenttype; /* "" = application/msgpack */
    bn_text_t dataschema;
    const uint8_t *data;
    size_t data_size;
    const uint8_t *ext;      /* the packed map, whole, or NULL if nil (reading: borrowed) */
    size_t ext_size;
} bn_event_fields_t;

/*  ---- writing ----  */
typedef struct {
    bn_buffer_t buffer;      /* the payload so far */
    uint32_t count;          /* events in it */
    int64_t time_us;         /* common time */
    /*  Where the common id_prefix, source, datacontenttype and dataschema are in the payload.  */
    uint32_t common_at[4];
    uint32_t common_size[4];
    uint32_t topic_at;       /* mixed: where the topic of the last event is, */
    uint32_t topic_size;     /*   and its size */
} bn_batch_writer_t;

void bn_batch_writer_init (bn_batch_writer_t *self, size_t bytes_max);
void bn_batch_writer_fini (bn_batch_writer_t *self);
/*  Appends an event. The first one sets the common attributes; where a later one differs, its own
 *  go into its ext (id: into a whole text). Entries of event->ext that stand for such attributes
 *  are not copied: the fields count. On an error nothing is appended. Errors: TOO_LARGE
 *  (bytes_max, or a limit of event.h), MALFORMED (ext), ARGUMENT (a time too far from the first
 *  one), MEMORY.  */
baton_err_t bn_batch_writer_add (bn_batch_writer_t *self, const bn_event_fields_t *event);
/*  The same for a mixed section: all of its events come by this.  */
baton_err_t bn_batch_writer_add_mixed (bn_batch_writer_t *self, bn_text_t topic,
                                       const bn_event_fields_t *event);
/*  Hands over the payload and starts anew; NULL: nothing in it or no memory.  */
bn_blob_t *bn_batch_writer_take (bn_batch_writer_t *self, uint32_t *count);

/*  ---- reading ----  */
typedef struct {
    bn_mp_t mp;              /* mp.err after the end: what was wrong */
    bn_event_fields_t common; /* id_prefix, source, time, types */
    uint32_t left;            /* events still to come */
    bool mixed;
    bn_text_t topic;          /* mixed: of the event read last; borrowed from the payload */
} bn_batch_reader_t;

baton_err_t bn_batch_reader_init (bn_batch_reader_t *self, const void *payload, size_t size,
                                  uint32_t count);
/*  The same for a mixed section.  */
baton_err_t bn_mixed_reader_init (bn_batch_reader_t *self, const void *payload, size_t size,
                                  uint32_t count);
/*  false at the end or on an error (self->mp.err). `event` has the common attributes filled in; the
 *  overrides in ext are applied.  */
bool bn_batch_next (bn_batch_reader_t *self, bn_event_fields_t *event);
/*  Is it one of the BATON_DEAD_EXTENSIONS_COUNT that a dead letter has beside those of its event?
 *  They do not count towards BATON_EXTENSIONS_COUNT_MAX.  */
bool bn_ext_of_dead_letter (const char *name, size_t size);
/*  Looks up one text entry of an ext map; false if there is none.  */
bool bn_ext_get (const uint8_t *ext, size_t ext_size, const char *name, bn_text_t *value);

typedef struct {
    uint32_t partition;      /* that every non-empty key must hash to */
    uint32_t partitions;
    uint32_t data_bytes_max;
} bn_batch_limits_t;

/*  Checks everything that a receiver will rely on: structure, exact end, count, limits, UTF-8, key
 *  lengths and partitions, ids and sources that are not empty, ext names and values, and, where the
 *  content type is MessagePack and there is data, the data itself (one value,
 *  BATON_DATA_DEPTH_MAX). On error: *event_index is the guilty event and
 *  *what a static text. Errors: MALFORMED, TOO_LARGE, TOO_DEEP, KEY.  */
baton_err_t bn_batch_check (const void *payload, size_t size, uint32_t count,
                            const bn_batch_limits_t *limits, uint32_t *event_index,
                            const char **what);
/*  The same for a mixed section, of at most size / BN_MIXED_EVENT_BYTES_MIN events: says of each
 *  where it is (events[count]). Topics are only checked for their size.  */
struct bn_mixed_event;
#define BN_MIXED_EVENT_BYTES_MIN 8
baton_err_t bn_mixed_check (const void *payload, size_t size, uint32_t count,
                            const bn_batch_limits_t *limits, struct bn_mixed_event *events,
                            uint32_t *event_index, const char **what);
/*  Cuts event `index` out as a payload of its own (count 1). NULL: no memory or bad payload.  */
bn_blob_t *bn_batch_slice (const void *payload, size_t size, uint32_t count, uint32_t index);

/*  ---- sections: many events of many topics, in order ----
 *  Collects events and cuts them into sections so that the order within a partition is kept across
 *  topics: an event is appended to the last section of its partition if that has the same topic,
 *  else a new section is opened (G3).  */
typedef struct bn_sections bn_sections_t;

bn_sections_t *bn_sections_new (uint32_t partitions, size_t bytes_max);
/*  While it is empty: all events of a partition go into one section, which is mixed.  */
void bn_sections_mix (bn_sections_t *self);
/*  Are there so many sections for the events that it would have been better to mix them? That is
 *  so where most have an event or two, and a mixed one would have many.  */
bool bn_sections_scattered (const bn_sections_t *self);
void bn_sections_destroy (bn_sections_t **self_p);
/*  Partition of an empty key: round robin, chosen per call by `spread` (spread mod partitions).
 *  TOO_LARGE: bytes_max would be passed; nothing was added.  */
baton_err_t bn_sections_add (bn_sections_t *self, const char *topic, size_t topic_size,
                             const bn_event_fields_t *event, uint32_t spread);
/*  Where the event added last went: its section (in the order in which take hands them over) and
 *  its place in it. Its offset will be the record's base + the counts of the sections before +
 *  place.  */
void bn_sections_last (const bn_sections_t *self, uint32_t *section, uint32_t *place);
size_t bn_sections_bytes (const bn_sections_t *self);
uint32_t bn_sections_events (const bn_sections_t *self);
uint32_t bn_sections_count (const bn_sections_t *self);

struct bn_section;
/*  Hands over the sections, in the order in which they were opened, as an array of *count (payload
 *  blobs and topic texts owned by it; free with bn_section_array_free) and empties itself. NULL:
 *  empty or no memory (sections kept).  */
struct bn_section *bn_sections_take (bn_sections_t *self, uint32_t *count);

#endif
