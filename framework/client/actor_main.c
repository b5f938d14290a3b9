/* SPDX-License-Identifier: MPL-2.0 */

/*  actor_main.c - a ready main for a program that is one actor.  */

#include "client/actor_internal.h"
#include "client/link.h"
#include "shell/log.h"
#include "shell/memory.h"
#include "shell/rfc3339.h"
#include "shell/standard.h"
#include "wire/topic.h"
#include <baton/actor.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define EXIT_FENCED EX_TEMPFAIL /* 75 */

typedef struct {
    baton_actor_options_t actor;
    bn_log_format_t log;
    bool help;
} options_t;

enum {
    OPT_CONNECT = 1,
    OPT_NAME,
    OPT_INSTANCE,
    OPT_START,
    OPT_ATTEMPTS,
    OPT_BACKOFF_MIN,
    OPT_BACKOFF_MAX,
    OPT_DEADLINE,
    OPT_TIMEOUT,
    OPT_AWAKE,
    OPT_LOG,
    OPT_HELP
};

static const struct option long_options[] = {
    {"connect", required_argument, NULL, OPT_CONNECT},
    {"name", required_argument, NULL, OPT_NAME},
    {"instance", required_argument, NULL, OPT_INSTANCE},
    {"start", required_argument, NULL, OPT_START},
    {"max-attempts", required_argument, NULL, OPT_ATTEMPTS},
    {"backoff-min", required_argument, NULL, OPT_BACKOFF_MIN},
    {"backoff-max", required_argument, NULL, OPT_BACKOFF_MAX},
    {"handler-deadline", required_argument, NULL, OPT_DEADLINE},
    {"connect-timeout", required_argument, NULL, OPT_TIMEOUT},
    {"keep-awake", required_argument, NULL, OPT_AWAKE},
    {"log", required_argument, NULL, OPT_LOG},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0}};

static void print_help (const char *program, const baton_actor_options_t *options)
{
    printf ("Usage: %s [OPTION]... [-- ARGUMENT...]\n"
            "Runs one instance of the actor \"%s\". SIGTERM and SIGINT drain it.\n"
            "\n"
            "  --connect ENDPOINT     orchestrator (BATON_CONNECT; tcp://127.0.0.1:7711)\n"
            "  --name NAME            another name for the actor\n"
            "  --instance NAME        name of this instance (BATON_INSTANCE; HOST-PID)\n"
            "  --start WHERE          for an actor that is new: tail, beginning, an offset, or a\n"
            "                         time like 2026-01-31T12:00:00Z (of entering the journal)\n"
            "  --max-attempts N       then an event becomes a dead letter\n"
            "  --backoff-min MS       before the first retry\n"
            "  --backoff-max MS       before any retry\n"
            "  --handler-deadline MS  for one call of a handler\n"
            "  --connect-timeout MS   give up when nobody answers for so long; 0: never\n"
            "  --keep-awake MS        processors spin, not sleep, while events come and so long\n"
            "                         after: less latency, more power; 0: not\n"
            "  --log text|json        format of the log lines on standard error (BATON_LOG)\n"
            "  --help                 this text\n"
            "%s%s\n"
            "Exit codes: 0 drained, 2 usage, 69 nobody answers, 70 a handler hung,\n"
            "75 another process has taken the instance name, 1 anything else.\n",
            program, options->name ? options->name : "(--name)",
            options->usage ? "\nThe actor's own arguments, after --:\n" : "",
            options->usage ? options->usage : "");
}

static bool parse_number (const char *text, uint64_t max, uint64_t *number)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    unsigned long long value = strtoull (text, &end, 10);
    if (errno || *end || value > max)
        return false;
    *number = value;
    return true;
}

static bool parse_u32 (const char *text, uint32_t *number)
{
    uint64_t value;
    if (!parse_number (text, UINT32_MAX, &value))
        return false;
    *number = (uint32_t)value;
    return true;
}

