/* SPDX-License-Identifier: MPL-2.0 */

/*  logs.c - `baton logs`: what the instances of a `baton up` have printed, by time.  */

#include "cli/cli.h"
#include "cli/log_files.h"
#include "cli/options.h"
#include "shell/printable.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FOLLOW_MS   200 /* between two looks for more */
#define RESCAN_MS   1000
#define SOURCES_MAX 4096 /* names in a directory */

static const char s_about[] = "Prints what the instances of a `baton up` have printed, merged by "
                              "time: of all of them, of an\n"
                              "actor (payment), or of one instance (payment-2). `up` is what a "
                              "detached `baton up` itself has\n"
                              "said. Also after it has ended: the lines are in DIR/logs.";

static const char s_details[] =
    "A name that has printed nothing has no logs; with --follow it is waited for.\n\n"
    "Exit codes: 0 done, 1 there are no such logs, 2 wrong usage.";

typedef struct {
    const char *directory;    /* with the logs */
    const char *const *names; /* wanted; none: all */
    size_t name_count;
    bool as_json;
    bool colour;
    bn_log_files_t *sources[SOURCES_MAX]; /* owned */
    size_t source_count;
    bool dry[SOURCES_MAX]; /* has nothing more for this round */
    int width;             /* of the names */
    bool is_terminal;
    char clean[BN_LOG_LINE_BYTES_MAX + BN_PRINTABLE_ROOM];
} s_logs_t;

/*  An instance, or all of those of an actor.  */
static bool s_is_wanted (const s_logs_t *self, const char *name)
{
    for (size_t i = 0; i < self->name_count; i++) {
        size_t size = strlen (self->names[i]);
        if (strncmp (name, self->names[i], size))
            continue;
        if (!name[size])
            return true;
        const char *digits = name + size + 1;
        if (name[size] == '-' && *digits && digits[strspn (digits, "0123456789")] == 0)
            return true;
    }
    return self->name_count == 0;
}

static bool s_is_known (const s_logs_t *self, const char *name)
{
    for (size_t i = 0; i < self->source_count; i++)
        if (!strcmp (bn_log_files_name (self->sources[i]), name))
            return true;
    return false;
}

/*  Adds the names that are not known yet. False with errno.  */
static bool s_scan (s_logs_t *self)
{
    DIR *directory = opendir (self->directory);
    struct dirent *entry;
    if (!directory)
        return false;
    while ((entry = readdir (directory)) && self->source_count < SOURCES_MAX) {
        char name[BN_LOGBOOK_NAME_MAX + 1];
        size_t size = strlen (entry->d_name);
        if (size < 5 || strcmp (entry->d_name + size - 4, ".log") || size - 4 >= sizeof (name))
            continue;
        snprintf (name, sizeof (name), "%.*s", (int)size - 4, entry->d_name);
        if (!s_is_wanted (self, name) || s_is_known (self, name))
            continue;
        bn_log_files_t *source = bn_log_files_new (self->directory, name);
        if (!source)
            break;
        self->sources[self->source_count++] = source;
        self->width = (int)(size - 4) > self->width ? (int)(size - 4) : self->width;
    }
    closedir (directory);
    return true;
}

static void s_print_json (const char *name, const bn_log_line_t *line)
{
    const char *text = line->line + line->text;
    size_t size = line->size - line->text;
    json_t *entry = json_loadb (text, size, JSON_REJECT_DUPLICATES, NULL);
    json_t *object = json_is_object (entry) ? json_pack ("{s:s, s:s, s:O}", "instance", name,
                                                         "time", line->time, "entry", entry)
                                            : json_pack ("{s:s, s:s, s:s%}", "instance", name,
                                                         "time", line->time, "text", text, size);
    /*  What is not UTF-8 has no place in JSON.  */
    if (!object)
        object = json_pack ("{s:s, s:s, s:s}", "instance", name, "time", line->time, "text",
                            "(a line that is not UTF-8)");
    char *dump = object ? json_dumps (object, JSON_COMPACT) : NULL;
    puts (dump ? dump : "{}");
    free (dump);
    json_decref (object);
    json_decref (entry);
}

static void s_print (s_logs_t *self, const char *name, const bn_log_line_t *line)
{
    unsigned hue = 0;
    if (self->as_json) {
        s_print_json (name, line);
        return;
    }
    for (const char *at = name; *at && !isdigit ((unsigned char)*at); at++)
        hue = hue * 31 + (unsigned char)*at;
    if (self->colour)
        printf ("\033[3%um%-*s |\033[0m ", 1 + hue % 6, self->width, name);
    else
        printf ("%-*s | ", self->width, name);
    const char *text = line->line;
    size_t size = line->size;
    if (self->is_terminal) {
        size = bn_printable (self->clean, sizeof (self->clean), text, size, true);
        text = self->clean;
    }
    fwrite (text, 1, size, stdout);
    putchar ('\n');
}

