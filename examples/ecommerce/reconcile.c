/* SPDX-License-Identifier: MPL-2.0 */

/*  reconcile.c - compares what the system did with what it should have done.
 *
 *  What should be in the ledger is computed straight from the input file, by rules written down
 * here a second time on purpose: nothing of validation or of the exact amounts of money.c is used,
 * only the CSV reader. Which orders were charged or declined is the gateway's own book's to say.
 * Both become tables, and the questions are then asked in SQL:
 *
 *      invoice (position, order_no, customer, kind, total)   from the input
 *      gateway.charges                                       from the outside world
 *      due (order_no, topic)                                 what must have happened
 *      ledger.events                                         what did happen
 */
#include "csv.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MILLIONTHS 1000000

enum { INVOICE, QUANTITY, PRICE, CUSTOMER, COLUMN_COUNT };

static const char *const COLUMNS[COLUMN_COUNT] = {"InvoiceNo", "Quantity", "UnitPrice",
                                                  "CustomerID"};

typedef struct {
    const char *orders;
    const char *ledger;
    const char *gateway;
    const char *dead_letters; /* counts that only the caller knows */
    const char *kills;
    const char *seconds;
    bool no_declines; /* the gateway was not told to decline: then it may not have */
    bool json;
} options_t;

static sqlite3 *db;
static int problems;

static void die (const char *what, const char *why)
{
    fprintf (stderr, "reconcile: %s: %s\n", what, why);
    exit (66);
}

static void execute (const char *sql)
{
    if (sqlite3_exec (db, sql, NULL, NULL, NULL) != SQLITE_OK)
        die (sql, sqlite3_errmsg (db));
}

static sqlite3_stmt *prepare (const char *sql)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2 (db, sql, -1, &statement, NULL) != SQLITE_OK)
        die (sql, sqlite3_errmsg (db));
    return statement;
}

/*  The single number that a query answers.  */
static int64_t ask (const char *sql)
{
    sqlite3_stmt *statement = prepare (sql);
    if (sqlite3_step (statement) != SQLITE_ROW)
        die (sql, sqlite3_errmsg (db));
    int64_t result = sqlite3_column_int64 (statement, 0);
    sqlite3_finalize (statement);
    return result;
}

/*  ---- what should be ------------------------------------------------------------------------- */

/*  A decimal number times a million, exactly; false if it is none or has more decimals.  */
static bool read_millionths (const char *text, int64_t *result)
{
    char digits[32] = "";
    const char *point = strchr (text, '.');
    size_t whole = point != NULL ? (size_t)(point - text) : strlen (text);
    size_t decimals = point != NULL ? strlen (point + 1) : 0;
    while (decimals > 6 && point[decimals] == '0')
        decimals--;
    if (decimals > 6 || whole + 7 > sizeof digits || whole + decimals == 0)
        return false;
    memcpy (digits, text, whole);
    memset (digits + whole, '0', 6);
    if (point != NULL)
        memcpy (digits + whole, point + 1, decimals);
    char *end;
    errno = 0;
    *result = strtoll (digits, &end, 10);
    return errno == 0 && *end == 0 && strchr (" \t\n\v\f\r", digits[0]) == NULL;
}

static bool read_whole (const char *text, int64_t *result)
{
    char *end;
    errno = 0;
    *result = strtoll (text, &end, 10);
    return errno == 0 && *text != 0 && *end == 0;
}

typedef struct {
    char number[64];
    char customer[256];
    int64_t position;
    __int128 total; /* millionths */
    bool wrong;     /* a line cannot be sold */
} invoice_t;

static void insert_invoice (const invoice_t *invoice, sqlite3_stmt *insert)
{
    bool cancelled = invoice->number[0] == 'C';
    bool rejected = !cancelled && (invoice->wrong || invoice->total > INT64_MAX);
    sqlite3_bind_int64 (insert, 1, invoice->position);
    sqlite3_bind_text (insert, 2, invoice->number, -1, SQLITE_STATIC);
    sqlite3_bind_text (insert, 3, invoice->customer, -1, SQLITE_STATIC);
    sqlite3_bind_text (insert, 4,
                       cancelled  ? "cancelled"
                       : rejected ? "rejected"
                                  : "validated",
                       -1, SQLITE_STATIC);
    if (cancelled || rejected)
        sqlite3_bind_null (insert, 5);
    else
        sqlite3_bind_int64 (insert, 5, (int64_t)invoice->total);
    if (sqlite3_step (insert) != SQLITE_DONE)
        die (invoice->number, sqlite3_errmsg (db));
    sqlite3_reset (insert);
}