static bool parse_start (const char *text, baton_actor_options_t *options)
{
    options->start_value = 0;
    if (strcmp (text, "tail") == 0)
        options->start = BATON_START_TAIL;
    else if (strcmp (text, "beginning") == 0)
        options->start = BATON_START_BEGINNING;
    else if (parse_number (text, UINT64_MAX - 1, &options->start_value))
        options->start = BATON_START_OFFSET;
    else {
        int64_t time_us;
        if (!bn_rfc3339_parse (text, &time_us))
            return false;
        options->start = BATON_START_TIME;
        options->start_value = (uint64_t)time_us;
    }
    return true;
}

static bool take_option (options_t *options, int option, const char *value)
{
    baton_actor_options_t *actor = &options->actor;
    switch (option) {
    case OPT_CONNECT:
        actor->endpoint = value;
        return true;
    case OPT_NAME:
        actor->name = value;
        return true;
    case OPT_INSTANCE:
        actor->instance = value;
        return true;
    case OPT_START:
        return parse_start (value, actor);
    case OPT_ATTEMPTS:
        return parse_u32 (value, &actor->max_attempts) && actor->max_attempts > 0;
    case OPT_BACKOFF_MIN:
        return parse_u32 (value, &actor->backoff_min_ms) && actor->backoff_min_ms > 0;
    case OPT_BACKOFF_MAX:
        return parse_u32 (value, &actor->backoff_max_ms) && actor->backoff_max_ms > 0;
    case OPT_DEADLINE:
        return parse_u32 (value, &actor->handler_deadline_ms) && actor->handler_deadline_ms > 0;
    case OPT_TIMEOUT:
        return parse_u32 (value, &actor->connect_timeout_ms);
    case OPT_AWAKE:
        return parse_u32 (value, &actor->keep_awake_ms);
    case OPT_LOG:
        return bn_log_format_parse (value, &options->log);
    default:
        options->help = true;
        return true;
    }
}

static bool take_environment (options_t *options, const char *program)
{
    static const struct {
        const char *name;
        int option;
    } variables[] = {
        {"BATON_CONNECT", OPT_CONNECT}, {"BATON_INSTANCE", OPT_INSTANCE}, {"BATON_LOG", OPT_LOG}};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const char *value = getenv (variables[i].name);
        if (value && *value && !take_option (options, variables[i].option, value)) {
            fprintf (stderr, "%s: %s: not a valid value: %s\n", program, variables[i].name, value);
            return false;
        }
    }
    return true;
}

/*  *rest: index of the first argument after "--", or argc. False: the user was told what is wrong.
 */
static bool parse (options_t *options, int argc, char **argv, int *rest)
{
    if (!take_environment (options, argv[0]))
        return false;
    int option, index = 0;
    optind = 1;
    while ((option = getopt_long (argc, argv, "+", long_options, &index)) != -1) {
        if (option == '?')
            return false;
        if (!take_option (options, option, optarg)) {
            fprintf (stderr, "%s: --%s: not a valid value: %s\n", argv[0], long_options[index].name,
                     optarg);
            return false;
        }
    }
    *rest = optind;
    if (optind < argc && strcmp (argv[optind - 1], "--") != 0) {
        fprintf (stderr, "%s: unexpected argument: %s (the actor's own come after --)\n", argv[0],
                 argv[optind]);
        return false;
    }
    return true;
}

