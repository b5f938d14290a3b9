/* SPDX-License-Identifier: MPL-2.0 */

/*  storefront.c - reads orders from a CSV file and publishes each as orders.submitted.
 *
 *  Adjacent lines of one invoice number are one order; its key is the CustomerID, so that a
 *  customer's orders are handled in the order of the file. A guest (no CustomerID) gets a key of
 * the order's own: there is nobody whose orders would have to wait for each other.
 *
 *  The file is read twice: first to the end, so that a file that cannot be read publishes nothing,
 *  then to publish. Quantities and prices go out as they stand: to judge them is validation's work.
 */
#include "csv.h"

#include <baton/baton.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ORDER_BYTES_MAX    32     /* of an invoice number */
#define FLUSH_TIMEOUT_MS   120000 /* for the last receipts */
#define CONNECT_TIMEOUT_MS 30000

enum { INVOICE, CODE, DESCRIPTION, QUANTITY, DATE, PRICE, CUSTOMER, COUNTRY, COLUMN_COUNT };

static const char *const COLUMNS[COLUMN_COUNT] = {"InvoiceNo",  "StockCode",   "Description",
                                                  "Quantity",   "InvoiceDate", "UnitPrice",
                                                  "CustomerID", "Country"};

typedef struct {
    char number[ORDER_BYTES_MAX];
    unsigned long line;
} invoice_t;

/*  ---- first reading -------------------------------------------------------------------------- */

static int compare_invoices (const void *a, const void *b)
{
    const invoice_t *left = a;
    const invoice_t *right = b;
    int order = strcmp (left->number, right->number);
    return order != 0 ? order : (left->line > right->line) - (left->line < right->line);
}

/*  An order is published once: its lines must stand together.  */
static bool all_different (invoice_t *invoices, size_t count, const char *path)
{
    if (count > 0)
        qsort (invoices, count, sizeof *invoices, compare_invoices);
    for (size_t i = 1; i < count; i++)
        if (strcmp (invoices[i - 1].number, invoices[i].number) == 0) {
            fprintf (stderr, "storefront: %s:%lu: invoice %s began on line %lu already\n", path,
                     invoices[i].line, invoices[i].number, invoices[i - 1].line);
            return false;
        }
    return true;
}

static bool check_row (csv_t *csv, const char *path)
{
    size_t length = strlen (csv_field (csv, INVOICE));
    if (length == 0 || length >= ORDER_BYTES_MAX) {
        fprintf (stderr, "storefront: %s:%lu: an invoice number has 1 to %d bytes\n", path,
                 csv_line (csv), ORDER_BYTES_MAX - 1);
        return false;
    }
    if (strlen (csv_field (csv, CUSTOMER)) > BATON_KEY_BYTES_MAX) {
        fprintf (stderr, "storefront: %s:%lu: a CustomerID has at most %d bytes\n", path,
                 csv_line (csv), BATON_KEY_BYTES_MAX);
        return false;
    }
    return true;
}

static bool check_file (csv_t *csv, const char *path)
{
    invoice_t *invoices = NULL;
    size_t count = 0;
    size_t space = 0;
    bool good = true;
    csv_result_t result = CSV_END;
    while (good && (result = csv_next (csv)) == CSV_ROW) {
        good = check_row (csv, path);
        const char *number = csv_field (csv, INVOICE);
        if (!good || (count > 0 && strcmp (invoices[count - 1].number, number) == 0))
            continue;
        if (count == space) {
            space = space == 0 ? 1024 : space * 2;
            invoice_t *more = realloc (invoices, space * sizeof *invoices);
            if (more == NULL) {
                fprintf (stderr, "storefront: out of memory\n");
                good = false;
                break;
            }
            invoices = more;
        }
        snprintf (invoices[count].number, ORDER_BYTES_MAX, "%s", number);
        invoices[count++].line = csv_line (csv);
    }
    if (result == CSV_ERROR)
        fprintf (stderr, "storefront: %s\n", csv_error (csv));
    good = good && result != CSV_ERROR && all_different (invoices, count, path);
    free (invoices);
    return good;
}

/*  ---- second reading ------------------------------------------------------------------------- */

typedef struct {
    baton_producer_t *producer;
    baton_data_t *data;
    char number[ORDER_BYTES_MAX]; /* of the order in hand, "" if there is none */
    char key[BATON_KEY_BYTES_MAX + 1];
    uint64_t orders;
    bool progress; /* show how far it is */
} storefront_t;

static void begin_order (storefront_t *self, csv_t *csv)
{
    const char *customer = csv_field (csv, CUSTOMER);
    snprintf (self->number, sizeof self->number, "%s", csv_field (csv, INVOICE));
    if (*customer != 0)
        snprintf (self->key, sizeof self->key, "%s", customer);
    else
        snprintf (self->key, sizeof self->key, "guest-%s", self->number);
    baton_data_clear (self->data);
    baton_data_put_str (self->data, "order", self->number);
    baton_data_put_str (self->data, "customer", self->key);
    baton_data_put_str (self->data, "country", csv_field (csv, COUNTRY));
    baton_data_put_str (self->data, "date", csv_field (csv, DATE));
    baton_data_begin_array (self->data, "lines");
}

