/* SPDX-License-Identifier: MPL-2.0 */

/*  why.c - `baton why`: where an event is, and what it waits for.
 *
 *  Three sources are joined: STATUS (which actors there are), EXPLAIN (what an event is to one)
 *  and the journal (why_journal.h). All goes into one JSON tree first, which --json prints and
 *  why_text.c turns into sentences, so that the two cannot say different things.  */

#include "base/hash.h"
#include "base/map.h"
#include "cli/cli.h"
#include "cli/connect.h"
#include "cli/options.h"
#include "cli/sample.h"
#include "cli/why_journal.h"
#include "cli/why_text.h"
#include "wire/topic.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_EVENTS_MAX 20 /* unsettled events of a key that are explained: the first ones */

static const char s_about[] =
    "Says where an event is and why: its place in the journal; for each actor whether it is\n"
    "settled, ready and behind how many others, parked until when and behind which elder of its\n"
    "key, or dead, and for what reason; what caused it and what it has caused.\n"
    "WHAT is an event's id, or else a key: then all events of the key that are not settled.";

static const char s_details[] =
    "The journal has no index by id: WHAT is looked for in its last events, as many as --scan "
    "says,\n"
    "and so are causes and effects; the answer tells how far that was. An offset is found at "
    "once.\n"
    "\n"
    "'settled' is also what was discarded, and what is from before the start of an actor that "
    "began\n"
    "later. What is in an instance's hands right now only the instance knows: the first in the "
    "line\n"
    "of a partition is being handled, or about to be. What an attempt before the last one failed\n"
    "for is in the log of the instance.\n"
    "\n"
    "Exit codes: 0 ok, 1 no such event, key or actor, or something failed, 2 wrong usage, 69 no\n"
    "answer from the orchestrator.";

typedef struct {
    bn_connect_options_t connect;
    const char *what;
    const char *actor;
    bool as_offset;
    bool as_key;
    bool as_json;
    uint64_t scan_max;
    bn_admin_t *admin; /* owned */
    uint32_t partitions;
    bn_why_journal_t journal;
    json_t *status; /* owned */
    json_t *report; /* owned */
} s_why_t;

static int s_failed (const s_why_t *self, baton_err_t err)
{
    return bn_failure ("why", err, "%s", bn_sample_error_text (self->admin, err));
}

static int s_put (json_t *object, const char *name, json_t *value)
{
    return json_object_set_new (object, name, value);
}

static json_t *s_number_or_null (uint64_t value)
{
    return value == BN_NO_OFFSET ? json_null () : json_integer ((json_int_t)value);
}

static json_t *s_text_or_null (bn_text_t text)
{
    return text.size ? json_stringn (text.text, text.size) : json_null ();
}

/*  ---- actors ---- */

/*  Those that count at the offset.  */
static size_t s_patterns (const json_t *actor, uint64_t offset,
                          const char *patterns[BN_PATTERNS_MAX])
{
    bool former = offset < (uint64_t)bn_sample_int (actor, "former_until");
    json_t *list = json_object_get (actor, former ? "former_patterns" : "patterns");
    size_t count = 0;
    while (count < BN_PATTERNS_MAX && count < json_array_size (list)) {
        patterns[count] = json_string_value (json_array_get (list, count));
        if (!patterns[count])
            break;
        count++;
    }
    return count;
}

static bool s_is_for (const json_t *actor, uint64_t offset, const char *topic)
{
    const char *patterns[BN_PATTERNS_MAX];
    size_t count = s_patterns (actor, offset, patterns);
    for (size_t i = 0; i < count; i++)
        if (bn_pattern_matches (patterns[i], strlen (patterns[i]), topic, strlen (topic)))
            return true;
    return false;
}

static bool s_is_asked (const s_why_t *self, const json_t *actor)
{
    return !self->actor || strcmp (self->actor, bn_sample_text (actor, "name")) == 0;
}

/*  -1: the actor that was named is there.  */
static int s_check_actor (const s_why_t *self)
{
    size_t i;
    json_t *actor;
    json_array_foreach (json_object_get (self->status, "actors"), i, actor)
    {
        if (s_is_asked (self, actor))
            return -1;
    }
    return self->actor ? bn_failure ("why", BATON_ERR_NOT_FOUND,
                                     "there is no actor %s; 'baton status' lists those there are",
                                     self->actor)
                       : -1;
}

/*  ---- EXPLAIN ---- */