/*  Says which option baton_actor_new did not take.  */
static void explain (const char *program, baton_err_t err, const baton_actor_options_t *options)
{
    const char *name = options->name, *instance = options->instance;
    if (!name)
        fprintf (stderr, "%s: the actor needs a --name\n", program);
    else if (err == BATON_ERR_NAME && !bn_actor_name_valid (name, strlen (name)))
        fprintf (stderr, "%s: --name: not a valid name: %s\n", program, name);
    else if (err == BATON_ERR_NAME)
        fprintf (stderr, "%s: --instance: not a valid name: %s\n", program, instance);
    else if (options->endpoint && !bn_link_endpoint_valid (options->endpoint))
        fprintf (stderr, "%s: --connect: not an endpoint like tcp://HOST:PORT or ipc://PATH: %s\n",
                 program, options->endpoint);
    else if (err == BATON_ERR_ARGUMENT)
        fprintf (stderr,
                 "%s: a limit is out of range: at most 1,000 attempts, a handler deadline and "
                 "backoffs up to 86,400,000 ms, the least backoff not above the most, awake for at "
                 "most 60,000 ms\n",
                 program);
    else
        fprintf (stderr, "%s: %s\n", program, baton_err_text (err));
}

/*  What a signal stops.  */
static _Atomic (baton_actor_t *) running;

static void on_signal (int number)
{
    (void)number;
    baton_actor_t *actor = atomic_load (&running);
    if (actor)
        baton_actor_stop (actor);
}

/*  The second signal of a kind finds the default action: it ends a process that does not drain.  */
static void catch_signals (void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART | (int)SA_RESETHAND};
    sigemptyset (&action.sa_mask);
    sigaction (SIGTERM, &action, NULL);
    sigaction (SIGINT, &action, NULL);
    signal (SIGPIPE, SIG_IGN);
}

static int run (baton_actor_t *actor, bn_notify_t *notify)
{
    actor->notify = notify->fd >= 0 ? notify : NULL;
    atomic_store (&running, actor);
    catch_signals ();
    baton_err_t err = baton_actor_run (actor);
    atomic_store (&running, NULL);
    bn_notify_fini (notify);
    if (err)
        bn_log (BN_LOG_ERROR, "ended: %s: %s", baton_err_name (err),
                baton_actor_error_text (actor));
    switch (err) {
    case BATON_OK:
        return 0;
    case BATON_ERR_UNREACHABLE:
        return EX_UNAVAILABLE;
    case BATON_ERR_FENCED:
        return EXIT_FENCED;
    default:
        return 1;
    }
}

int baton_actor_main (int argc, char **argv, const baton_actor_options_t *defaults,
                      baton_configure_fn *configure, void *arg)
{
    options_t options = {.log = BN_LOG_TEXT};
    bn_notify_t notify;
    const char *why;
    int rest;
    bn_standard_hold ();
    bn_memory_keep ();
    if (defaults)
        options.actor = *defaults;
    options.actor.exit_when_hung = true;
    if (!parse (&options, argc, argv, &rest)) {
        fprintf (stderr, "Try %s --help\n", argv[0]);
        return 2;
    }
    if (options.help) {
        print_help (argv[0], &options.actor);
        return 0;
    }
    char who[2 * BATON_NAME_BYTES_MAX + 2];
    snprintf (who, sizeof who, "%s%s%s", options.actor.name ? options.actor.name : argv[0],
              options.actor.instance ? "/" : "",
              options.actor.instance ? options.actor.instance : "");
    bn_log_setup (who, options.log, BN_LOG_INFO);

    /*  Before configure, which may start threads or processes of its own.  */
    if (!bn_notify_init (&notify, &why))
        bn_log (BN_LOG_WARNING, "%s", why);
    baton_actor_t *actor;
    baton_err_t err = baton_actor_new (&actor, &options.actor);
    if (err) {
        explain (argv[0], err, &options.actor);
        return err == BATON_ERR_MEMORY ? 1 : 2;
    }
    err = configure (actor, argc - rest, argv + rest, arg);
    int code = err ? 2 : run (actor, &notify);
    if (err)
        fprintf (stderr, "%s: cannot configure the actor: %s\n", argv[0], baton_err_text (err));
    if (err == BATON_ERR_ARGUMENT && options.actor.usage)
        fprintf (stderr, "The actor's own arguments, after --:\n%s", options.actor.usage);
    baton_actor_destroy (&actor);
    return code;
}
