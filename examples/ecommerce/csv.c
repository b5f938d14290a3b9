/* SPDX-License-Identifier: MPL-2.0 */
#include "csv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct csv {
    FILE *file;
    char *path;
    size_t column_count;              /* columns that the caller asked for */
    size_t field_count;               /* columns that the header has */
    size_t position[CSV_COLUMNS_MAX]; /* of the caller's columns in a row */
    size_t start[CSV_COLUMNS_MAX];    /* where each field of the row starts in `row` */
    char *row;                        /* the fields, each ended by NUL */
    size_t size;                      /* bytes used in `row` */
    unsigned long line;               /* the reader's line */
    unsigned long row_line;           /* the line on which the row starts */
    char error[512];
};

static csv_result_t fail (csv_t *self, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

static csv_result_t fail (csv_t *self, const char *format, ...)
{
    char why[256];
    va_list args;
    va_start (args, format);
    vsnprintf (why, sizeof why, format, args);
    va_end (args);
    snprintf (self->error, sizeof self->error, "%.200s:%lu: %s", self->path, self->row_line, why);
    return CSV_ERROR;
}

static bool put (csv_t *self, int c)
{
    if (self->size == CSV_ROW_BYTES_MAX)
        return false;
    self->row[self->size++] = (char)c;
    return true;
}

/*  Reads one field and tells in *end what followed it: ',', '\n' or EOF.  */
static csv_result_t read_field (csv_t *self, int *end)
{
    enum { START, PLAIN, QUOTED, CLOSED } state = START;
    while (true) {
        int c = getc (self->file);
        if (c == 0)
            return fail (self, "a NUL byte");
        if (c == EOF && ferror (self->file))
            return fail (self, "%s", strerror (errno));
        if (c == EOF && state == QUOTED)
            return fail (self, "a quoted field is not closed");
        if (c == '\n')
            self->line++;
        if (c == '\r' && state != QUOTED) {
            int next = getc (self->file);
            ungetc (next, self->file);
            if (next == '\n')
                continue;
        }
        if (state == START && c == '"')
            state = QUOTED;
        else if (state == QUOTED && c == '"')
            state = CLOSED;
        else if (state == CLOSED && c == '"' && put (self, c))
            state = QUOTED; /* a doubled quote is one quote */
        else if (state != QUOTED && (c == ',' || c == '\n' || c == EOF)) {
            *end = c;
            return put (self, 0) ? CSV_ROW : fail (self, "longer than %d bytes", CSV_ROW_BYTES_MAX);
        } else if (state == CLOSED)
            return fail (self, "text after a closing quote");
        else if (!put (self, c))
            return fail (self, "longer than %d bytes", CSV_ROW_BYTES_MAX);
        else if (state == START)
            state = PLAIN;
    }
}

/*  Reads one row of any width; blank lines are passed over.  */
static csv_result_t read_row (csv_t *self, size_t *count)
{
    int end = '\n';
    do {
        *count = 0;
        self->size = 0;
        self->row_line = self->line;
        do {
            if (*count == CSV_COLUMNS_MAX)
                return fail (self, "more than %d columns", CSV_COLUMNS_MAX);
            self->start[(*count)++] = self->size;
            if (read_field (self, &end) == CSV_ERROR)
                return CSV_ERROR;
        } while (end == ',');
    } while (end == '\n' && *count == 1 && self->size == 1);
    return end == EOF && *count == 1 && self->size == 1 ? CSV_END : CSV_ROW;
}

static bool find_columns (csv_t *self, const char *const *columns)
{
    size_t count = 0;
    csv_result_t result = read_row (self, &count);
    if (result == CSV_ERROR)
        return false;
    if (result == CSV_END) {
        fail (self, "the file is empty");
        return false;
    }
    self->field_count = count;
    for (size_t i = 0; i < self->column_count; i++) {
        size_t j = 0;
        while (j < count && strcmp (self->row + self->start[j], columns[i]) != 0)
            j++;
        if (j == count) {
            fail (self, "the header has no column %s", columns[i]);
            return false;
        }
        self->position[i] = j;
    }
    return true;
}

static void skip_byte_order_mark (FILE *file)
{
    unsigned char mark[3];
    if (fread (mark, 1, 3, file) != 3 || memcmp (mark, "\xef\xbb\xbf", 3) != 0)
        rewind (file);
}

csv_t *csv_open (const char *path, const char *const *columns, size_t count, char *error,
                 size_t error_size)
{
    csv_t *self = calloc (1, sizeof *self);
    if (self == NULL || (self->path = strdup (path)) == NULL ||
        (self->row = malloc (CSV_ROW_BYTES_MAX)) == NULL) {
        snprintf (error, error_size, "out of memory");
        csv_close (&self);
        return NULL;
    }
    self->file = fopen (path, "r");
    if (self->file == NULL) {
        snprintf (error, error_size, "%s: %s", path, strerror (errno));
        csv_close (&self);
        return NULL;
    }
    skip_byte_order_mark (self->file);
    self->line = 1;
    self->column_count = count;
    if (!find_columns (self, columns)) {
        snprintf (error, error_size, "%s", self->error);
        csv_close (&self);
    }
    return self;
}

void csv_close (csv_t **self_p)
{
    csv_t *self = *self_p;
    if (self == NULL)
        return;
    if (self->file != NULL)
        fclose (self->file);
    free (self->row);
    free (self->path);
    free (self);
    *self_p = NULL;
}

csv_result_t csv_next (csv_t *self)
{
    size_t count = 0;
    csv_result_t result = read_row (self, &count);
    if (result == CSV_ROW && count != self->field_count)
        return fail (self, "%zu columns where the header has %zu", count, self->field_count);
    return result;
}

const char *csv_error (const csv_t *self)
{
    return self->error;
}

const char *csv_field (const csv_t *self, size_t index)
{
    return self->row + self->start[self->position[index]];
}

unsigned long csv_line (const csv_t *self)
{
    return self->row_line;
}
