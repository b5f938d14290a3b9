/* SPDX-License-Identifier: MPL-2.0 */

#include "client/context.h"
#include "base/hash.h"
#include "shell/clock.h"
#include "shell/log.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*  "ACTOR-JOURNAL-OFFSET-INDEX", at most.  */
#define ID_BYTES    (BATON_NAME_BYTES_MAX + 1 + 16 + 1 + 20 + 1 + 10 + 1)
#define CHUNK_BYTES (64u * 1024) /* memory that small emissions share */
#define ALIGNMENT   _Alignof(max_align_t)
#define SMALL_BYTES (4u * 1024) /* a larger emission has memory of its own */
#define LOG_MS      1000        /* a retry is logged that often; the rest is counted */
_Static_assert(offsetof (bn_blob_t, data) % ALIGNMENT == 0, "what lies in a blob is aligned");
_Static_assert(ID_BYTES - 1 <= BATON_ID_BYTES_MAX, "the id of an emitted event fits");

bool bn_context_init (baton_context_t *self, const bn_context_options_t *options)
{
    *self = (baton_context_t){.options = *options};
    return bn_event_init (&self->event);
}

void bn_context_fini (baton_context_t *self)
{
    bn_blob_unref (&self->chunk);
    bn_event_fini (&self->event);
}

void bn_context_begin (baton_context_t *self, bn_run_item_t *item, const bn_crossing_facts_t *facts)
{
    self->facts = *facts;
    self->item = item;
    self->emission_room = 0;
    self->emitted_bytes = 0;
    self->wall_us = 0;
    self->emit_err = BATON_OK;
    self->reason[0] = 0;
    bn_event_set (&self->event, item->topic, &item->fields, item->offset, item->partition,
                  item->attempt);
}

static void discard_emissions (bn_run_item_t *item)
{
    bn_emissions_free (item->emissions, item->emission_count, item->emissions_within);
    item->emissions = NULL;
    item->emissions_within = false;
    item->emission_count = 0;
}

/*  A reason travels as an attribute: a character that was cut in two goes, other bytes that are not
 *  UTF-8 become '?'.  */
static void clean_reason (char *text)
{
    size_t size = strlen (text);
    for (size_t cut = 0; cut < 4 && cut <= size; cut++)
        if (bn_utf8_valid (text, size - cut)) {
            text[size - cut] = 0;
            return;
        }
    for (char *at = text; *at; at++)
        if ((unsigned char)*at >= 0x80)
            *at = '?';
}

/*  The reason of a dead letter is kept with it, and what begins that of the last attempt with a
 *  parked event; those of the attempts before are only here.  */
static void log_retry (baton_context_t *self, const bn_run_item_t *item)
{
    uint64_t now_ms = bn_clock_now ().mono_ms;
    char more[48] = "";
    if (self->logged_ms && now_ms - self->logged_ms < LOG_MS) {
        self->unlogged++;
        return;
    }
    if (self->unlogged)
        snprintf (more, sizeof more, " (%" PRIu32 " more since the last such line)",
                  self->unlogged);
    bn_log (BN_LOG_INFO, "offset %" PRIu64 " of %s, attempt %" PRIu32 ": retry: %s%s", item->offset,
            baton_event_topic (&self->event), item->attempt, self->reason, more);
    self->logged_ms = now_ms;
    self->unlogged = 0;
}

void bn_context_end (baton_context_t *self, baton_verdict_t verdict)
{
    bn_run_item_t *item = self->item;
    self->item = NULL;
    switch (verdict) {
    case BATON_ACK:
        item->result = BN_RESULT_ACK;
        break;
    case BATON_RETRY:
        item->result = BN_RESULT_RETRY;
        break;
    case BATON_REJECT:
        item->result = BN_RESULT_REJECT;
        break;
    default:
        item->result = BN_RESULT_REJECT;
        snprintf (self->reason, sizeof self->reason, "the handler returned %d, which is no verdict",
                  (int)verdict);
    }
    if (item->result == BN_RESULT_ACK && self->emit_err) {
        item->result = BN_RESULT_REJECT;
        snprintf (self->reason, sizeof self->reason, "emission refused (%s): %.200s",
                  baton_err_name (self->emit_err), self->emit_what);
    }
    if (item->result == BN_RESULT_ACK)
        return;
    discard_emissions (item);
    if (!self->reason[0])
        snprintf (self->reason, sizeof self->reason, "the handler gave no reason");
    clean_reason (self->reason);
    if (item->result == BN_RESULT_RETRY)
        log_retry (self, item);
    free (item->reason);
    item->reason = strdup (self->reason); /* without memory: no reason */
}