static const char *s_state_name (bn_event_state_t state)
{
    static const char *const names[] = {"not asked", "settled", "ready", "parked", "dead"};
    return names[state];
}

/*  Offsets of the parked events of the key; of those from `after` on (they wait for it).  */
static json_t *s_waiting (const bn_explained_t *it, uint64_t after)
{
    json_t *list = json_array ();
    for (uint32_t i = 0; list && i < it->waiting_count; i++)
        if (it->waiting[i].offset > after)
            json_array_append_new (list, json_integer ((json_int_t)it->waiting[i].offset));
    return list;
}

static json_t *s_explained (const bn_explained_t *it, const json_t *actor, uint64_t offset)
{
    char name[BATON_NAME_BYTES_MAX + 1];
    snprintf (name, sizeof (name), "%.*s", (int)it->instance.size, it->instance.text);
    json_t *answer = json_object ();
    bool failed =
        !answer || s_put (answer, "actor", json_string (bn_sample_text (actor, "name"))) ||
        s_put (answer, "state", json_string (s_state_name (it->state))) ||
        s_put (answer, "attempts", json_integer (it->attempts)) ||
        s_put (answer, "max_attempts", json_integer (bn_sample_int (actor, "max_attempts"))) ||
        s_put (answer, "due_ms", json_integer ((json_int_t)it->due_ms)) ||
        s_put (answer, "reason", s_text_or_null (it->reason)) ||
        s_put (answer, "elder", s_number_or_null (it->elder)) ||
        s_put (answer, "waiting_behind", s_waiting (it, offset)) ||
        s_put (answer, "dead_offset", s_number_or_null (it->dead_offset)) ||
        s_put (answer, "died_us", json_integer ((json_int_t)it->died_us)) ||
        s_put (answer, "floor", json_integer ((json_int_t)it->floor)) ||
        s_put (answer, "ready_in_partition", json_integer ((json_int_t)it->ready)) ||
        s_put (answer, "parked_in_partition", json_integer (it->parked)) ||
        s_put (answer, "parked_max", json_integer (it->parked_max)) ||
        s_put (answer, "careful", json_boolean (it->careful_until > 0)) ||
        s_put (answer, "begun", s_number_or_null (it->begun)) ||
        s_put (answer, "instance", name[0] ? json_string (name) : json_null ()) ||
        s_put (answer, "connected", json_boolean (it->connected)) ||
        s_put (answer, "revoked", json_boolean (it->revoked)) ||
        s_put (answer, "in_flight", json_integer ((json_int_t)it->in_flight));
    if (!failed)
        return answer;
    json_decref (answer);
    return NULL;
}

static baton_err_t s_ask (s_why_t *self, const json_t *actor, uint32_t partition, uint64_t offset,
                          const char *key, const bn_explained_t **it)
{
    const bn_message_t *reply;
    const char *name = bn_sample_text (actor, "name");
    bn_message_t request = {.type = BN_EXPLAIN,
                            .explain = {.actor = {name, strlen (name)},
                                        .partition = partition,
                                        .offset = offset,
                                        .key = {key, strlen (key)}}};
    baton_err_t err = bn_admin_request (self->admin, &request, BN_EXPLAINED, 0, &reply);
    *it = err ? NULL : &reply->explained;
    return err;
}

/*  The reason is in the copy.  */
static baton_err_t s_add_reason (s_why_t *self, json_t *answer)
{
    json_t *copy;
    json_t *dead_offset = json_object_get (answer, "dead_offset");
    if (!json_is_integer (dead_offset))
        return BATON_OK;
    baton_err_t err = bn_why_at (&self->journal, (uint64_t)json_integer_value (dead_offset), &copy);
    json_t *reason = json_object_get (copy, "deadreason");
    if (!err && s_put (answer, "reason", reason ? json_incref (reason) : json_null ()))
        err = BATON_ERR_MEMORY;
    json_decref (copy);
    return err;
}

static bool s_copy (json_t *to, const json_t *from, const char *name)
{
    json_t *value = json_object_get (from, name);
    return s_put (to, name, value ? json_incref (value) : json_null ()) == 0;
}

