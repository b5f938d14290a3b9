/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/why_journal.h"
#include "base/map.h"
#include "cli/json.h"
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_MIN      65536 /* events of the first look backward; each further one is twice that */
#define CHAIN_MAX      64
#define EFFECTS_MAX    1000
#define JOURNAL_DIGITS 16

static size_t s_id (const bn_event_fields_t *fields, char id[BATON_ID_BYTES_MAX + 1])
{
    int size =
        fields->id_number_set
            ? snprintf (id, BATON_ID_BYTES_MAX + 1, "%.*s-%" PRIu64, (int)fields->id_prefix.size,
                        fields->id_prefix.text, fields->id_number)
            : snprintf (id, BATON_ID_BYTES_MAX + 1, "%.*s", (int)fields->id.size, fields->id.text);
    return size < 0 ? 0 : size > BATON_ID_BYTES_MAX ? BATON_ID_BYTES_MAX : (size_t)size;
}

static bool s_set (json_t *object, const char *name, bn_text_t text)
{
    return json_object_set_new (object, name, json_stringn (text.text, text.size)) == 0;
}

/*  What tells an event from others, and where it came from. NULL: no memory.  */
static json_t *s_event (const bn_read_event_t *event)
{
    static const char *const extensions[] = {"causationid", "correlationid", "deadid",
                                             "deadreason"};
    const bn_event_fields_t *fields = &event->fields;
    char id[BATON_ID_BYTES_MAX + 1], time_text[40];
    bn_text_t value = {.text = id, .size = s_id (fields, id)};
    json_t *object = json_object ();
    bn_json_time (fields->time_us, time_text);
    bool ok =
        object && !json_object_set_new (object, "offset", json_integer ((json_int_t)event->offset));
    ok = ok && !json_object_set_new (object, "partition", json_integer (event->partition)) &&
         s_set (object, "topic", event->topic) && s_set (object, "key", fields->key) &&
         !json_object_set_new (object, "time", json_string (time_text)) &&
         s_set (object, "id", value) && s_set (object, "source", fields->source);
    for (size_t i = 0; ok && fields->ext && i < sizeof (extensions) / sizeof (extensions[0]); i++)
        if (bn_ext_get (fields->ext, fields->ext_size, extensions[i], &value))
            ok = s_set (object, extensions[i], value);
    if (ok)
        return object;
    json_decref (object);
    return NULL;
}

static const char *s_text (const json_t *object, const char *name)
{
    const char *text = json_string_value (json_object_get (object, name));
    return text ? text : "";
}

static uint64_t s_offset (const json_t *event)
{
    return (uint64_t)json_integer_value (json_object_get (event, "offset"));
}

/*  ---- ids that say where their cause is ---- */

/*  Takes decimal digits off the end, and the separator before them.  */
static bool s_take_number (const char *text, size_t *size, char separator, uint64_t *value)
{
    size_t at = *size;
    while (at > 0 && isdigit ((unsigned char)text[at - 1]))
        at--;
    if (at == *size || at == 0 || *size - at > 19 || text[at - 1] != separator)
        return false;
    *value = strtoull (text + at, NULL, 10);
    *size = at - 1;
    return true;
}

static bool s_take_journal (const char *text, size_t size, char separator, uint64_t journal_id)
{
    char digits[JOURNAL_DIGITS + 1];
    snprintf (digits, sizeof (digits), "%016" PRIx64, journal_id);
    return size > JOURNAL_DIGITS + 1 && text[size - JOURNAL_DIGITS - 1] == separator &&
           memcmp (text + size - JOURNAL_DIGITS, digits, JOURNAL_DIGITS) == 0;
}

/*  The offset of the event that an emitted event or a dead letter of this journal came from.  */
static bool s_hint (const bn_why_journal_t *self, const char *id, uint64_t *offset)
{
    size_t size = strlen (id);
    uint64_t index;
    if (strncmp (id, "dead.", 5) == 0 && s_take_number (id, &size, '.', offset))
        return s_take_journal (id, size, '.', self->journal_id);
    size = strlen (id);
    return s_take_number (id, &size, '-', &index) && s_take_number (id, &size, '-', offset) &&
           s_take_journal (id, size, '-', self->journal_id);
}

/*  ---- events by offset and by id ---- */

typedef struct {
    bn_why_by_t by;
    const char *text; /* NULL: any event */
    json_t *event;
    uint64_t last; /* BN_WHY_KEY: the last one of the range, or BN_NO_OFFSET */
    bool failed;
} s_search_t;

