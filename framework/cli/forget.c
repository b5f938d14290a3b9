/* SPDX-License-Identifier: MPL-2.0 */

/*  forget.c - `baton forget`: an actor that is no longer wanted.  */

#include "cli/cli.h"
#include "cli/connect.h"
#include "wire/topic.h"
#include <stdio.h>
#include <string.h>

static const char s_about[] =
    "Forgets an actor: its registration, its place in every partition, its parked events and its\n"
    "list of dead letters. From then on no events are kept for it, and the journal may let go of\n"
    "what only it still needed. An actor of that name that joins later is a new one.";

static const char s_details[] = "Asks first, on a terminal.\n"
                                "\n"
                                "Exit codes: 0 forgotten, 1 refused (no such actor, or instances "
                                "of it run), 2 wrong usage, 69\n"
                                "no answer from the orchestrator.";

int bn_cli_forget (int argc, char **argv)
{
    bn_connect_options_t connect;
    bool yes = false, as_json = false;
    const bn_option_t table[] = {
        {"yes", 'y', BN_OPTION_FLAG, &yes, NULL, "do not ask", 0, 0},
        BN_CONNECT_OPTIONS (&connect),
        BN_JSON_OPTION (&as_json),
    };
    const bn_command_t command = {.usage = "forget [OPTION]... ACTOR",
                                  .about = s_about,
                                  .details = s_details,
                                  .options = table,
                                  .option_count = sizeof (table) / sizeof (table[0])};
    bn_admin_t *admin;
    const bn_message_t *reply;
    int first;

    bn_connect_options_init (&connect);
    int code = bn_options_parse (&command, argc, argv, &first);
    if (code >= 0)
        return code;
    if (argc - first != 1)
        return bn_usage_error ("forget", argc == first ? "which ACTOR?" : "one ACTOR only");
    const char *actor = argv[first];
    if (!bn_actor_name_valid (actor, strlen (actor)))
        return bn_usage_error ("forget", "'%s' is not an actor's name", actor);
    if (!yes && !bn_confirm ("Forget %s, with what is parked and dead for it?", actor))
        return bn_failure ("forget", BATON_OK, "nothing was done");

    code = bn_connect (&admin, "forget", &connect);
    if (code >= 0)
        return code;
    bn_message_t request = {.type = BN_FORGET, .forget = {.text = actor, .size = strlen (actor)}};
    baton_err_t err = bn_admin_request (admin, &request, BN_FORGOTTEN, 0, &reply);
    if (err)
        code = bn_failure ("forget", err, "%s", bn_admin_error_text (admin));
    else {
        printf (as_json ? "{\"forgotten\":\"%s\"}\n" : "%s is forgotten\n", actor);
        code = BN_EXIT_OK;
    }
    bn_admin_destroy (&admin);
    return code;
}