static void add_line (storefront_t *self, csv_t *csv)
{
    baton_data_begin_map (self->data, NULL);
    baton_data_put_str (self->data, "code", csv_field (csv, CODE));
    baton_data_put_str (self->data, "description", csv_field (csv, DESCRIPTION));
    baton_data_put_str (self->data, "quantity", csv_field (csv, QUANTITY));
    baton_data_put_str (self->data, "price", csv_field (csv, PRICE));
    baton_data_end (self->data);
}

static bool publish_order (storefront_t *self)
{
    if (self->number[0] == 0)
        return true;
    baton_data_end (self->data);
    size_t size = 0;
    const void *bytes = baton_data_bytes (self->data, &size);
    baton_err_t err = baton_data_error (self->data);
    if (err == BATON_OK) {
        char id[ORDER_BYTES_MAX + 8];
        snprintf (id, sizeof id, "order-%s", self->number);
        baton_attributes_t attributes = {.id = id};
        baton_publication_t publication = {
            .topic = "orders.submitted",
            .key = self->key,
            .data = bytes,
            .data_size = size,
            .attributes = &attributes,
        };
        err = baton_producer_publish_group (self->producer, &publication, 1, -1, NULL);
    }
    if (err != BATON_OK) {
        fprintf (stderr, "storefront: order %s: %s\n", self->number, baton_err_text (err));
        return false;
    }
    self->orders++;
    if (self->progress && self->orders % 100 == 0)
        fprintf (stderr, "\r%" PRIu64 " orders", self->orders);
    return true;
}

static bool publish_file (storefront_t *self, csv_t *csv)
{
    csv_result_t result;
    while ((result = csv_next (csv)) == CSV_ROW) {
        if (strcmp (self->number, csv_field (csv, INVOICE)) != 0) {
            if (!publish_order (self))
                return false;
            begin_order (self, csv);
        }
        add_line (self, csv);
    }
    if (result == CSV_ERROR)
        fprintf (stderr, "storefront: %s\n", csv_error (csv));
    if (result == CSV_ERROR || !publish_order (self))
        return false;

    baton_err_t err = baton_producer_flush (self->producer, FLUSH_TIMEOUT_MS);
    baton_producer_stats_t stats;
    baton_producer_stats (self->producer, &stats);
    if (self->progress)
        fprintf (stderr, "\r");
    if (err != BATON_OK)
        fprintf (stderr, "storefront: %" PRIu64 " of %" PRIu64 " orders have a receipt: %s %s\n",
                 stats.receipted, self->orders, baton_err_text (err), stats.last_error);
    else
        printf ("%" PRIu64 " orders submitted, each with a receipt\n", stats.receipted);
    return err == BATON_OK;
}

/*  ---- the whole ------------------------------------------------------------------------------ */

/*  0, or the exit code that says what is wrong with the file.  */
static int check (const char *path)
{
    char error[512];
    csv_t *csv = csv_open (path, COLUMNS, COLUMN_COUNT, error, sizeof error);
    if (csv == NULL) {
        fprintf (stderr, "storefront: %s\n", error);
        return 66;
    }
    bool good = check_file (csv, path);
    csv_close (&csv);
    return good ? 0 : 65;
}

static int publish (const char *endpoint, const char *path, bool progress)
{
    char error[512] = "";
    baton_producer_options_t options = {
        .endpoint = endpoint,
        .source = "/storefront",
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
    };
    storefront_t self = {.progress = progress, .data = baton_data_new ()};
    csv_t *csv = csv_open (path, COLUMNS, COLUMN_COUNT, error, sizeof error);
    baton_err_t err = baton_producer_new (&self.producer, &options);
    if (csv == NULL || err != BATON_OK)
        fprintf (stderr, "storefront: %s\n", csv == NULL ? error : baton_err_text (err));
    bool good = err == BATON_OK && csv != NULL && self.data != NULL && publish_file (&self, csv);
    baton_producer_destroy (&self.producer);
    baton_data_destroy (&self.data);
    csv_close (&csv);
    return good ? 0 : err == BATON_ERR_UNREACHABLE ? 69 : 1;
}

int main (int argc, char **argv)
{
    static const struct option OPTIONS[] = {{"connect", required_argument, NULL, 'c'},
                                            {"check", no_argument, NULL, 'k'},
                                            {"progress", no_argument, NULL, 'p'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    static const char USAGE[] =
        "usage: storefront [--connect ENDPOINT] [--progress] FILE.csv\n"
        "Publishes the orders of a CSV file and waits for their receipts.\n"
        "exit codes: 0 all have a receipt, 2 usage, 65 the file is not in order (nothing was\n"
        "published), 66 it cannot be opened, 69 no orchestrator answers, 1 else\n";
    const char *endpoint = getenv ("BATON_CONNECT");
    bool progress = false;
    bool only_check = false;
    for (int c; (c = getopt_long (argc, argv, "", OPTIONS, NULL)) != -1;)
        switch (c) {
        case 'c':
            endpoint = optarg;
            break;
        case 'k':
            only_check = true;
            break;
        case 'p':
            progress = true;
            break;
        case 'h':
            fputs (USAGE, stdout);
            return 0;
        default:
            fputs (USAGE, stderr);
            return 2;
        }
    if (optind + 1 != argc) {
        fputs (USAGE, stderr);
        return 2;
    }
    int code = check (argv[optind]);
    if (code != 0 || only_check)
        return code;
    return publish (endpoint != NULL ? endpoint : "tcp://127.0.0.1:7711", argv[optind], progress);
}
