/* SPDX-License-Identifier: MPL-2.0 */

/*  first.c - a first actor: greets whoever says hello, and counts.  */
#include <baton/baton.h>
#include <stdio.h>

static baton_verdict_t on_hello (baton_context_t *context, const baton_event_t *event, void *arg)
{
    int *greeted = arg;
    const char *name = baton_event_str (event, "name");
    if (name == NULL) {
        baton_reason (context, "a hello needs a 'name'");
        return BATON_REJECT; /* to the dead letters, with that reason */
    }
    printf ("hello, %s; you are number %d\n", name, ++*greeted);
    fflush (stdout);

    baton_data_t *data = baton_data_new ();
    baton_data_put_str (data, "name", name);
    baton_data_put_int (data, "number", *greeted);
    baton_emit_data (context, "greetings.sent", NULL, data);
    baton_data_destroy (&data);
    return BATON_ACK; /* the acknowledgement and the emitted event are one atomic step */
}

static baton_err_t configure (baton_actor_t *actor, int argc, char **argv, void *arg)
{
    (void)argc, (void)argv;
    return baton_actor_on (actor, "greetings.hello", on_hello, arg);
}

int main (int argc, char **argv)
{
    int greeted = 0;
    baton_actor_options_t options = {.name = "greeter"};
    return baton_actor_main (argc, argv, &options, configure, &greeted);
}
