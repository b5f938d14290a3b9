/* SPDX-License-Identifier: MPL-2.0 */

/*  dead.c - `baton dead`: events that were given up.  */

#include "cli/cli.h"
#include "cli/connect.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/reader.h"
#include "shell/printable.h"
#include "wire/topic.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_MAX       1000 /* letters of one answer */
#define OFFSETS_MAX    100000
#define LINE_BYTES_MAX (16 * 1024 * 1024)
#define TEXT_BYTES_MAX 4096 /* of a cell; a longer text is cut */

static const char s_about[] =
    "Dead letters are events that ACTOR rejected, or gave up after its last attempt, or that "
    "ended\n"
    "its process too often. Each is kept in the topic $dead.ACTOR with the reason; OFFSET is its\n"
    "place there (the first column of list).\n"
    "\n"
    "  list      one line each\n"
    "  show      everything about some\n"
    "  redrive   gives them to ACTOR again: in order, all that are named or none; attempts start\n"
    "            anew\n"
    "  discard   takes them off the list, for good";

static const char s_details[] =
    "redrive and discard need OFFSETs or --all; discard asks first, on a terminal.\n"
    "\n"
    "Exit codes: 0 ok, 1 refused (no such actor, no such dead letter), 2 wrong usage, 69 no "
    "answer\n"
    "from the orchestrator.";

typedef struct {
    bn_connect_options_t connect;
    bool all;
    bool dry_run;
    bool as_json;
    bool yes;
    const char *actor;
    char topic[BATON_NAME_BYTES_MAX + 16]; /* $dead.ACTOR */
    uint64_t *offsets;                     /* owned */
    size_t offset_count;
    bn_admin_t *admin; /* owned */
} s_dead_t;

/*  What is printed of a page: its letters, and the events as they are read.  */
typedef struct {
    const s_dead_t *dead;
    bn_dead_letter_t letters[PAGE_MAX];
    uint32_t count;
    uint32_t at;   /* the next one whose event has not come yet */
    bool as_event; /* show: the whole event */
    bn_buffer_t line;
} s_page_t;

static int s_refused (const s_dead_t *self, baton_err_t err)
{
    return bn_failure ("dead", err, "%s",
                       bn_admin_error (self->admin) == err ? bn_admin_error_text (self->admin)
                                                           : baton_err_text (err));
}

static bn_text_t s_ext (const bn_event_fields_t *fields, const char *name)
{
    bn_text_t value = {.text = "", .size = 0};
    if (fields && fields->ext)
        bn_ext_get (fields->ext, fields->ext_size, name, &value);
    return value;
}

/*  Topics are checked, keys and reasons are what somebody made them.  */
static void s_print_cell (bn_text_t text, int width)
{
    char clean[TEXT_BYTES_MAX + BN_PRINTABLE_ROOM];
    bn_printable (clean, sizeof (clean), text.text, text.size, false);
    printf ("  %-*s", width, clean);
}

static void s_print_row (s_page_t *self, const bn_dead_letter_t *letter,
                         const bn_event_fields_t *fields)
{
    bn_text_t none = {.text = "", .size = 0};
    bn_text_t topic = s_ext (fields, "deadtopic"), reason = s_ext (fields, "deadreason");
    bn_text_t key = fields ? fields->key : none;
    char time_text[40];
    bn_json_time ((int64_t)letter->time_us, time_text);
    if (!self->dead->as_json) {
        strcpy (time_text + 19, "Z"); /* whole seconds are enough for people */
        printf ("%12" PRIu64 "  %12" PRIu64 "  %8" PRIu32 "  %s", letter->dead_offset,
                letter->offset, letter->attempts, time_text);
        s_print_cell (topic, 24);
        s_print_cell (key, 16);
        s_print_cell (reason, 0);
        puts ("");
        return;
    }
    bn_buffer_clear (&self->line);
    bn_json_put_raw (&self->line,
                     "{\"dead_offset\":%" PRIu64 ",\"offset\":%" PRIu64 ",\"partition\":%" PRIu32
                     ",\"attempts\":%" PRIu32 ",\"time\":\"%s\",\"topic\":",
                     letter->dead_offset, letter->offset, letter->partition, letter->attempts,
                     time_text);
    bn_json_put_text (&self->line, topic.text, topic.size);
    bn_json_put_raw (&self->line, ",\"key\":");
    bn_json_put_text (&self->line, key.text, key.size);
    bn_json_put_raw (&self->line, ",\"reason\":");
    bn_json_put_text (&self->line, reason.text, reason.size);
    bn_json_put_raw (&self->line, "}\n");
    fwrite (bn_buffer_data (&self->line), 1, self->line.size, stdout);
}

