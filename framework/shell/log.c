/* SPDX-License-Identifier: MPL-2.0 */

/*  log.c - one line, one write.
 *
 *  A line is built on the stack and written with a single call, so that lines of several threads
 * and of several processes on one pipe do not mix (POSIX: up to PIPE_BUF, which LINE_BYTES_MAX is).
 *  Texts may come from peers: what is not printable never reaches a terminal as it is.  */

#include "shell/log.h"
#include "shell/clock.h"
#include "shell/printable.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES_MAX 4096
#define TEXT_BYTES_MAX 2048
#define WHO_BYTES_MAX  255

static struct {
    bn_log_format_t format;
    bn_log_level_t least;
    char who[WHO_BYTES_MAX + 1];
} setup = {.least = BN_LOG_INFO, .who = "baton"};

typedef struct {
    char bytes[LINE_BYTES_MAX];
    size_t size;
} line_t;

void bn_log_setup (const char *who, bn_log_format_t format, bn_log_level_t least)
{
    snprintf (setup.who, sizeof setup.who, "%s", who);
    setup.format = format;
    setup.least = least;
}

bool bn_log_format_parse (const char *text, bn_log_format_t *format)
{
    if (strcmp (text, "text") == 0)
        *format = BN_LOG_TEXT;
    else if (strcmp (text, "json") == 0)
        *format = BN_LOG_JSON;
    else
        return false;
    return true;
}

/*  Appends what fits, and leaves room for the end of the line.  */
static void put (line_t *line, const char *bytes, size_t size)
{
    size_t room = sizeof line->bytes - 8 - line->size;
    if (size > room)
        return;
    memcpy (line->bytes + line->size, bytes, size);
    line->size += size;
}

/*  Appends a text of unknown origin.  */
static void put_text (line_t *line, const char *text, bool json)
{
    size_t left = strlen (text);
    while (left > 0) {
        bn_character_t kind;
        size_t length = bn_printable_next (text, left, &kind);
        char escape[8];
        if (kind == BN_CHARACTER_NONE)
            put (line, "\xef\xbf\xbd", 3);
        else if (kind == BN_CHARACTER_CONTROL) {
            unsigned int code = (unsigned char)text[length - 1]; /* of C1, too: U+0080 is C2 80 */
            int size = json ? snprintf (escape, sizeof escape, "\\u%04x", code) : 1;
            put (line, json ? escape : " ", (size_t)size);
        } else if (json && (*text == '"' || *text == '\\')) {
            escape[0] = '\\';
            escape[1] = *text;
            put (line, escape, 2);
        } else
            put (line, text, length);
        text += length;
        left -= length;
    }
}

static void put_time (line_t *line)
{
    uint64_t wall_us = bn_clock_now ().wall_us;
    time_t seconds = (time_t)(wall_us / 1000000u);
    struct tm utc;
    char text[64];
    gmtime_r (&seconds, &utc);
    size_t size = strftime (text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    size += (size_t)snprintf (text + size, sizeof text - size, ".%03uZ",
                              (unsigned int)(wall_us / 1000u % 1000u));
    put (line, text, size);
}

void bn_log (bn_log_level_t level, const char *format, ...)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    if (level < setup.least)
        return;
    int saved = errno;
    char text[TEXT_BYTES_MAX];
    va_list args;
    va_start (args, format);
    vsnprintf (text, sizeof text, format, args);
    va_end (args);

    line_t line = {.size = 0};
    bool json = setup.format == BN_LOG_JSON;
    if (json)
        put (&line, "{\"time\":\"", 9);
    put_time (&line);
    char field[32];
    int size = snprintf (field, sizeof field, json ? "\",\"level\":\"%s" : " %-7s ", names[level]);
    put (&line, field, (size_t)size);
    put (&line, json ? "\",\"who\":\"" : "", json ? 9 : 0);
    put_text (&line, setup.who, json);
    put (&line, json ? "\",\"text\":\"" : ": ", json ? 10 : 2);
    put_text (&line, text, json);
    memcpy (line.bytes + line.size, json ? "\"}\n" : "\n", json ? 3 : 1);
    line.size += json ? 3 : 1;

    ssize_t rc;
    do
        rc = write (STDERR_FILENO, line.bytes, line.size);
    while (rc < 0 && errno == EINTR);
    errno = saved;
}