/*  Prints everything that is there, the earliest first, but for the first `skip` lines. A source
 *  that has nothing more is not asked again: that costs system calls, and there may be many.  */
static void s_drain (s_logs_t *self, uint64_t skip)
{
    memset (self->dry, 0, sizeof (self->dry));
    while (!ferror (stdout)) {
        bn_log_files_t *first = NULL;
        const bn_log_line_t *earliest = NULL;
        for (size_t i = 0; i < self->source_count; i++) {
            const bn_log_line_t *line = self->dry[i] ? NULL : bn_log_files_peek (self->sources[i]);
            self->dry[i] = !line;
            if (line && (!earliest || strcmp (line->time, earliest->time) < 0)) {
                earliest = line;
                first = self->sources[i];
            }
        }
        if (!earliest)
            break;
        if (skip > 0)
            skip--;
        else
            s_print (self, bn_log_files_name (first), earliest);
        bn_log_files_next (first);
    }
    fflush (stdout);
}

static void s_follow (s_logs_t *self)
{
    struct timespec pause = {.tv_nsec = FOLLOW_MS * 1000000};
    for (int looks = 1; !ferror (stdout); looks++) {
        nanosleep (&pause, NULL);
        if (looks % (RESCAN_MS / FOLLOW_MS) == 0)
            s_scan (self); /* the directory may come back */
        s_drain (self, 0);
    }
}

static bool s_is_there (const s_logs_t *self, const char *name)
{
    s_logs_t one = {.names = &name, .name_count = 1};
    for (size_t i = 0; i < self->source_count; i++)
        if (s_is_wanted (&one, bn_log_files_name (self->sources[i])))
            return true;
    return false;
}

static int s_logs (s_logs_t *self, bool follow, uint64_t lines)
{
    uint64_t found = 0;
    if (!s_scan (self))
        return bn_failure ("logs", BATON_OK, "%s: %s%s", self->directory, strerror (errno),
                           errno == ENOENT ? " (has a `baton up` run with this --data-dir?)" : "");
    for (size_t i = 0; i < self->name_count; i++) {
        if (s_is_there (self, self->names[i]))
            continue;
        if (!follow)
            return bn_failure ("logs", BATON_OK,
                               "%s: there are no logs of '%s': it has printed nothing, or there "
                               "is no such instance or actor",
                               self->directory, self->names[i]);
        bn_failure ("logs", BATON_OK, "%s: there are no logs of '%s' yet; waiting", self->directory,
                    self->names[i]);
    }
    for (size_t i = 0; lines != UINT64_MAX && i < self->source_count; i++)
        found += bn_log_files_tail (self->sources[i], lines);
    s_drain (self, found > lines ? found - lines : 0);
    if (follow)
        s_follow (self);
    return BN_EXIT_OK;
}

int bn_cli_logs (int argc, char **argv)
{
    const char *data_dir = BN_DEFAULT_DATA_DIR;
    uint64_t lines = UINT64_MAX;
    bool follow = false, as_json = false;
    const bn_option_t table[] = {
        {"follow", 'f', BN_OPTION_FLAG, &follow, NULL, "go on with what is printed from now on", 0,
         0},
        {"lines", 'n', BN_OPTION_UINT, &lines, "N", "the last N lines only", 0, 1000000000},
        {"data-dir", 'd', BN_OPTION_TEXT, &data_dir, "DIR",
         "data directory of the `baton up` (default: " BN_DEFAULT_DATA_DIR ")", 0, 0},
        BN_JSON_OPTION (&as_json),
    };
    const bn_command_t command = {.usage = "logs [OPTION]... [NAME]...",
                                  .about = s_about,
                                  .details = s_details,
                                  .options = table,
                                  .option_count = sizeof (table) / sizeof (table[0])};
    char *directory;
    int first;
    int code = bn_options_parse (&command, argc, argv, &first);
    if (code >= 0)
        return code;
    s_logs_t *logs = calloc (1, sizeof (*logs));
    if (!logs || asprintf (&directory, "%s/logs", data_dir) < 0) {
        free (logs);
        return bn_failure ("logs", BATON_ERR_MEMORY, "%s", baton_err_text (BATON_ERR_MEMORY));
    }
    logs->directory = directory;
    logs->names = (const char *const *)argv + first;
    logs->name_count = (size_t)(argc - first);
    logs->as_json = as_json;
    logs->is_terminal = isatty (STDOUT_FILENO);
    logs->colour = logs->is_terminal && !getenv ("NO_COLOR");
    code = s_logs (logs, follow, lines);
    while (logs->source_count)
        bn_log_files_destroy (&logs->sources[--logs->source_count]);
    free (directory);
    free (logs);
    return code;
}