/*  Line by line: jansson lets DEL and C1 pass.  */
static void s_print_lines (const char *text)
{
    char *clean = malloc (strlen (text) + BN_PRINTABLE_ROOM);
    while (clean && *text) {
        size_t size = strcspn (text, "\n");
        bn_printable (clean, size + BN_PRINTABLE_ROOM, text, size, false);
        puts (clean);
        text += size + (text[size] == '\n');
    }
    free (clean);
}

static void s_print_event (s_page_t *self, const bn_read_event_t *event)
{
    bn_buffer_clear (&self->line);
    bn_json_put_event (&self->line, event->topic, event->partition, event->offset, &event->fields);
    const char *text = (const char *)bn_buffer_data (&self->line);
    json_t *value = self->dead->as_json || self->line.failed
                        ? NULL
                        : json_loadb (text, self->line.size, 0, NULL);
    char *pretty = value ? json_dumps (value, JSON_INDENT (2) | JSON_REAL_PRECISION (15)) : NULL;
    if (pretty)
        s_print_lines (pretty);
    else if (!self->line.failed)
        printf ("%.*s\n", (int)self->line.size, text);
    free (pretty);
    json_decref (value);
}

static bool s_take_event (const bn_read_event_t *event, void *arg)
{
    s_page_t *self = arg;
    while (self->at < self->count && self->letters[self->at].dead_offset < event->offset)
        s_print_row (self, &self->letters[self->at++], NULL); /* its event is not there any more */
    if (self->at < self->count && self->letters[self->at].dead_offset == event->offset) {
        if (self->as_event)
            s_print_event (self, event);
        else
            s_print_row (self, &self->letters[self->at], &event->fields);
        self->at++;
    }
    return self->at < self->count;
}

/*  Reads the events of a page's letters and prints them.  */
static baton_err_t s_print_page (s_dead_t *self, s_page_t *page)
{
    const char *pattern = self->topic;
    bn_reader_t reader = {.from_kind = BN_FROM_OFFSET,
                          .from = page->letters[0].dead_offset,
                          .upto = page->letters[page->count - 1].dead_offset + 1,
                          .patience_ms = (uint32_t)self->connect.timeout_s * 1000,
                          .patterns = &pattern,
                          .pattern_count = 1,
                          .event = s_take_event,
                          .arg = page};
    page->at = 0;
    baton_err_t err = bn_reader_run (&reader, self->admin);
    while (!err && !page->as_event && page->at < page->count)
        s_print_row (page, &page->letters[page->at++], NULL);
    return err;
}

/*  One page of the list, from a dead offset on.  */
static baton_err_t s_fetch_page (s_dead_t *self, uint64_t from, uint32_t count_max, s_page_t *page,
                                 bool *more)
{
    const bn_message_t *reply;
    bn_message_t request = {.type = BN_DEAD,
                            .dead = {.op = BN_DEAD_LIST,
                                     .actor = {.text = self->actor, .size = strlen (self->actor)},
                                     .from = from,
                                     .count_max = count_max}};
    baton_err_t err = bn_admin_request (self->admin, &request, BN_DEAD_REPLY, 0, &reply);
    if (err)
        return err;
    page->count =
        reply->dead_reply.letter_count < PAGE_MAX ? reply->dead_reply.letter_count : PAGE_MAX;
    if (page->count)
        memcpy (page->letters, reply->dead_reply.letters, page->count * sizeof (*page->letters));
    *more = reply->dead_reply.more && page->count > 0;
    return BATON_OK;
}

