/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/up_output.h"
#include "shell/clock.h"
#include "shell/printable.h"
#include "supervisor/process.h"
#include <baton/event.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static void s_write (bn_up_output_t *self, const struct iovec *parts, int count)
{
    while (writev (STDOUT_FILENO, parts, count) < 0) {
        if (errno == EINTR)
            continue;
        self->closed = true; /* the reader has gone; what runs goes on */
        return;
    }
}

/*  {"instance": "payment-1", "entry": {...}} around a line that is a JSON object itself,
 *  {"instance": ..., "text": "..."} around any other.  */
static void s_json_line (bn_up_output_t *self, const char *name, const char *line, size_t size)
{
    json_t *entry = json_loadb (line, size, JSON_REJECT_DUPLICATES, NULL);
    bool is_object = json_is_object (entry);
    json_t *object = is_object ? json_pack ("{s:s, s:O}", "instance", name, "entry", entry)
                               : json_pack ("{s:s, s:s%}", "instance", name, "text", line, size);
    /*  What is not UTF-8 has no place in JSON, and no lesser one here.  */
    if (!object)
        object = json_pack ("{s:s, s:s}", "instance", name, "text", "(a line that is not UTF-8)");
    char *text = object ? json_dumps (object, JSON_COMPACT) : NULL;
    if (text) {
        struct iovec parts[2] = {{.iov_base = text, .iov_len = strlen (text)},
                                 {.iov_base = (void *)(uintptr_t) "\n", .iov_len = 1}};
        s_write (self, parts, 2);
    }
    free (text);
    json_decref (object);
    json_decref (entry);
}

/*  One write for a line: those of several processes on the same terminal do not mix.  */
void bn_up_output_line (bn_up_output_t *self, const char *service, uint32_t slot, const char *line,
                        size_t size)
{
    char prefix[128];
    unsigned hue = 0;
    for (const char *at = service; *at; at++)
        hue = hue * 31 + (unsigned char)*at;
    char name[BATON_NAME_BYTES_MAX + 16];
    snprintf (name, sizeof (name), "%s-%" PRIu32, service, slot);
    if (self->logbook)
        bn_logbook_write (self->logbook, name, bn_clock_wall_us (), line, size);
    if (self->closed || self->quiet)
        return;
    if (self->as_json) {
        s_json_line (self, name, line, size);
        return;
    }
    int prefix_size =
        self->colour ? snprintf (prefix, sizeof (prefix), "\033[3%um%-*s |\033[0m ", 1 + hue % 6,
                                 (int)self->name_width, name)
                     : snprintf (prefix, sizeof (prefix), "%-*s | ", (int)self->name_width, name);
    char clean[BN_PROCESS_LINE_BYTES_MAX + BN_PRINTABLE_ROOM];
    if (isatty (STDOUT_FILENO)) {
        size = bn_printable (clean, sizeof (clean), line, size, true);
        line = clean;
    }
    struct iovec parts[3] = {{.iov_base = prefix, .iov_len = (size_t)prefix_size},
                             {.iov_base = (void *)(uintptr_t)line, .iov_len = size},
                             {.iov_base = (void *)(uintptr_t) "\n", .iov_len = 1}};
    s_write (self, parts, 3);
}