/*  How many stand before a ready event; null where that is farther than the scan goes.  */
static baton_err_t s_add_place (s_why_t *self, const json_t *actor, const json_t *event,
                                json_t *answer)
{
    const char *patterns[BN_PATTERNS_MAX];
    bn_why_range_t range;
    uint64_t offset = (uint64_t)bn_sample_int (event, "offset");
    bn_why_line_t line = {.patterns = patterns,
                          .pattern_count = s_patterns (actor, offset, patterns),
                          .partition = (uint32_t)bn_sample_int (event, "partition"),
                          .floor = (uint64_t)bn_sample_int (answer, "floor"),
                          .offset = offset,
                          .key = bn_sample_text (event, "key"),
                          .found_max = 1};
    if (strcmp (bn_sample_text (answer, "state"), "ready") != 0)
        return BATON_OK;
    json_t *found = json_array ();
    baton_err_t err = found ? bn_why_line (&self->journal, &line, found, &range) : BATON_ERR_MEMORY;
    const json_t *place = json_array_get (found, 0);
    if (!err && !(s_copy (answer, place, "ahead") && s_copy (answer, place, "ahead_of_key")))
        err = BATON_ERR_MEMORY;
    json_decref (found);
    return err;
}

/*  What the event is to one actor, appended to its "actors".  */
static baton_err_t s_explain_one (s_why_t *self, json_t *event, const json_t *actor)
{
    const bn_explained_t *it;
    uint64_t offset = (uint64_t)bn_sample_int (event, "offset");
    baton_err_t err = s_ask (self, actor, (uint32_t)bn_sample_int (event, "partition"), offset,
                             bn_sample_text (event, "key"), &it);
    if (err)
        return err;
    json_t *answer = s_explained (it, actor, offset);
    if (!answer || json_array_append_new (json_object_get (event, "actors"), answer))
        return BATON_ERR_MEMORY;
    err = s_add_reason (self, answer);
    return err ? err : s_add_place (self, actor, event, answer);
}

static baton_err_t s_explain (s_why_t *self, json_t *event)
{
    size_t i;
    json_t *actor;
    baton_err_t err = s_put (event, "actors", json_array ()) ? BATON_ERR_MEMORY : BATON_OK;
    json_array_foreach (json_object_get (self->status, "actors"), i, actor)
    {
        if (!err && s_is_asked (self, actor) &&
            s_is_for (actor, (uint64_t)bn_sample_int (event, "offset"),
                      bn_sample_text (event, "topic")))
            err = s_explain_one (self, event, actor);
    }
    return err;
}

/*  ---- an event ---- */

static json_t *s_range (bn_why_range_t range)
{
    return json_pack ("{s:I,s:I}", "from", (json_int_t)range.from, "to", (json_int_t)range.to);
}

static baton_err_t s_report_event (s_why_t *self, json_t *event)
{
    char missing[BATON_ID_BYTES_MAX + 1];
    bn_why_range_t range = {0};
    bool more = false;
    json_t *causes = json_array (), *effects = json_array ();
    if (s_put (self->report, "kind", json_string ("event")) ||
        json_object_set (self->report, "event", event) ||
        s_put (self->report, "caused_by", causes) || s_put (self->report, "caused", effects))
        return BATON_ERR_MEMORY;
    baton_err_t err = s_explain (self, event);
    if (!err)
        err = bn_why_causes (&self->journal, event, causes, missing);
    if (!err)
        err = bn_why_effects (&self->journal, event, effects, &range, &more);
    if (!err && (s_put (self->report, "cause_not_found",
                        missing[0] ? json_string (missing) : json_null ()) ||
                 s_put (self->report, "searched_for_effects", s_range (range)) ||
                 s_put (self->report, "more_effects", json_boolean (more))))
        err = BATON_ERR_MEMORY;
    return err;
}

/*  ---- a key ---- */

/*  Notes the key's events that are not settled for one actor, and its dead letters.  */
static baton_err_t s_gather (s_why_t *self, const json_t *actor, uint32_t partition,
                             const char *key, bn_map_t *offsets, json_t *letters)
{
    const char *patterns[BN_PATTERNS_MAX];
    const bn_explained_t *it;
    bn_why_range_t range;
    json_t *event;
    size_t i;
    baton_err_t err = s_ask (self, actor, partition, BN_NO_OFFSET, key, &it);
    if (err)
        return err;
    bool ok = true;
    for (i = 0; ok && i < it->waiting_count; i++)
        ok = bn_map_put_u64 (offsets, it->waiting[i].offset, self, NULL);
    for (i = 0; ok && i < it->letter_count; i++)
        ok = json_array_append_new (
                 letters, json_pack ("{s:s,s:I,s:I,s:I}", "actor", bn_sample_text (actor, "name"),
                                     "dead_offset", (json_int_t)it->letters[i].dead_offset,
                                     "offset", (json_int_t)it->letters[i].offset, "attempts",
                                     (json_int_t)it->letters[i].attempts)) == 0;
    bn_why_line_t line = {.patterns = patterns,
                          .pattern_count = s_patterns (actor, it->floor, patterns),
                          .partition = partition,
                          .floor = it->floor,
                          .offset = BN_NO_OFFSET,
                          .key = key,
                          .found_max = KEY_EVENTS_MAX + 1};
    json_t *found = ok && it->ready ? json_array () : NULL;
    if (found)
        err = bn_why_line (&self->journal, &line, found, &range);
    json_array_foreach (found, i, event)
    {
        ok = ok && bn_map_put_u64 (offsets, (uint64_t)bn_sample_int (event, "offset"), self, NULL);
    }
    json_decref (found);
    return err ? err : ok ? BATON_OK : BATON_ERR_MEMORY;
}