static void read_orders (const char *path)
{
    char error[512];
    csv_t *csv = csv_open (path, COLUMNS, COLUMN_COUNT, error, sizeof error);
    if (csv == NULL)
        die ("the orders cannot be read", error);
    execute ("CREATE TABLE invoice (position INTEGER, order_no TEXT PRIMARY KEY, customer TEXT, "
             "kind TEXT, total INTEGER); BEGIN");
    sqlite3_stmt *insert = prepare ("INSERT INTO invoice VALUES (?, ?, ?, ?, ?)");
    invoice_t invoice = {0};
    csv_result_t result;
    while ((result = csv_next (csv)) == CSV_ROW) {
        if (strcmp (invoice.number, csv_field (csv, INVOICE)) != 0) {
            if (invoice.position > 0)
                insert_invoice (&invoice, insert);
            invoice = (invoice_t){.position = invoice.position + 1};
            snprintf (invoice.number, sizeof invoice.number, "%s", csv_field (csv, INVOICE));
            if (csv_field (csv, CUSTOMER)[0] != 0)
                snprintf (invoice.customer, sizeof invoice.customer, "%s",
                          csv_field (csv, CUSTOMER));
            else
                snprintf (invoice.customer, sizeof invoice.customer, "guest-%s", invoice.number);
        }
        int64_t quantity;
        int64_t price;
        if (read_whole (csv_field (csv, QUANTITY), &quantity) && quantity > 0 &&
            read_millionths (csv_field (csv, PRICE), &price) && price > 0)
            invoice.total += (__int128)price * quantity;
        else
            invoice.wrong = true;
    }
    if (result == CSV_ERROR)
        die ("the orders cannot be read", csv_error (csv));
    if (invoice.position > 0)
        insert_invoice (&invoice, insert);
    sqlite3_finalize (insert);
    execute ("COMMIT");
    csv_close (&csv);
}

/*  Adds a file that must be there; SQLite would make an empty one.  */
static void attach (const char *path, const char *name)
{
    FILE *file = fopen (path, "r");
    if (file == NULL)
        die (path, strerror (errno));
    fclose (file);
    sqlite3_stmt *statement = prepare ("ATTACH ? AS ?");
    sqlite3_bind_text (statement, 1, path, -1, SQLITE_STATIC);
    sqlite3_bind_text (statement, 2, name, -1, SQLITE_STATIC);
    if (sqlite3_step (statement) != SQLITE_DONE)
        die (path, sqlite3_errmsg (db));
    sqlite3_finalize (statement);
}

/*  An order that the gateway has never heard of should have been charged.  */
static const char DUE[] =
    "CREATE TABLE outcome AS SELECT order_no, total, coalesce ("
    "  (SELECT outcome FROM gateway.charges c WHERE c.order_no = i.order_no), 'charged')"
    "  AS outcome FROM invoice i WHERE kind = 'validated';"
    "CREATE TABLE due AS"
    "  SELECT order_no, 'orders.submitted' AS topic FROM invoice"
    "  UNION ALL SELECT order_no, 'orders.' || kind FROM invoice"
    "  UNION ALL SELECT order_no, 'payments.' || outcome FROM outcome"
    "  UNION ALL SELECT order_no, 'shipments.requested' FROM outcome WHERE outcome = 'charged';"
    "CREATE UNIQUE INDEX due_order ON due (order_no, topic);";

/*  ---- what is -------------------------------------------------------------------------------- */

static const char LOST[] = "SELECT count (*) FROM due d WHERE NOT EXISTS (SELECT 1 FROM "
                           "ledger.events e WHERE e.order_no = d.order_no AND e.topic = d.topic)";

static const char DUPLICATED[] =
    "SELECT (SELECT coalesce (sum (n - 1), 0) FROM (SELECT count (*) AS n FROM ledger.events"
    "  GROUP BY order_no, topic))"
    " + (SELECT coalesce (sum (n - 1), 0) FROM (SELECT count (*) AS n FROM gateway.charges"
    "  GROUP BY order_no))";

