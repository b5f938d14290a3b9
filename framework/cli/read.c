/* SPDX-License-Identifier: MPL-2.0 */

/*  read.c - `baton read`: events from the journal as JSON lines.  */

#include "cli/cli.h"
#include "cli/connect.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/reader.h"
#include "shell/clock.h"
#include "wire/topic.h"
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES_MAX (16 * 1024 * 1024)

static const char s_about[] =
    "Prints events from the journal in the order of their offsets, one JSON object a line, in the\n"
    "CloudEvents 1.0 JSON format: type is the topic, subject the key; offset and partition are\n"
    "added. MessagePack data is printed as JSON: integers above 2^63 - 1 as strings of digits,\n"
    "binaries as base64, and datacontenttype says application/json.\n"
    "Stops at what was the end of the journal when it began, or goes on with --follow.";

static const char s_details[] =
    "FROM is one of\n"
    "  beginning     what the journal still holds (default without --follow)\n"
    "  tail          what comes from now on (default with --follow)\n"
    "  1234          an offset\n"
    "  2026-01-31T12:00:00Z, 2026-01-31     a time, UTC unless it says +hh:mm\n"
    "  90s, 10m, 2h, 7d                     that long ago\n"
    "With a time: what entered the journal then or later, whatever an event's own time says.\n"
    "\n"
    "A pattern is a topic in which * stands for one word and a last > for one or more. Without\n"
    "--topic: every topic, also $dead.ACTOR, where dead letters are.\n"
    "\n"
    "A refusal that may pass, such as UNREADABLE, is tried again until --timeout; with --follow "
    "for\n"
    "as long as it takes.\n"
    "\n"
    "Exit codes: 0 ok, 1 something failed, 2 wrong usage, 69 no answer from the orchestrator.";

typedef struct {
    uint64_t count_max; /* 0: no limit */
    uint64_t count;
    bool flush; /* each line: somebody is waiting for it */
    bn_buffer_t line;
    int error; /* errno of standard output */
    bool too_long;
} s_printer_t;

static bool s_print (const bn_read_event_t *event, void *arg)
{
    s_printer_t *self = arg;
    bn_buffer_clear (&self->line);
    bn_json_put_event (&self->line, event->topic, event->partition, event->offset, &event->fields);
    bn_buffer_append (&self->line, "\n", 1);
    if (self->line.failed) {
        fprintf (stderr, "baton read: the event at offset %" PRIu64 " is too long to be printed\n",
                 event->offset);
        self->too_long = true;
        return true;
    }
    errno = 0;
    if (fwrite (bn_buffer_data (&self->line), 1, self->line.size, stdout) != self->line.size ||
        (self->flush && fflush (stdout))) {
        self->error = errno ? errno : EIO;
        return false;
    }
    self->count++;
    return !self->count_max || self->count < self->count_max;
}

/*  What --from says; false after a message.  */
static bool s_from (const char *text, bn_reader_t *reader, const bn_welcome_t *welcome)
{
    int64_t time_us;
    if (!text)
        text = reader->follow ? "tail" : "beginning";
    reader->from_kind = BN_FROM_OFFSET;
    if (!strcmp (text, "beginning"))
        reader->from = 0;
    else if (!strcmp (text, "tail"))
        reader->from = welcome ? welcome->tail : 0;
    else if (bn_parse_uint (text, &reader->from))
        ;
    else if (bn_parse_time (text, (int64_t)bn_clock_now ().wall_us, &time_us)) {
        reader->from_kind = BN_FROM_TIME;
        reader->from = (uint64_t)time_us;
    } else {
        bn_usage_error ("read", "--from takes beginning, tail, an offset or a time, not '%s'",
                        text);
        return false;
    }
    return true;
}

static int s_read (const bn_connect_options_t *connect, bn_reader_t *reader, const char *from)
{
    s_printer_t *printer = reader->arg;
    bn_admin_t *admin;
    int code = bn_connect (&admin, "read", connect);
    if (code >= 0)
        return code;
    const bn_welcome_t *welcome = bn_admin_welcome (admin);
    if (!welcome) {
        code = bn_failure ("read", bn_admin_error (admin), "%s", bn_admin_error_text (admin));
        bn_admin_destroy (&admin);
        return code;
    }
    s_from (from, reader, welcome);
    reader->upto = reader->follow ? BN_NO_OFFSET : welcome->tail;
    reader->patience_ms = (uint32_t)connect->timeout_s * 1000;
    baton_err_t err = reader->upto ? bn_reader_run (reader, admin) : BATON_OK;

    code = BN_EXIT_OK;
    if (fflush (stdout) && !printer->error)
        printer->error = errno;
    clearerr (stdout); /* is told here, and a reader that has gone is none */
    if (err)
        code = bn_failure ("read", err, "%s",
                           bn_admin_error (admin) == err ? bn_admin_error_text (admin)
                                                         : baton_err_text (err));
    else if (printer->error && printer->error != EPIPE)
        code = bn_failure ("read", BATON_OK, "standard output: %s", strerror (printer->error));
    else if (printer->too_long)
        code = BN_EXIT_FAILED;
    bn_admin_destroy (&admin);
    return code;
}

int bn_cli_read (int argc, char **argv)
{
    bn_connect_options_t connect;
    bn_option_list_t topics = {.count = 0};
    s_printer_t printer = {.count_max = 0};
    bn_reader_t reader = {.event = s_print, .arg = &printer};
    const char *from = NULL;
    bool as_json = true;
    const bn_option_t table[] = {
        {"topic", 't', BN_OPTION_LIST, &topics, "PATTERN", "only these topics; may be repeated", 0,
         0},
        {"from", 'f', BN_OPTION_TEXT, &from, "FROM", "where to start, see below", 0, 0},
        {"count", 'n', BN_OPTION_UINT, &printer.count_max, "N", "stop after N events", 1, 0},
        {"follow", 'F', BN_OPTION_FLAG, &reader.follow, NULL, "wait for more at the end", 0, 0},
        BN_CONNECT_OPTIONS (&connect),
        {"json", 0, BN_OPTION_FLAG, &as_json, NULL, "print JSON lines (it always does)", 0, 0},
    };
    const bn_command_t command = {.usage = "read [OPTION]...",
                                  .about = s_about,
                                  .details = s_details,
                                  .options = table,
                                  .option_count = sizeof (table) / sizeof (table[0])};
    int first;
    bn_connect_options_init (&connect);
    int code = bn_options_parse (&command, argc, argv, &first);
    if (code >= 0)
        return code;
    if (first < argc)
        return bn_usage_error ("read", "what is '%s'? topics go with --topic", argv[first]);
    for (size_t i = 0; i < topics.count; i++)
        if (!bn_pattern_valid (topics.items[i], strlen (topics.items[i])))
            return bn_usage_error ("read", "'%s' is not a topic or pattern", topics.items[i]);
    if (!s_from (from, &reader, NULL))
        return BN_EXIT_USAGE;
    reader.patterns = topics.items;
    reader.pattern_count = topics.count;
    printer.flush = reader.follow || isatty (STDOUT_FILENO);
    signal (SIGPIPE, SIG_IGN);
    bn_buffer_init (&printer.line, LINE_BYTES_MAX);
    code = s_read (&connect, &reader, from);
    bn_buffer_fini (&printer.line);
    return code;
}