static bool s_take_match (const bn_read_event_t *event, void *arg)
{
    s_search_t *self = arg;
    char id[BATON_ID_BYTES_MAX + 1];
    bn_text_t text = event->fields.key;
    if (self->text && self->by == BN_WHY_KEY && event->topic.text[0] == '$')
        return true; /* a dead letter: a copy, and nobody's to handle */
    if (self->by == BN_WHY_ID)
        text = (bn_text_t){.text = id, .size = s_id (&event->fields, id)};
    if (self->text &&
        (text.size != strlen (self->text) || memcmp (text.text, self->text, text.size) != 0))
        return true;
    self->last = event->offset;
    if (self->text && self->by == BN_WHY_KEY)
        return true;
    self->event = s_event (event);
    self->failed = !self->event;
    return false;
}

static baton_err_t s_scan (bn_why_journal_t *self, uint64_t from, uint64_t upto, bn_read_fn *fn,
                           void *arg)
{
    bn_reader_t reader = {.from_kind = BN_FROM_OFFSET,
                          .from = from,
                          .upto = upto,
                          .patience_ms = self->patience_ms,
                          .event = fn,
                          .arg = arg};
    return from < upto ? bn_reader_run (&reader, self->admin) : BATON_OK;
}

baton_err_t bn_why_at (bn_why_journal_t *self, uint64_t offset, json_t **event)
{
    s_search_t search = {.by = BN_WHY_ID};
    baton_err_t err =
        offset < self->tail ? s_scan (self, offset, offset + 1, s_take_match, &search) : BATON_OK;
    *event = search.event;
    return !err && search.failed ? BATON_ERR_MEMORY : err;
}

static baton_err_t s_search (bn_why_journal_t *self, bn_why_by_t by, const char *text,
                             uint64_t from, uint64_t upto, json_t **event)
{
    s_search_t search = {.by = by, .text = text, .last = BN_NO_OFFSET};
    baton_err_t err = s_scan (self, from, upto, s_take_match, &search);
    *event = search.event;
    if (!err && text && by == BN_WHY_KEY && search.last != BN_NO_OFFSET)
        return bn_why_at (self, search.last, event);
    return !err && search.failed ? BATON_ERR_MEMORY : err;
}

baton_err_t bn_why_find (bn_why_journal_t *self, bn_why_by_t by, const char *text, uint64_t end,
                         bn_why_range_t *range, json_t **event)
{
    uint64_t hint, chunk = CHUNK_MIN;
    baton_err_t err = BATON_OK;
    *event = NULL;
    if (by == BN_WHY_ID && s_hint (self, text, &hint)) {
        *range = (bn_why_range_t){.from = hint < end ? hint + 1 : end, .to = end};
        if (range->to - range->from > self->scan_max)
            range->to = range->from + self->scan_max;
        err = s_search (self, by, text, range->from, range->to, event);
        if (err || *event || range->to == end)
            return err;
    }
    *range = (bn_why_range_t){.from = end, .to = end};
    uint64_t most = self->scan_max < end ? self->scan_max : end;
    while (!err && !*event && range->from > end - most) {
        uint64_t left = range->from - (end - most);
        uint64_t to = range->from;
        range->from -= chunk < left ? chunk : left;
        err = s_search (self, by, text, range->from, to, event);
        chunk *= 2;
    }
    return err;
}

/*  ---- causes and effects ---- */

/*  The event that caused it, if its id says where: an id is easily typed, so it is compared.  */
static baton_err_t s_cause (bn_why_journal_t *self, const json_t *event, const char *id,
                            json_t **cause)
{
    bn_why_range_t range;
    uint64_t hint;
    *cause = NULL;
    if (s_hint (self, s_text (event, "id"), &hint) && hint < s_offset (event)) {
        baton_err_t err = bn_why_at (self, hint, cause);
        if (err || (*cause && strcmp (s_text (*cause, "id"), id) == 0))
            return err;
        json_decref (*cause);
        *cause = NULL;
    }
    return bn_why_find (self, BN_WHY_ID, id, s_offset (event), &range, cause);
}

baton_err_t bn_why_causes (bn_why_journal_t *self, const json_t *event, json_t *chain,
                           char missing[BATON_ID_BYTES_MAX + 1])
{
    baton_err_t err = BATON_OK;
    missing[0] = '\0';
    for (int depth = 0; depth < CHAIN_MAX && !err && !missing[0]; depth++) {
        json_t *cause;
        /*  A dead letter is a copy of the event that died, and has its causationid.  */
        const char *id = s_text (event, "deadid");
        if (!id[0])
            id = s_text (event, "causationid");
        if (!id[0])
            break;
        err = s_cause (self, event, id, &cause);
        if (!err && !cause)
            snprintf (missing, BATON_ID_BYTES_MAX + 1, "%s", id);
        else if (!err && json_array_append_new (chain, cause))
            err = BATON_ERR_MEMORY;
        event = cause;
    }
    return err;
}

