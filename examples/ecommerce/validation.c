/* SPDX-License-Identifier: MPL-2.0 */

/*  validation.c - the actor that judges orders.
 *
 *  orders.submitted -> orders.cancelled  if the order's number starts with C
 *                   -> orders.rejected   if a line is wrong, with every reason
 *                   -> orders.validated  else, with the exact total
 */
#include "money.h"

#include <baton/baton.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES_MAX 128 /* of a quantity, a price or a stock code */

/*  Copies a text field of a line; cut if it is too long, "" if it is missing.  */
static void copy_field (baton_value_t line, const char *name, char text[TEXT_BYTES_MAX])
{
    baton_value_t value;
    const char *bytes = "";
    size_t size = 0;
    if (baton_value_get (line, name, &value))
        baton_value_str (value, &bytes, &size);
    snprintf (text, TEXT_BYTES_MAX, "%.*s", (int)(size < TEXT_BYTES_MAX ? size : TEXT_BYTES_MAX),
              bytes);
}

static bool parse_quantity (const char *text, int64_t *quantity)
{
    char *end;
    errno = 0;
    *quantity = strtoll (text, &end, 10);
    return errno == 0 && end != text && *end == 0;
}

/*  Adds one line to the total, and what is wrong with it to the reasons; false if anything is.  */
static bool judge_line (baton_value_t line, size_t number, money_t *total, baton_data_t *reasons)
{
    char code[TEXT_BYTES_MAX];
    char quantity_text[TEXT_BYTES_MAX];
    char price_text[TEXT_BYTES_MAX];
    copy_field (line, "code", code);
    copy_field (line, "quantity", quantity_text);
    copy_field (line, "price", price_text);

    char reason[512];
    int64_t quantity;
    money_t price;
    bool good = true;
    if (!parse_quantity (quantity_text, &quantity) || quantity <= 0) {
        snprintf (reason, sizeof reason, "line %zu (%s): quantity '%s' is not above zero", number,
                  code, quantity_text);
        baton_data_put_str (reasons, NULL, reason);
        good = false;
    }
    if (!money_parse (price_text, &price) || price <= 0) {
        snprintf (reason, sizeof reason, "line %zu (%s): price '%s' is not above zero", number,
                  code, price_text);
        baton_data_put_str (reasons, NULL, reason);
        good = false;
    }
    if (good && !money_add_product (total, price, quantity)) {
        snprintf (reason, sizeof reason, "line %zu (%s): the total is out of range", number, code);
        baton_data_put_str (reasons, NULL, reason);
        good = false;
    }
    return good;
}

/*  What the next actors need to know of the order.  */
static void put_order (baton_data_t *data, const baton_event_t *event)
{
    const char *country = baton_event_str (event, "country");
    baton_data_put_str (data, "order", baton_event_str (event, "order"));
    baton_data_put_str (data, "customer", baton_event_key (event));
    baton_data_put_str (data, "country", country != NULL ? country : "");
}

static baton_err_t validate (baton_context_t *context, const baton_event_t *event,
                             baton_value_t lines, baton_data_t *answer)
{
    put_order (answer, event);
    baton_data_begin_array (answer, "reasons");
    money_t total = 0;
    size_t count = baton_value_count (lines);
    bool good = count > 0;
    if (!good)
        baton_data_put_str (answer, NULL, "the order has no lines");
    for (size_t i = 0; i < count; i++) {
        baton_value_t line;
        if (!baton_value_at (lines, i, &line) || !judge_line (line, i + 1, &total, answer))
            good = false;
    }
    baton_data_end (answer);
    if (!good)
        return baton_emit_data (context, "orders.rejected", NULL, answer);

    char text[MONEY_TEXT_BYTES];
    baton_data_clear (answer);
    put_order (answer, event);
    baton_data_put_str (answer, "total", money_format (total, text));
    return baton_emit_data (context, "orders.validated", NULL, answer);
}

static baton_verdict_t on_submitted (baton_context_t *context, const baton_event_t *event,
                                     void *arg)
{
    (void)arg;
    const char *order = baton_event_str (event, "order");
    baton_value_t lines;
    if (order == NULL || !baton_event_field (event, "lines", &lines) ||
        baton_value_type (lines) != BATON_VALUE_ARRAY) {
        baton_reason (context, "an order needs 'order' (text) and 'lines' (array)");
        return BATON_REJECT;
    }
    baton_data_t *answer = baton_data_new ();
    if (answer == NULL) {
        baton_reason (context, "out of memory");
        return BATON_RETRY;
    }
    baton_err_t err;
    if (order[0] == 'C') {
        put_order (answer, event);
        err = baton_emit_data (context, "orders.cancelled", NULL, answer);
    } else
        err = validate (context, event, lines, answer);
    baton_data_destroy (&answer);
    if (err == BATON_OK)
        return BATON_ACK;
    baton_reason (context, "the answer cannot be emitted: %s", baton_err_text (err));
    return baton_err_retriable (err) ? BATON_RETRY : BATON_REJECT;
}

static baton_err_t configure (baton_actor_t *actor, int argc, char **argv, void *arg)
{
    (void)argv, (void)arg;
    if (argc > 0) {
        fputs ("validation takes no arguments of its own\n", stderr);
        return BATON_ERR_ARGUMENT;
    }
    return baton_actor_on (actor, "orders.submitted", on_submitted, NULL);
}

int main (int argc, char **argv)
{
    baton_actor_options_t options = {
        .name = "validation",
        .start = BATON_START_BEGINNING,
        .max_attempts = 20,
        .backoff_max_ms = 2000,
    };
    return baton_actor_main (argc, argv, &options, configure, NULL);
}
