/* SPDX-License-Identifier: MPL-2.0 */

/*  shipping.c - the actor that asks for a shipment of what was paid.
 *
 *  payments.charged -> shipments.requested
 */
#include <baton/baton.h>
#include <stdio.h>

static baton_verdict_t on_charged (baton_context_t *context, const baton_event_t *event, void *arg)
{
    (void)arg;
    const char *order = baton_event_str (event, "order");
    const char *country = baton_event_str (event, "country");
    if (order == NULL || country == NULL) {
        baton_reason (context, "a charge needs 'order' and 'country' (text)");
        return BATON_REJECT;
    }
    baton_data_t *data = baton_data_new ();
    if (data == NULL) {
        baton_reason (context, "out of memory");
        return BATON_RETRY;
    }
    baton_data_put_str (data, "order", order);
    baton_data_put_str (data, "customer", baton_event_key (event));
    baton_data_put_str (data, "destination", country);
    /* A failed emission turns the ACK into a REJECT, with its reason. */
    baton_emit_data (context, "shipments.requested", NULL, data);
    baton_data_destroy (&data);
    return BATON_ACK;
}

static baton_err_t configure (baton_actor_t *actor, int argc, char **argv, void *arg)
{
    (void)argv, (void)arg;
    if (argc > 0) {
        fputs ("shipping takes no arguments of its own\n", stderr);
        return BATON_ERR_ARGUMENT;
    }
    return baton_actor_on (actor, "payments.charged", on_charged, NULL);
}

int main (int argc, char **argv)
{
    baton_actor_options_t options = {
        .name = "shipping",
        .start = BATON_START_BEGINNING,
        .max_attempts = 20,
        .backoff_max_ms = 2000,
    };
    return baton_actor_main (argc, argv, &options, configure, NULL);
}