/*  Takes out what is settled: a key's events are many, and those are not what was asked about.  */
static void s_drop_settled (json_t *event)
{
    json_t *actors = json_object_get (event, "actors");
    for (size_t i = json_array_size (actors); i > 0; i--)
        if (strcmp (bn_sample_text (json_array_get (actors, i - 1), "state"), "settled") == 0)
            json_array_remove (actors, i - 1);
}

/*  Explains what was gathered, in journal order.  */
static baton_err_t s_explain_all (s_why_t *self, bn_map_t *offsets, json_t *events)
{
    baton_err_t err = BATON_OK;
    bn_map_node_t *node = bn_map_first (offsets);
    for (; node && !err && json_array_size (events) < KEY_EVENTS_MAX; node = bn_map_next (node)) {
        json_t *event;
        err = bn_why_at (&self->journal, bn_map_key_u64 (node), &event);
        if (!err && event)
            err = s_explain (self, event);
        if (!err && event) {
            s_drop_settled (event);
            if (json_array_append (events, event))
                err = BATON_ERR_MEMORY;
        }
        json_decref (event);
    }
    return err;
}

static baton_err_t s_report_key (s_why_t *self, const json_t *last)
{
    size_t i;
    json_t *actor, *events = json_array (), *letters = json_array ();
    bn_map_t *offsets = bn_map_new ();
    uint32_t partition =
        bn_hash_partition (bn_hash (self->what, strlen (self->what)), self->partitions);
    baton_err_t err = offsets ? BATON_OK : BATON_ERR_MEMORY;
    if (s_put (self->report, "kind", json_string ("key")) ||
        s_put (self->report, "key", json_string (self->what)) ||
        s_put (self->report, "partition", json_integer (partition)) ||
        s_put (self->report, "events", events) || s_put (self->report, "dead_letters", letters) ||
        s_put (self->report, "last", last ? json_deep_copy (last) : json_null ()))
        err = BATON_ERR_MEMORY;
    json_array_foreach (json_object_get (self->status, "actors"), i, actor)
    {
        if (!err && s_is_asked (self, actor))
            err = s_gather (self, actor, partition, self->what, offsets, letters);
    }
    if (!err)
        err = s_explain_all (self, offsets, events);
    if (!err && last)
        err = s_explain (self, json_object_get (self->report, "last"));
    if (!err && s_put (self->report, "more",
                       json_boolean (bn_map_count (offsets) > json_array_size (events))))
        err = BATON_ERR_MEMORY;
    bn_map_destroy (&offsets);
    return err;
}

/*  ---- the command ---- */

static int s_not_found (const s_why_t *self, bn_why_range_t range)
{
    if (self->as_offset)
        return bn_failure ("why", BATON_ERR_NOT_FOUND,
                           "there is no event at offset %s; the journal ends at %" PRIu64,
                           self->what, self->journal.tail);
    return bn_failure ("why", BATON_ERR_NOT_FOUND,
                       "no event with the %s '%s' from offset %" PRIu64 " up to %" PRIu64 "%s",
                       self->as_key ? "key" : "id or the key", self->what, range.from, range.to,
                       range.from > 0 ? "; --scan looks farther back" : "");
}