static const char UNEXPECTED[] =
    "SELECT count (*) FROM (SELECT DISTINCT order_no, topic FROM ledger.events "
    "EXCEPT SELECT order_no, topic FROM due)";

static const char WRONG_AMOUNTS[] =
    "SELECT (SELECT count (*) FROM ledger.events e JOIN invoice i USING (order_no) WHERE"
    "  topic IN ('orders.validated', 'payments.charged', 'payments.declined')"
    "  AND e.amount IS NOT i.total)"
    " + (SELECT count (*) FROM gateway.charges c JOIN invoice i USING (order_no)"
    "  WHERE c.amount IS NOT i.total)";

/*  Three ways to be out of order: the ledger saw it happen; its rows stand out of journal order;
 * the journal has a customer's orders in another order than the file.  */
static const char OUT_OF_ORDER[] =
    "SELECT max ((SELECT count (*) FROM ledger.violations), (SELECT count (*) FROM ("
    "  SELECT journal_offset, max (journal_offset) OVER (PARTITION BY customer ORDER BY seq"
    "    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM ledger.events)"
    "  WHERE before > journal_offset))"
    " + (SELECT count (*) FROM ("
    "  SELECT position, max (position) OVER (PARTITION BY i.customer ORDER BY journal_offset"
    "    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before"
    "  FROM ledger.events e JOIN invoice i USING (order_no) WHERE topic = 'orders.submitted')"
    "  WHERE before > position)";

static const char REVENUE_DUE[] =
    "SELECT coalesce (sum (total), 0) FROM outcome WHERE outcome = 'charged'";
static const char REVENUE[] =
    "SELECT coalesce (sum (amount), 0) FROM ledger.events WHERE topic = 'payments.charged'";

typedef struct {
    const char *name;  /* in the table */
    const char *field; /* in the object */
    const char *topic;
} figure_t;

static const figure_t FIGURES[] = {
    {"orders submitted", "orders_submitted", "orders.submitted"},
    {"orders validated", "orders_validated", "orders.validated"},
    {"orders rejected", "orders_rejected", "orders.rejected"},
    {"orders cancelled", "orders_cancelled", "orders.cancelled"},
    {"payments charged", "payments_charged", "payments.charged"},
    {"payments declined", "payments_declined", "payments.declined"},
    {"shipments requested", "shipments_requested", "shipments.requested"},
};

static int64_t count_topic (const char *table, const char *topic)
{
    char sql[256];
    snprintf (sql, sizeof sql, "SELECT count (*) FROM %s WHERE topic = '%s'", table, topic);
    return ask (sql);
}

/*  Two decimals at least, like an invoice.  */
static const char *show_amount (int64_t millionths, char text[32])
{
    int length = snprintf (text, 32, "%" PRId64 ".%06" PRId64, millionths / MILLIONTHS,
                           millionths % MILLIONTHS);
    while (text[length - 1] == '0' && text[length - 3] != '.')
        text[--length] = 0;
    return text;
}

static void put_number (json_t *object, const char *field, int64_t number)
{
    json_object_set_new (object, field, json_integer (number));
}

/*  A count that must be zero.  */
static void check_none (json_t *object, const char *field, const char *name, int64_t count)
{
    printf ("%-22s %14" PRId64 "%s\n", name, count, count > 0 ? "   <-- must be 0" : "");
    put_number (object, field, count);
    problems += count > 0;
}

static void print_figures (json_t *object)
{
    printf ("%-22s %14s %14s\n", "", "expected", "in the ledger");
    for (size_t i = 0; i < sizeof FIGURES / sizeof *FIGURES; i++) {
        int64_t due = count_topic ("due", FIGURES[i].topic);
        int64_t is = count_topic ("ledger.events", FIGURES[i].topic);
        printf ("%-22s %14" PRId64 " %14" PRId64 "%s\n", FIGURES[i].name, due, is,
                due != is ? "   <-- differs" : "");
        put_number (object, FIGURES[i].field, is);
        problems += due != is;
    }
    char due_text[32];
    char is_text[32];
    int64_t due = ask (REVENUE_DUE);
    int64_t is = ask (REVENUE);
    printf ("%-22s %14s %14s%s\n\n", "revenue", show_amount (due, due_text),
            show_amount (is, is_text), due != is ? "   <-- differs" : "");
    json_object_set_new (object, "revenue", json_string (is_text));
    problems += due != is;
}

