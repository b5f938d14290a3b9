/* SPDX-License-Identifier: MPL-2.0 */

/*  A program of somebody else's, built against an installed libbaton: an orchestrator, a producer
 *  and an actor in one process, and one event through all of them.  */

#include <baton/baton.h>
#include <stdio.h>

static baton_actor_t *actor;

static baton_verdict_t greet (baton_context_t *context, const baton_event_t *event, void *arg)
{
    const char *name = baton_event_str (event, "name");
    (void)context;
    if (name) {
        *(int *)arg = 1;
        printf ("hello %s, event %s of %s\n", name, baton_event_id (event),
                baton_event_topic (event));
    }
    baton_actor_stop (actor);
    return BATON_ACK;
}

static int fail (const char *what, baton_err_t err, const char *detail)
{
    fprintf (stderr, "%s: %s: %s\n", what, baton_err_name (err), detail);
    return 1;
}

int main (int argc, char **argv)
{
    char detail[512] = "";
    int greeted = 0;
    baton_orchestrator_t *orchestrator;
    baton_orchestrator_options_t options = {.data_dir = argc > 1 ? argv[1] : "data",
                                            .endpoint = "tcp://127.0.0.1:*"};
    baton_err_t err = baton_orchestrator_new (&orchestrator, &options, detail, sizeof detail);
    if (err)
        return fail ("orchestrator", err, detail);
    const char *endpoint = baton_orchestrator_endpoint (orchestrator);

    baton_producer_t *producer;
    err = baton_producer_new (&producer, &(baton_producer_options_t){.endpoint = endpoint});
    if (err)
        return fail ("producer", err, "");
    baton_data_t *data = baton_data_new ();
    baton_data_put_str (data, "name", "world");
    err = baton_publish_data (producer, "greetings", "k", data);
    if (!err)
        err = baton_producer_flush (producer, 30000);
    if (err)
        return fail ("publish", err, "");
    baton_data_destroy (&data);
    baton_producer_destroy (&producer);

    baton_actor_options_t actor_options = {.name = "greeter",
                                           .endpoint = endpoint,
                                           .start = BATON_START_BEGINNING,
                                           .connect_timeout_ms = 30000};
    err = baton_actor_new (&actor, &actor_options);
    if (!err)
        err = baton_actor_on (actor, "greetings", greet, &greeted);
    if (!err)
        err = baton_actor_run (actor);
    if (err)
        return fail ("actor", err, actor ? baton_actor_error_text (actor) : "");
    baton_actor_destroy (&actor);
    baton_orchestrator_destroy (&orchestrator);
    return greeted ? 0 : 1;
}