static int s_list (s_dead_t *self, s_page_t *page)
{
    uint64_t from = 0;
    bool more = true, first = true;
    while (more) {
        baton_err_t err = s_fetch_page (self, from, PAGE_MAX, page, &more);
        if (!err && page->count) {
            if (first && !self->as_json)
                printf ("%12s  %12s  %8s  %-20s  %-24s  %-16s  %s\n", "OFFSET", "EVENT", "ATTEMPTS",
                        "GIVEN UP", "TOPIC", "KEY", "REASON");
            first = false;
            from = page->letters[page->count - 1].dead_offset + 1;
            err = s_print_page (self, page);
        }
        if (err)
            return s_refused (self, err);
    }
    if (first && !self->as_json)
        printf ("%s has no dead letters\n", self->actor);
    return BN_EXIT_OK;
}

static int s_show (s_dead_t *self, s_page_t *page)
{
    int code = BN_EXIT_OK;
    bool more;
    page->as_event = true;
    for (size_t i = 0; i < self->offset_count; i++) {
        baton_err_t err = s_fetch_page (self, self->offsets[i], 1, page, &more);
        if (err)
            return s_refused (self, err);
        if (!page->count || page->letters[0].dead_offset != self->offsets[i]) {
            code = bn_failure ("dead", BATON_OK, "%s has no dead letter %" PRIu64, self->actor,
                               self->offsets[i]);
            continue;
        }
        err = s_print_page (self, page);
        if (err)
            return s_refused (self, err);
        if (page->at == 0)
            code = bn_failure ("dead", BATON_OK, "the event of dead letter %" PRIu64 " is gone",
                               self->offsets[i]);
    }
    return code;
}

static int s_change (s_dead_t *self, bn_dead_op_t op)
{
    const char *done = op == BN_DEAD_REDRIVE ? "redriven" : "discarded";
    const bn_message_t *reply;
    if (op == BN_DEAD_DISCARD && !self->dry_run && !self->yes &&
        !bn_confirm ("Discard dead letters of %s, for good?", self->actor))
        return bn_failure ("dead", BATON_OK, "nothing was done");
    bn_message_t request = {.type = BN_DEAD,
                            .dead = {.op = op,
                                     .actor = {.text = self->actor, .size = strlen (self->actor)},
                                     .dry_run = self->dry_run,
                                     .offsets = self->offsets,
                                     .offset_count = (uint32_t)self->offset_count}};
    baton_err_t err = bn_admin_request (self->admin, &request, BN_DEAD_REPLY, 0, &reply);
    if (err)
        return s_refused (self, err);
    const bn_dead_reply_t *answer = &reply->dead_reply;
    if (!self->as_json) {
        printf ("%" PRIu64 " dead letter%s of %s %s %s\n", answer->affected,
                answer->affected == 1 ? "" : "s", self->actor,
                self->dry_run           ? "would be"
                : answer->affected == 1 ? "was"
                                        : "were",
                done);
        return BN_EXIT_OK;
    }
    printf ("{\"actor\":\"%s\",\"dry_run\":%s,\"%s\":%" PRIu64 ",\"dead_offsets\":[", self->actor,
            self->dry_run ? "true" : "false", done, answer->affected);
    for (uint32_t i = 0; i < answer->letter_count; i++)
        printf ("%s%" PRIu64, i ? "," : "", answer->letters[i].dead_offset);
    printf ("],\"more\":%s}\n", answer->affected > answer->letter_count ? "true" : "false");
    return BN_EXIT_OK;
}

