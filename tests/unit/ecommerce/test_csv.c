/* SPDX-License-Identifier: MPL-2.0 */

/*  The shop's CSV reader: what it reads, and what it refuses, with the line.  */
#include "csv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const COLUMNS[] = {"b", "a"};

typedef struct {
    char path[64];
    char error[512];
    csv_t *csv;
} fixture_t;

static void open_bytes (fixture_t *self, const char *bytes, size_t size)
{
    strcpy (self->path, "/tmp/baton-csv-XXXXXX");
    int fd = mkstemp (self->path);
    assert_true (fd >= 0);
    assert_int_equal (write (fd, bytes, size), size);
    close (fd);
    self->csv = csv_open (self->path, COLUMNS, 2, self->error, sizeof self->error);
}

static void open_text (fixture_t *self, const char *text)
{
    open_bytes (self, text, strlen (text));
}

static void close_file (fixture_t *self)
{
    csv_close (&self->csv);
    unlink (self->path);
}

static void expect_row (fixture_t *self, const char *a, const char *b, unsigned long line)
{
    assert_int_equal (csv_next (self->csv), CSV_ROW);
    assert_string_equal (csv_field (self->csv, 1), a);
    assert_string_equal (csv_field (self->csv, 0), b);
    assert_int_equal (csv_line (self->csv), line);
}

static void rows_are_read (void **state)
{
    (void)state;
    fixture_t f;
    open_text (&f, "\xef\xbb\xbf"
                   "a,x,b\r\n"
                   "1,,2\r\n"
                   "\"one, \"\"two\"\"\",x,\"\"\n"
                   "\n"
                   "\"two\nlines\",x,7\" FRAME\n"
                   ",,\n"
                   "last,x,one");
    assert_non_null (f.csv);
    expect_row (&f, "1", "2", 2);
    expect_row (&f, "one, \"two\"", "", 3);
    expect_row (&f, "two\nlines", "7\" FRAME", 5);
    expect_row (&f, "", "", 7);
    expect_row (&f, "last", "one", 8);
    assert_int_equal (csv_next (f.csv), CSV_END);
    assert_int_equal (csv_next (f.csv), CSV_END);
    close_file (&f);
}

static void expect_error (const char *bytes, size_t size, const char *line, const char *why)
{
    fixture_t f;
    open_bytes (&f, bytes, size);
    assert_non_null (f.csv);
    csv_result_t result;
    while ((result = csv_next (f.csv)) == CSV_ROW)
        ;
    assert_int_equal (result, CSV_ERROR);
    const char *error = csv_error (f.csv);
    assert_int_equal (strncmp (error, f.path, strlen (f.path)), 0);
    assert_int_equal (strncmp (error + strlen (f.path), line, strlen (line)), 0);
    if (strstr (error, why) == NULL)
        fail_msg ("'%s' does not say '%s'", error, why);
    close_file (&f);
}

static void bad_rows_are_named (void **state)
{
    (void)state;
#define EXPECT_ERROR(text, line, why) expect_error (text, sizeof text - 1, line, why)
    EXPECT_ERROR ("a,b\n1,2\n1\n", ":3: ", "1 columns where the header has 2");
    EXPECT_ERROR ("a,b\n1,2,3\n", ":2: ", "3 columns where the header has 2");
    EXPECT_ERROR ("a,b\n1,\"2\n3,4\n", ":2: ", "not closed");
    EXPECT_ERROR ("a,b\n1,\"2\"x\n", ":2: ", "after a closing quote");
    EXPECT_ERROR ("a,b\n1,\0002\n", ":2: ", "NUL");
#undef EXPECT_ERROR

    size_t size = CSV_ROW_BYTES_MAX + 16;
    char *bytes = malloc (size);
    assert_non_null (bytes);
    memset (bytes, 'x', size);
    memcpy (bytes, "a,b\n", 4);
    expect_error (bytes, size, ":2: ", "longer than");
    memset (bytes + 4, ',', size - 4);
    expect_error (bytes, size, ":2: ", "more than 64 columns");
    free (bytes);
}

static void files_that_are_no_use_are_refused (void **state)
{
    (void)state;
    fixture_t f;
    open_text (&f, "");
    assert_null (f.csv);
    assert_non_null (strstr (f.error, "empty"));
    close_file (&f);

    open_text (&f, "a,c\n1,2\n");
    assert_null (f.csv);
    assert_non_null (strstr (f.error, "no column b"));
    close_file (&f);

    assert_null (csv_open ("/nowhere/orders.csv", COLUMNS, 2, f.error, sizeof f.error));
    assert_string_equal (f.error, "/nowhere/orders.csv: No such file or directory");
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (rows_are_read),
        cmocka_unit_test (bad_rows_are_named),
        cmocka_unit_test (files_that_are_no_use_are_refused),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