static baton_err_t refuse (baton_context_t *self, baton_err_t err)
{
    if (!self->emit_err)
        self->emit_err = err;
    return err;
}

/*  Room for one more entry behind the first.  */
static bool reserve_emission (baton_context_t *self)
{
    bn_run_item_t *item = self->item;
    if (item->emission_count < self->emission_room)
        return true;
    uint32_t room = self->emission_room * 2;
    bn_emission_t *emissions =
        realloc (item->emissions_within ? NULL : item->emissions, room * sizeof *emissions);
    if (!emissions)
        return false;
    if (item->emissions_within)
        memcpy (emissions, item->emissions, item->emission_count * sizeof *emissions);
    item->emissions = emissions;
    item->emissions_within = false;
    self->emission_room = room;
    return true;
}

#define TEXT(literal)                                                                              \
    {                                                                                              \
        literal, sizeof (literal) - 1                                                              \
    }

static bn_text_t text_of (const char *text)
{
    return (bn_text_t){text, strlen (text)};
}

/*  What an emitted event inherits from the event in hand. Returns the number of extensions.  */
static size_t inherited (const baton_event_t *event, bn_default_extension_t extensions[3])
{
    const char *correlation = baton_event_extension (event, "correlationid");
    const char *trace = baton_event_extension (event, "traceparent");
    bn_text_t id = text_of (baton_event_id (event));
    extensions[0] =
        (bn_default_extension_t){TEXT ("correlationid"), correlation ? text_of (correlation) : id};
    extensions[1] = (bn_default_extension_t){TEXT ("causationid"), id};
    if (!trace)
        return 2;
    extensions[2] = (bn_default_extension_t){TEXT ("traceparent"), text_of (trace)};
    return 3;
}

/*  Room for the bytes of an emission: in a chunk that it shares with others, or, if it is large, in
 *  memory of its own. The caller's reference; NULL: no memory.  */