typedef struct {
    bn_map_t *depths; /* id -> depth from 1 on, in place of a pointer */
    json_t *list;     /* borrowed */
    bool failed;
    bool more;
} s_effects_t;

static bool s_remember (s_effects_t *self, const char *id, uintptr_t depth)
{
    return bn_map_put_str (self->depths, id, (void *)depth, NULL);
}

static bool s_take_effect (const bn_read_event_t *event, void *arg)
{
    s_effects_t *self = arg;
    bn_text_t cause;
    char id[BATON_ID_BYTES_MAX + 1];
    if (!event->fields.ext ||
        !(bn_ext_get (event->fields.ext, event->fields.ext_size, "deadid", &cause) ||
          bn_ext_get (event->fields.ext, event->fields.ext_size, "causationid", &cause)))
        return true;
    uintptr_t depth = (uintptr_t)bn_map_get (self->depths, cause.text, cause.size);
    if (!depth)
        return true;
    if (json_array_size (self->list) == EFFECTS_MAX) {
        self->more = true;
        return false;
    }
    json_t *effect = s_event (event);
    s_id (&event->fields, id);
    self->failed = !effect ||
                   json_object_set_new (effect, "depth", json_integer ((json_int_t)depth)) ||
                   json_array_append (self->list, effect) || !s_remember (self, id, depth + 1);
    json_decref (effect);
    return !self->failed;
}

baton_err_t bn_why_effects (bn_why_journal_t *self, const json_t *event, json_t *list,
                            bn_why_range_t *range, bool *more)
{
    s_effects_t effects = {.depths = bn_map_new (), .list = list};
    *range = (bn_why_range_t){.from = s_offset (event) + 1, .to = self->tail};
    if (range->to > range->from && range->to - range->from > self->scan_max)
        range->to = range->from + self->scan_max;
    effects.failed = !effects.depths || !s_remember (&effects, s_text (event, "id"), 1);
    baton_err_t err = effects.failed
                          ? BATON_ERR_MEMORY
                          : s_scan (self, range->from, range->to, s_take_effect, &effects);
    bn_map_destroy (&effects.depths);
    *more = effects.more;
    return !err && effects.failed ? BATON_ERR_MEMORY : err;
}

/*  ---- the main line ---- */

typedef struct {
    const bn_why_line_t *line;
    json_t *found; /* borrowed */
    json_int_t ahead;
    json_int_t ahead_of_key;
    size_t count;
    bool failed;
} s_line_t;

static bool s_take_place (const bn_read_event_t *event, void *arg)
{
    s_line_t *self = arg;
    const bn_why_line_t *line = self->line;
    if (event->partition != line->partition)
        return true;
    bool of_key = line->key[0] && event->fields.key.size == strlen (line->key) &&
                  memcmp (event->fields.key.text, line->key, event->fields.key.size) == 0;
    bool wanted = line->offset == BN_NO_OFFSET ? of_key : event->offset == line->offset;
    if (wanted) {
        json_t *place = s_event (event);
        self->failed =
            !place || json_object_set_new (place, "ahead", json_integer (self->ahead)) ||
            json_object_set_new (place, "ahead_of_key", json_integer (self->ahead_of_key)) ||
            json_array_append (self->found, place);
        json_decref (place);
        self->count++;
    }
    self->ahead++;
    self->ahead_of_key += of_key ? 1 : 0;
    return !self->failed && self->count < line->found_max && event->offset < line->offset;
}

baton_err_t bn_why_line (bn_why_journal_t *self, const bn_why_line_t *line, json_t *found,
                         bn_why_range_t *range)
{
    s_line_t place = {.line = line, .found = found};
    *range = (bn_why_range_t){.from = line->floor, .to = self->tail};
    if (line->offset < range->to)
        range->to = line->offset + 1;
    if (range->to > range->from && range->to - range->from > self->scan_max)
        range->to = range->from + self->scan_max;
    bn_reader_t reader = {.from_kind = BN_FROM_OFFSET,
                          .from = range->from,
                          .upto = range->to,
                          .patience_ms = self->patience_ms,
                          .patterns = line->patterns,
                          .pattern_count = line->pattern_count,
                          .event = s_take_place,
                          .arg = &place};
    baton_err_t err = range->from < range->to ? bn_reader_run (&reader, self->admin) : BATON_OK;
    return !err && place.failed ? BATON_ERR_MEMORY : err;
}