static int s_run (s_dead_t *self, const char *verb)
{
    int code = bn_connect (&self->admin, "dead", &self->connect);
    if (code >= 0)
        return code;
    s_page_t *page = calloc (1, sizeof (*page));
    if (!page)
        code = bn_failure ("dead", BATON_ERR_MEMORY, "out of memory");
    else {
        page->dead = self;
        bn_buffer_init (&page->line, LINE_BYTES_MAX);
        if (!strcmp (verb, "list"))
            code = s_list (self, page);
        else if (!strcmp (verb, "show"))
            code = s_show (self, page);
        else
            code = s_change (self, !strcmp (verb, "redrive") ? BN_DEAD_REDRIVE : BN_DEAD_DISCARD);
        bn_buffer_fini (&page->line);
    }
    free (page);
    bn_admin_destroy (&self->admin);
    return code;
}

static int s_compare (const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/*  Operands after the verb: an actor and offsets; -1: go on.  */
static int s_operands (s_dead_t *self, const char *verb, int count, char **words)
{
    static const char *const verbs[] = {"list", "show", "redrive", "discard"};
    bool known = false;
    for (size_t i = 0; i < 4; i++)
        known = known || !strcmp (verb, verbs[i]);
    if (!known)
        return bn_usage_error ("dead", "'%s' is none of list, show, redrive, discard", verb);
    if (count == 0)
        return bn_usage_error ("dead", "%s: which ACTOR?", verb);
    self->actor = words[0];
    if (!bn_actor_name_valid (self->actor, strlen (self->actor)))
        return bn_usage_error ("dead", "'%s' is not an actor's name", self->actor);
    snprintf (self->topic, sizeof (self->topic), "$dead.%s", self->actor);
    if (count - 1 > OFFSETS_MAX)
        return bn_usage_error ("dead", "more than %d offsets", OFFSETS_MAX);
    self->offsets = calloc ((size_t)count, sizeof (*self->offsets));
    if (!self->offsets)
        return bn_failure ("dead", BATON_ERR_MEMORY, "out of memory");
    for (int i = 1; i < count; i++)
        if (!bn_parse_uint (words[i], &self->offsets[self->offset_count++]))
            return bn_usage_error ("dead", "'%s' is not an offset", words[i]);
    qsort (self->offsets, self->offset_count, sizeof (*self->offsets), s_compare);

    if (!strcmp (verb, "list"))
        return self->offset_count || self->all
                   ? bn_usage_error ("dead", "list takes an ACTOR and nothing else")
                   : -1;
    if (!strcmp (verb, "show"))
        return !self->offset_count || self->all ? bn_usage_error ("dead", "show which OFFSETs?")
                                                : -1;
    if (self->all == (self->offset_count > 0))
        return bn_usage_error ("dead", "%s takes either OFFSETs or --all", verb);
    return -1;
}

int bn_cli_dead (int argc, char **argv)
{
    s_dead_t self = {.all = false};
    const bn_option_t table[] = {
        {"all", 'a', BN_OPTION_FLAG, &self.all, NULL, "all dead letters of ACTOR", 0, 0},
        {"dry-run", 'n', BN_OPTION_FLAG, &self.dry_run, NULL, "only say what would be done", 0, 0},
        {"yes", 'y', BN_OPTION_FLAG, &self.yes, NULL, "do not ask", 0, 0},
        BN_CONNECT_OPTIONS (&self.connect),
        BN_JSON_OPTION (&self.as_json),
    };
    const bn_command_t command = {.usage = "dead list [OPTION]... ACTOR\n"
                                           "dead show [OPTION]... ACTOR OFFSET...\n"
                                           "dead redrive [OPTION]... ACTOR OFFSET...|--all\n"
                                           "dead discard [OPTION]... ACTOR OFFSET...|--all",
                                  .about = s_about,
                                  .details = s_details,
                                  .options = table,
                                  .option_count = sizeof (table) / sizeof (table[0])};
    int first;
    bn_connect_options_init (&self.connect);
    int code = bn_options_parse (&command, argc, argv, &first);
    if (code >= 0)
        return code;
    if (first == argc)
        return bn_usage_error ("dead", "list, show, redrive or discard?");
    code = s_operands (&self, argv[first], argc - first - 1, argv + first + 1);
    if (code < 0)
        code = s_run (&self, argv[first]);
    free (self.offsets);
    return code;
}
