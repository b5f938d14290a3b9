/* SPDX-License-Identifier: MPL-2.0 */

/*  generate.c - makes up a shop's orders, dirt included, as CSV on stdout.
 *
 *  The same seed gives the same orders. Dirt: quantities and prices that are not above zero,
 *  cancellations, guests without a CustomerID, commas, quotes and pounds in descriptions.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FIRST_INVOICE     600000
#define FIRST_CUSTOMER    12346
#define FIRST_TIME        1291191960 /* 2010-12-01 08:26 UTC */
#define ORDERS_COUNT_MAX  10000000
#define CANCELLED_PERCENT 3
#define GUEST_PERCENT     15
#define DIRTY_PERCENT     20 /* orders with at least one line that is wrong */
#define REGULAR_PERCENT   40 /* orders of the few customers that come again and again */

static const char *const DESCRIPTIONS[] = {
    "WHITE HANGING HEART T-LIGHT HOLDER",
    "WHITE METAL LANTERN",
    "AIRLINE LOUNGE,METAL SIGN",
    "CREAM CUPID HEARTS COAT HANGER",
    "RECORD FRAME 7\" SINGLE SIZE ",
    "FANCY FONT BIRTHDAY CARD, ",
    "TRAY, BREAKFAST IN BED",
    "ALARM CLOCK BAKELIKE RED ",
    "CHARLIE+LOLA\"EXTREMELY BUSY\" SIGN",
    "Gift Voucher \302\24320.00", /* a pound sign */
    "TUMBLER, NEW ENGLAND",
    "SET/2 RED RETROSPOT TEA TOWELS ",
    "",
};

static const char *const COUNTRIES[] = {
    "United Kingdom", "United Kingdom", "United Kingdom", "United Kingdom",
    "Germany",        "France",         "EIRE",           "Channel Islands, Jersey"};

#define COUNT_OF(array) (sizeof (array) / sizeof *(array))

static uint64_t state;

static uint64_t below (uint64_t limit)
{
    uint64_t x = (state += 0x9e3779b97f4a7c15u);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (x ^ (x >> 31)) % limit;
}

static void put_text (const char *text)
{
    if (strpbrk (text, ",\"\n") == NULL) {
        fputs (text, stdout);
        return;
    }
    putchar ('"');
    for (; *text != 0; text++) {
        if (*text == '"')
            putchar ('"');
        putchar (*text);
    }
    putchar ('"');
}

static void put_line (const char *order, const char *customer, const char *country, time_t when,
                      int wrong)
{
    struct tm tm;
    char date[32];
    gmtime_r (&when, &tm);
    strftime (date, sizeof date, "%Y-%m-%d %H:%M:%S", &tm);
    int64_t quantity = below (20) == 0 ? (int64_t)below (2000) + 1 : (int64_t)below (24) + 1;
    if (order[0] == 'C' || wrong == 1)
        quantity = -quantity;
    if (wrong == 2)
        quantity = 0;

    printf ("%s,%" PRIu64 ",", order, 20000 + below (5000));
    put_text (DESCRIPTIONS[below (COUNT_OF (DESCRIPTIONS))]);
    printf (",%" PRId64 ",%s,", quantity, date);
    if (wrong == 3)
        printf ("%s", below (2) == 0 ? "0.0" : "-11062.06");
    else if (below (50) == 0)
        printf ("0.%03" PRIu64, below (999) + 1);
    else
        printf ("%" PRIu64 ".%02" PRIu64, below (15) + 1, below (100));
    printf (",%s,", customer);
    put_text (country);
    putchar ('\n');
}

static void put_order (uint64_t number, uint64_t orders, time_t when)
{
    char order[32];
    char customer[32] = "";
    uint64_t chance = below (100);
    int wrong_percent = chance < CANCELLED_PERCENT + DIRTY_PERCENT ? 30 : 0;
    snprintf (order, sizeof order, "%s%" PRIu64, chance < CANCELLED_PERCENT ? "C" : "",
              FIRST_INVOICE + number);
    chance = below (100);
    if (chance >= GUEST_PERCENT) {
        uint64_t customers = chance < GUEST_PERCENT + REGULAR_PERCENT ? 10 : orders / 2 + 1;
        snprintf (customer, sizeof customer, "%" PRIu64 ".0", FIRST_CUSTOMER + below (customers));
    }
    const char *country = COUNTRIES[below (COUNT_OF (COUNTRIES))];
    uint64_t lines = below (10) == 0 ? below (60) + 1 : below (5) + 1;
    for (uint64_t i = 0; i < lines; i++) {
        int wrong = (int)below (100) < wrong_percent || (i == 0 && wrong_percent > 0)
                        ? (int)below (3) + 1
                        : 0;
        put_line (order, customer, country, when, wrong);
    }
}

static int parse_number (const char *text, uint64_t most, uint64_t *result)
{
    char *end;
    errno = 0;
    *result = strtoull (text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == 0 && errno == 0 && *result <= most;
}

int main (int argc, char **argv)
{
    static const struct option OPTIONS[] = {{"count", required_argument, NULL, 'n'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    static const char USAGE[] =
        "usage: generate [--count N] [--seed N]\n"
        "Prints N made-up orders (default 1000, at most 10000000) as CSV.\n";
    uint64_t orders = 1000;
    uint64_t seed = 1;
    for (int c; (c = getopt_long (argc, argv, "", OPTIONS, NULL)) != -1;) {
        if (c == 'h') {
            fputs (USAGE, stdout);
            return 0;
        }
        if (!(c == 'n' && parse_number (optarg, ORDERS_COUNT_MAX, &orders)) &&
            !(c == 's' && parse_number (optarg, UINT64_MAX, &seed))) {
            fputs (USAGE, stderr);
            return 2;
        }
    }
    state = seed;
    time_t when = FIRST_TIME;
    puts ("InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country");
    for (uint64_t i = 0; i < orders; i++) {
        when += (time_t)below (600);
        put_order (i, orders, when);
    }
    return fflush (stdout) == 0 && !ferror (stdout) ? 0 : 1;
}