/*  Finds what was asked about and fills the report. -1: there is something to print.  */
static int s_look (s_why_t *self)
{
    json_t *event = NULL, *last = NULL;
    bn_why_range_t range = {.to = self->journal.tail};
    uint64_t offset = 0;
    baton_err_t err = BATON_OK;
    int code = -1;
    if (self->as_offset) {
        bn_parse_uint (self->what, &offset);
        err = bn_why_at (&self->journal, offset, &event);
    } else if (!self->as_key)
        err =
            bn_why_find (&self->journal, BN_WHY_ID, self->what, self->journal.tail, &range, &event);
    if (!err && !event && !self->as_offset)
        err =
            bn_why_find (&self->journal, BN_WHY_KEY, self->what, self->journal.tail, &range, &last);
    if (!err && event)
        err = s_report_event (self, event);
    else if (!err && !self->as_offset)
        err = s_report_key (self, last);
    if (err)
        code = s_failed (self, err);
    else if (!event && !last && json_array_size (json_object_get (self->report, "events")) == 0 &&
             json_array_size (json_object_get (self->report, "dead_letters")) == 0)
        code = s_not_found (self, range);
    json_decref (event);
    json_decref (last);
    return code;
}

static int s_run (s_why_t *self)
{
    baton_err_t err;
    const bn_welcome_t *welcome = bn_admin_welcome (self->admin);
    if (!welcome)
        return s_failed (self, bn_admin_error (self->admin));
    self->partitions = welcome->partitions;
    self->journal = (bn_why_journal_t){.admin = self->admin,
                                       .patience_ms = (uint32_t)self->connect.timeout_s * 1000,
                                       .journal_id = welcome->journal_id,
                                       .tail = welcome->tail,
                                       .scan_max = self->scan_max};
    self->status = bn_sample_take (self->admin, &err);
    self->report = json_object ();
    if (!self->status || !self->report)
        return s_failed (self, self->status ? BATON_ERR_MEMORY : err);
    int code = s_check_actor (self);
    if (code < 0)
        code = s_look (self);
    if (code >= 0)
        return code;
    char *text = self->as_json ? json_dumps (self->report, JSON_COMPACT) : NULL;
    if (text)
        puts (text);
    else
        bn_why_print (self->report);
    free (text);
    return BN_EXIT_OK;
}

static int s_check_words (s_why_t *self, int count, char **words)
{
    uint64_t offset;
    if (count != 1)
        return bn_usage_error ("why", count ? "one WHAT at a time" : "which event or key?");
    self->what = words[0];
    if (self->as_offset && self->as_key)
        return bn_usage_error ("why", "--offset or --key, not both");
    if (self->as_offset && !bn_parse_uint (self->what, &offset))
        return bn_usage_error ("why", "'%s' is not an offset", self->what);
    if (!self->what[0] || strlen (self->what) > BATON_KEY_BYTES_MAX)
        return bn_usage_error ("why", "an id or a key has 1 to %d bytes", BATON_KEY_BYTES_MAX);
    if (self->actor && !bn_actor_name_valid (self->actor, strlen (self->actor)))
        return bn_usage_error ("why", "'%s' is not an actor's name", self->actor);
    return -1;
}

int bn_cli_why (int argc, char **argv)
{
    s_why_t self = {.scan_max = 1000000};
    const bn_option_t table[] = {
        {"actor", 'a', BN_OPTION_TEXT, &self.actor, "NAME",
         "only this actor (default: all that are registered for the topic)", 0, 0},
        {"key", 'k', BN_OPTION_FLAG, &self.as_key, NULL, "WHAT is a key, even if an id reads so", 0,
         0},
        {"offset", 'o', BN_OPTION_FLAG, &self.as_offset, NULL, "WHAT is an offset", 0, 0},
        {"scan", 0, BN_OPTION_UINT, &self.scan_max, "EVENTS",
         "how many events each search looks at (default: 1000000)", 1, 0},
        BN_CONNECT_OPTIONS (&self.connect),
        BN_JSON_OPTION (&self.as_json),
    };
    const bn_command_t command = {.usage = "why [OPTION]... WHAT",
                                  .about = s_about,
                                  .details = s_details,
                                  .options = table,
                                  .option_count = sizeof (table) / sizeof (table[0])};
    int first;
    bn_connect_options_init (&self.connect);
    int code = bn_options_parse (&command, argc, argv, &first);
    if (code < 0)
        code = s_check_words (&self, argc - first, argv + first);
    if (code >= 0)
        return code;
    code = bn_connect (&self.admin, "why", &self.connect);
    if (code >= 0)
        return code;
    code = s_run (&self);
    json_decref (self.status);
    json_decref (self.report);
    bn_admin_destroy (&self.admin);
    return code;
}
