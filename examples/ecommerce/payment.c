/* SPDX-License-Identifier: MPL-2.0 */

/*  payment.c - the actor that charges validated orders at the gateway.
 *
 *  orders.validated -> payments.charged
 *                   -> payments.declined  for good
 *                   -> (retry)            when the gateway fails for the moment
 *
 *  A charge is the one thing here that cannot be taken back by a crash: it happens outside. So the
 *  event's id goes along as the idempotency key; whatever is delivered again is charged once.
 */
#include "gateway.h"

#include <baton/baton.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static baton_err_t answer (baton_context_t *context, const baton_event_t *event, const char *topic,
                           const char *reason)
{
    baton_data_t *data = baton_data_new ();
    if (data == NULL)
        return BATON_ERR_MEMORY;
    baton_data_put_str (data, "order", baton_event_str (event, "order"));
    baton_data_put_str (data, "customer", baton_event_key (event));
    baton_data_put_str (data, "country", baton_event_str (event, "country"));
    baton_data_put_str (data, "amount", baton_event_str (event, "total"));
    if (reason != NULL)
        baton_data_put_str (data, "reason", reason);
    baton_err_t err = baton_emit_data (context, topic, NULL, data);
    baton_data_destroy (&data);
    return err;
}

static baton_verdict_t on_validated (baton_context_t *context, const baton_event_t *event,
                                     void *arg)
{
    gateway_t *gateway = *(gateway_t **)arg;
    const char *order = baton_event_str (event, "order");
    const char *total = baton_event_str (event, "total");
    money_t amount;
    if (order == NULL || total == NULL || baton_event_str (event, "country") == NULL ||
        !money_parse (total, &amount)) {
        baton_reason (context, "a validated order needs 'order', 'country' and 'total' (text)");
        return BATON_REJECT;
    }
    gateway_request_t request = {
        .id = baton_event_id (event),
        .order = order,
        .amount = amount,
        .attempt = baton_event_attempt (event),
    };
    baton_err_t err = BATON_OK;
    switch (gateway_charge (gateway, &request)) {
    case GATEWAY_CHARGED:
        err = answer (context, event, "payments.charged", NULL);
        break;
    case GATEWAY_DECLINED:
        err = answer (context, event, "payments.declined", gateway_reason (gateway));
        break;
    case GATEWAY_UNAVAILABLE:
        baton_reason (context, "%s", gateway_reason (gateway));
        return BATON_RETRY;
    }
    if (err == BATON_OK)
        return BATON_ACK;
    baton_reason (context, "the answer cannot be emitted: %s", baton_err_text (err));
    return baton_err_retriable (err) ? BATON_RETRY : BATON_REJECT;
}

static bool parse_rate (const char *text, double *rate)
{
    char *end;
    *rate = strtod (text, &end);
    return end != text && *end == 0 && *rate >= 0 && *rate <= 1;
}

static baton_err_t configure (baton_actor_t *actor, int argc, char **argv, void *arg)
{
    gateway_options_t options = {.path = "gateway.db"};
    bool good = argc % 2 == 0;
    for (int i = 0; i + 1 < argc; i += 2) {
        const char *value = argv[i + 1];
        char *end = "";
        if (strcmp (argv[i], "--gateway") == 0)
            options.path = value;
        else if (strcmp (argv[i], "--fail-rate") == 0)
            good = good && parse_rate (value, &options.fail_rate);
        else if (strcmp (argv[i], "--decline-rate") == 0)
            good = good && parse_rate (value, &options.decline_rate);
        else if (strcmp (argv[i], "--seed") == 0)
            options.seed = strtoull (value, &end, 10);
        else
            good = false;
        good = good && *end == 0;
    }
    if (!good)
        return BATON_ERR_ARGUMENT;
    char error[256];
    gateway_t **gateway = arg;
    *gateway = gateway_open (&options, error, sizeof error);
    if (*gateway == NULL) {
        fprintf (stderr, "payment: %s\n", error);
        return BATON_ERR_IO;
    }
    return baton_actor_on (actor, "orders.validated", on_validated, arg);
}

int main (int argc, char **argv)
{
    gateway_t *gateway = NULL;
    baton_actor_options_t options = {
        .name = "payment",
        .start = BATON_START_BEGINNING,
        .max_attempts = 20,
        .backoff_min_ms = 50,
        .backoff_max_ms = 2000,
        .usage = "  --gateway FILE         the gateway's database (gateway.db)\n"
                 "  --fail-rate 0..1       share of the calls that fail for the moment (0)\n"
                 "  --decline-rate 0..1    share of the orders that are declined for good (0)\n"
                 "  --seed N               for both (0)\n",
    };
    int code = baton_actor_main (argc, argv, &options, configure, &gateway);
    gateway_close (&gateway);
    return code;
}
