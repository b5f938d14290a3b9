/* SPDX-License-Identifier: MPL-2.0 */

/*  csv.h - reads a CSV file row by row: quoted fields, doubled quotes, commas and line breaks
 * inside quotes, LF or CRLF, a header that names the columns in any order.  */
#ifndef SHOP_CSV_H
#define SHOP_CSV_H

#include <stdbool.h>
#include <stddef.h>

#define CSV_ROW_BYTES_MAX (1024 * 1024)
#define CSV_COLUMNS_MAX   64

typedef struct csv csv_t;

typedef enum { CSV_ROW, CSV_END, CSV_ERROR } csv_result_t;

/*  Opens the file and reads its header, which must have all of `columns` (at most CSV_COLUMNS_MAX;
 *  borrowed, for as long as the reader lives). NULL on error; `error` then says why in one line. */
csv_t *csv_open (const char *path, const char *const *columns, size_t count, char *error,
                 size_t error_size);
void csv_close (csv_t **self_p);

/*  Moves on to the next row. On CSV_ERROR csv_error says "FILE:LINE: why".  */
csv_result_t csv_next (csv_t *self);
const char *csv_error (const csv_t *self);

/*  The current row's field in columns[index]: text, valid until the next call of csv_next.  */
const char *csv_field (const csv_t *self, size_t index);
/*  The line on which the current row starts, counted from 1.  */
unsigned long csv_line (const csv_t *self);

#endif