static void reconcile (const options_t *options, json_t *object)
{
    print_figures (object);
    check_none (object, "lost", "lost", ask (LOST));
    check_none (object, "duplicated", "duplicated", ask (DUPLICATED));
    check_none (object, "out_of_order", "out of order", ask (OUT_OF_ORDER));
    check_none (object, "unexpected", "unexpected", ask (UNEXPECTED));
    check_none (object, "wrong_amounts", "wrong amounts", ask (WRONG_AMOUNTS));
    check_none (object, "dead_letters", "dead letters", strtoll (options->dead_letters, NULL, 10));
    if (options->no_declines)
        check_none (object, "declined_unasked", "declined unasked",
                    count_topic ("ledger.events", "payments.declined"));

    int64_t repeated = ask ("SELECT coalesce (sum (asked - 1), 0) FROM gateway.charges");
    int64_t redelivered = ask ("SELECT coalesce (sum (deliveries - 1), 0) FROM ledger.events");
    printf ("\n%-22s %14" PRId64 "\n%-22s %14" PRId64 "\n%-22s %14s\n%-22s %14s\n",
            "charges asked again", repeated, "redelivered to ledger", redelivered, "kills",
            options->kills, "seconds", options->seconds);
    put_number (object, "charges_repeated", repeated);
    put_number (object, "redelivered", redelivered);
    put_number (object, "kills", strtoll (options->kills, NULL, 10));
    json_object_set_new (object, "seconds", json_real (strtod (options->seconds, NULL)));
    json_object_set_new (object, "ledger", json_string (options->ledger));
    json_object_set_new (object, "reconciled", json_boolean (problems == 0));
    printf ("\n%s\n", problems == 0 ? "The ledger agrees with the input."
                                    : "THE LEDGER DIFFERS FROM THE INPUT.");
}

static bool parse_options (int argc, char **argv, options_t *options)
{
    static const struct option OPTIONS[] = {{"orders", required_argument, NULL, 'o'},
                                            {"ledger", required_argument, NULL, 'l'},
                                            {"gateway", required_argument, NULL, 'g'},
                                            {"kills", required_argument, NULL, 'k'},
                                            {"dead-letters", required_argument, NULL, 'd'},
                                            {"seconds", required_argument, NULL, 's'},
                                            {"no-declines", no_argument, NULL, 'n'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    *options = (options_t){.dead_letters = "0", .kills = "0", .seconds = "0"};
    for (int c; (c = getopt_long (argc, argv, "", OPTIONS, NULL)) != -1;)
        switch (c) {
        case 'o':
            options->orders = optarg;
            break;
        case 'l':
            options->ledger = optarg;
            break;
        case 'g':
            options->gateway = optarg;
            break;
        case 'k':
            options->kills = optarg;
            break;
        case 'd':
            options->dead_letters = optarg;
            break;
        case 's':
            options->seconds = optarg;
            break;
        case 'n':
            options->no_declines = true;
            break;
        case 'j':
            options->json = true;
            break;
        default:
            return false;
        }
    return optind == argc && options->orders != NULL && options->ledger != NULL &&
           options->gateway != NULL;
}

int main (int argc, char **argv)
{
    options_t options;
    if (!parse_options (argc, argv, &options)) {
        fputs ("usage: reconcile --orders FILE.csv --ledger FILE --gateway FILE [--no-declines]\n"
               "       [--dead-letters N] [--kills N] [--seconds N] [--json]\n"
               "exit codes: 0 they agree, 1 they differ, 2 usage, 66 a file cannot be read\n",
               stderr);
        return 2;
    }
    if (sqlite3_open (":memory:", &db) != SQLITE_OK)
        die ("sqlite", sqlite3_errmsg (db));
    read_orders (options.orders);
    attach (options.ledger, "ledger");
    attach (options.gateway, "gateway");
    execute (DUE);
    json_t *object = json_object ();
    reconcile (&options, object);
    if (options.json) {
        json_dumpf (object, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION (9));
        putchar ('\n');
    }
    json_decref (object);
    sqlite3_close (db);
    return problems == 0 ? 0 : 1;
}
