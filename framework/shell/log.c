/* SPDX-License-Identifier: MPL-2.0 */

/*  log.c - one line, one write.
 *
 *  A line is built on the stack and written with a single call, so that lines of several threads
 * and of several processes on one pipe do not mix (POSIX: up to PIPE_BUF, which LINE_BYTES_MAX is).
 *  Texts may come from peers: what is not printable never reaches a terminal as it is.  */

#include "shell/log.h"
#include "shell/clock.h"
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

/*  Length of the well-formed UTF-8 sequence at `at`, 0 if there is none (RFC 3629).  */
static size_t utf8_length (const unsigned char *at, size_t left)
{
    unsigned char first = at[0];
    size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first > 0xf4 || length == 0 || length > left)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    if ((first == 0xe0 && at[1] < 0xa0) || (first == 0xed && at[1] > 0x9f) ||
        (first == 0xf0 && at[1] < 0x90) || (first == 0xf4 && at[1] > 0x8f))
        return 0;
    return length;
}

/*  Appends a text of unknown origin.  */
static void put_text (line_t *line, const char *text, bool json)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t left = strlen (text);
    while (left > 0) {
        size_t length = utf8_length (at, left);
        char escape[8];
        if (length == 0) {
            put (line, "\xef\xbf\xbd", 3);
            length = 1;
        } else if (length == 1 && (*at < 0x20 || *at == 0x7f)) {
            int size = json ? snprintf (escape, sizeof escape, "\\u%04x", *at) : 1;
            put (line, json ? escape : " ", (size_t)size);
        } else if (json && (*at == '"' || *at == '\\')) {
            escape[0] = '\\';
            escape[1] = (char)*at;
            put (line, escape, 2);
        } else
            put (line, (const char *)at, length);
        at += length;
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