static bn_blob_t *take_room (baton_context_t *self, size_t size, uint8_t **at)
{
    if (size > SMALL_BYTES) {
        bn_blob_t *blob = bn_blob_new (size);
        *at = blob ? blob->data : NULL;
        return blob;
    }
    if (!self->chunk || self->chunk_used > CHUNK_BYTES - size) {
        bn_blob_unref (&self->chunk);
        self->chunk = bn_blob_new (CHUNK_BYTES);
        self->chunk_used = 0;
        if (!self->chunk)
            return NULL;
    }
    *at = self->chunk->data + self->chunk_used;
    self->chunk_used += (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return bn_blob_ref (self->chunk);
}

static char *put_decimal (char *at, uint64_t number)
{
    char digits[20];
    size_t count = 0;
    do
        digits[count++] = (char)('0' + number % 10);
    while (number /= 10);
    while (count > 0)
        *at++ = digits[--count];
    return at;
}

/*  "ACTOR-JOURNAL-", which all emissions have in common.  */
static void make_prefix (baton_context_t *self)
{
    int size = snprintf (self->prefix, sizeof self->prefix, "%s-%016" PRIx64 "-",
                         self->options.actor, self->facts.journal_id);
    self->prefix_size = (size_t)size;
    self->prefix_journal_id = self->facts.journal_id;
}

/*  "ACTOR-JOURNAL-OFFSET-INDEX" of the emission to come; on the path of each one. Its size.  */
static size_t put_id (baton_context_t *self, char *id)
{
    if (!self->prefix_size || self->prefix_journal_id != self->facts.journal_id)
        make_prefix (self);
    char *at = id + self->prefix_size;
    memcpy (id, self->prefix, self->prefix_size);
    at = put_decimal (at, self->item->offset);
    *at++ = '-';
    at = put_decimal (at, self->item->emission_count);
    return (size_t)(at - id);
}

static baton_err_t emit (baton_context_t *self, const baton_publication_t *publication,
                         char what[BN_WHAT_BYTES])
{
    size_t data_bytes_max =
        self->facts.data_bytes_max && self->facts.data_bytes_max < BATON_DATA_BYTES_MAX
            ? self->facts.data_bytes_max
            : BATON_DATA_BYTES_MAX;
    baton_err_t err = bn_publication_check (publication, data_bytes_max, what);
    if (err)
        return err;

    bn_default_extension_t extensions[3];
    if (!self->wall_us)
        self->wall_us = bn_clock_wall_us ();
    bn_publication_defaults_t defaults = {
        .source = {self->options.source, strlen (self->options.source)},
        .time_us = (int64_t)self->wall_us,
        .extensions = extensions,
        .extension_count = inherited (&self->event, extensions)};
    size_t bytes = bn_publication_bytes (publication, &defaults) + ID_BYTES;
    size_t account = bytes + sizeof (bn_emission_t);
    if (account > self->options.emit_bytes_max - self->emitted_bytes) {
        snprintf (what, BN_WHAT_BYTES, "more than %zu bytes emitted by one call",
                  self->options.emit_bytes_max);
        return BATON_ERR_TOO_LARGE;
    }
    /*  Most handlers emit one: its entry lies where its bytes do.  */
    bn_run_item_t *item = self->item;
    bool first = item->emission_count == 0;
    uint8_t *at = NULL;
    bn_blob_t *blob = take_room (self, bytes + (first ? sizeof (bn_emission_t) : 0), &at);
    if (!blob || !(first || reserve_emission (self))) {
        bn_blob_unref (&blob);
        snprintf (what, BN_WHAT_BYTES, "out of memory");
        return BATON_ERR_MEMORY;
    }

    bn_emission_t *emission = first ? (bn_emission_t *)at : &item->emissions[item->emission_count];
    at += first ? sizeof *emission : 0;
    *emission = (bn_emission_t){.blob = blob};
    char *id = (char *)at;
    size_t id_size = put_id (self, id);
    at += id_size;
    if (!bn_publication_pack (publication, &defaults, &at, &emission->topic, &emission->fields)) {
        bn_blob_unref (&blob);
        snprintf (what, BN_WHAT_BYTES, "more than %d extensions with those that are filled in",
                  BATON_EXTENSIONS_COUNT_MAX);
        return BATON_ERR_TOO_LARGE;
    }
    if (emission->fields.id_number_set) {
        emission->fields.id_number_set = false;
        emission->fields.id = (bn_text_t){id, id_size};
    }
    emission->spread = emission->fields.key.size ? 0 : (uint32_t)bn_hash (id, id_size);
    if (first) {
        item->emissions = emission;
        item->emissions_within = true;
        self->emission_room = 1;
    }
    item->emission_count++;
    self->emitted_bytes += account;
    return BATON_OK;
}

baton_err_t baton_emit (baton_context_t *self, const char *topic, const char *key, const void *data,
                        size_t size, const baton_attributes_t *attributes)
{
    baton_publication_t publication = {.topic = topic,
                                       .key = key ? key : baton_event_key (&self->event),
                                       .data = data,
                                       .data_size = size,
                                       .attributes = attributes};
    char what[BN_WHAT_BYTES];
    baton_err_t err = emit (self, &publication, what);
    if (err && !self->emit_err)
        memcpy (self->emit_what, what, sizeof what);
    return err ? refuse (self, err) : BATON_OK;
}

baton_err_t baton_emit_data (baton_context_t *self, const char *topic, const char *key,
                             baton_data_t *data)
{
    size_t size;
    const void *bytes = baton_data_bytes (data, &size);
    if (bytes)
        return baton_emit (self, topic, key, bytes, size, NULL);
    baton_err_t err = baton_data_error (data);
    if (!self->emit_err)
        snprintf (self->emit_what, sizeof self->emit_what, "the data builder failed: %s",
                  baton_err_text (err));
    return refuse (self, err);
}

void baton_reason (baton_context_t *self, const char *format, ...)
{
    va_list args;
    va_start (args, format);
    vsnprintf (self->reason, sizeof self->reason, format, args);
    va_end (args);
}

void baton_extend (baton_context_t *self, uint32_t ms)
{
    bn_crossing_extend (self->options.crossing, bn_clock_now ().mono_ms + ms);
}

bool baton_stopping (const baton_context_t *self)
{
    return bn_crossing_stopping (self->options.crossing) && !self->facts.after_stop;
}
