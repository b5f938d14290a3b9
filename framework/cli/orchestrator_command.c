/* SPDX-License-Identifier: MPL-2.0 */

/*  orchestrator_command.c - `baton orchestrator`: one orchestrator, until SIGTERM or Ctrl-C.  */

#include "cli/cli.h"
#include "cli/options.h"
#include "orchestrator/config.h"
#include "shell/clock.h"
#include "shell/log.h"
#include "shell/notify.h"
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const char about[] =
    "Runs an orchestrator until SIGTERM or Ctrl-C; then it writes what it has accepted and ends.\n"
    "Prints the endpoint on standard output once it serves; everything else goes to standard "
    "error.\n"
    "Safe without any configuration: it binds to 127.0.0.1, keeps its data in ./.baton, and a\n"
    "receipt means that the events are on disk.";

typedef struct {
    const char *data_dir;
    const char *endpoint;
    const char *log;
    bool check;
} arguments_t;

/*  The paragraphs below the options: the configuration file, from the table of properties.  */
static char *make_details (void)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream (&text, &size);
    if (!out)
        return NULL;
    fprintf (out,
             "FILE.conf is ZPL (https://rfc.zeromq.org/spec/4/), four spaces for each level. "
             "Every property\nand its default (--data-dir and --endpoint win over the file):\n\n");
    bn_orchestrator_config_print (out);
    fprintf (out, "\nExit codes: 0 stopped as asked (or the configuration is fine), 1 failed (the "
                  "last line says why),\n2 wrong usage or configuration.");
    return fclose (out) == 0 ? text : NULL;
}

/*  -1: go on, else the exit code.  */
static int parse (arguments_t *arguments, int argc, char **argv, const char **file)
{
    const bn_option_t options[] = {
        {"data-dir", 'd', BN_OPTION_TEXT, &arguments->data_dir, "DIR", "where the journal is kept",
         0, 0},
        {"endpoint", 'e', BN_OPTION_TEXT, &arguments->endpoint, "ENDPOINT",
         "where to listen for requests", 0, 0},
        {"check", 0, BN_OPTION_FLAG, &arguments->check, NULL, "only check the configuration", 0, 0},
        {"log", 0, BN_OPTION_TEXT, &arguments->log, "FORMAT",
         "text or json (default: $BATON_LOG, or text)", 0, 0},
    };
    char *details = make_details ();
    bn_command_t command = {
        .usage = "orchestrator [OPTION]... [FILE.conf]",
        .about = about,
        .details = details,
        .options = options,
        .option_count = sizeof options / sizeof *options,
    };
    int first;
    int code = bn_options_parse (&command, argc, argv, &first);
    free (details);
    if (code >= 0)
        return code;
    if (argc - first > 1)
        return bn_usage_error (argv[0], "one configuration file at most, not '%s'",
                               argv[first + 1]);
    *file = first < argc ? argv[first] : NULL;
    return -1;
}

/*  A connection is a descriptor, and an actor has two of them: the usual soft limit of 1,024 is
 * less than sessions_max.  */
static void raise_descriptor_limit (void)
{
    struct rlimit limit;
    if (getrlimit (RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit (RLIMIT_NOFILE, &limit);
    }
}

/*  Waits for a signal (true) or the orchestrator's own end, and tells meanwhile who started this
 *  process how it is: well, while the serving thread comes round.  */
static bool wait_for_end (baton_orchestrator_t *orchestrator, int signal_fd, bn_notify_t *notify)
{
    struct pollfd items[] = {
        {.fd = signal_fd, .events = POLLIN},
        {.fd = baton_orchestrator_fd (orchestrator), .events = POLLIN},
    };
    /*  Half of the time that the watchdog waits is what the serving thread may be silent.  */
    uint64_t silent_ms_max = notify->watchdog_ms / 2;
    int every_ms = notify->fd < 0                   ? -1
                   : notify->watchdog_ms / 4 > 1000 ? 1000
                   : notify->watchdog_ms / 4 > 0    ? (int)(notify->watchdog_ms / 4)
                                                    : 1000;
    int wait_ms = 0;
    bn_notify_ready (notify);
    while (poll (items, 2, wait_ms) <= 0) {
        wait_ms = every_ms;
        uint64_t silent_ms = baton_orchestrator_silent_ms (orchestrator);
        uint64_t now_ms = bn_clock_now ().mono_ms;
        if (notify->watchdog_ms == 0 || silent_ms < silent_ms_max) {
            bn_notify_status (notify, now_ms, "serving at %s",
                              baton_orchestrator_endpoint (orchestrator));
            bn_notify_alive (notify, now_ms);
        } else
            bn_notify_status (notify, now_ms, "the serving thread has not come round for %u s",
                              (unsigned)(silent_ms / 1000));
    }
    bn_notify_stopping (notify);
    return items[0].revents != 0;
}

/*  The exit code.  */
static int serve (const baton_orchestrator_options_t *options, bn_notify_t *notify)
{
    sigset_t signals;
    sigemptyset (&signals);
    sigaddset (&signals, SIGTERM);
    sigaddset (&signals, SIGINT);
    /*  Before any thread is started: all of them inherit it.  */
    sigprocmask (SIG_BLOCK, &signals, NULL);
    signal (SIGPIPE, SIG_IGN);
    int signal_fd = signalfd (-1, &signals, SFD_CLOEXEC);
    if (signal_fd < 0)
        return bn_failure ("orchestrator", BATON_ERR_SYSTEM, "signalfd: %m");

    baton_orchestrator_t *orchestrator;
    char detail[512];
    baton_err_t err = baton_orchestrator_new (&orchestrator, options, detail, sizeof detail);
    if (err) {
        close (signal_fd);
        return bn_failure ("orchestrator", err, "%s", detail);
    }
    printf ("%s\n", baton_orchestrator_endpoint (orchestrator));
    fflush (stdout);

    if (wait_for_end (orchestrator, signal_fd, notify))
        bn_log (BN_LOG_INFO, "stopping");
    err = baton_orchestrator_stop (orchestrator, detail, sizeof detail);
    baton_orchestrator_destroy (&orchestrator);
    close (signal_fd);
    if (err)
        return bn_failure ("orchestrator", err, "%s", detail);
    bn_log (BN_LOG_INFO, "stopped");
    return BN_EXIT_OK;
}

/*  Options of the command line over the file's; checks the result.  */
static int prepare (const arguments_t *arguments, const char *file,
                    bn_orchestrator_config_t *config)
{
    char detail[512];
    baton_err_t err = file ? bn_orchestrator_config_load (config, file, detail) : BATON_OK;
    if (err == BATON_ERR_CONFIG || err == BATON_ERR_NOT_FOUND)
        return bn_usage_error ("orchestrator", "%s", detail);
    if (err)
        return bn_failure ("orchestrator", err, "%s", detail);
    if (arguments->data_dir)
        config->options.data_dir = arguments->data_dir;
    if (arguments->endpoint)
        config->options.endpoint = arguments->endpoint;
    baton_orchestrator_options_t filled;
    err = bn_orchestrator_options_fill (&filled, &config->options, detail);
    if (err)
        return bn_usage_error ("orchestrator", "%s", detail);
    if (filled.sync == BATON_SYNC_NEVER && !arguments->check)
        bn_log (BN_LOG_WARNING, "sync = never: receipts promise nothing");
    return -1;
}

int bn_cli_orchestrator (int argc, char **argv)
{
    arguments_t arguments = {.log = getenv ("BATON_LOG")};
    const char *file = NULL;
    int code = parse (&arguments, argc, argv, &file);
    if (code >= 0)
        return code;
    bn_log_format_t format = BN_LOG_TEXT;
    if (arguments.log && *arguments.log && !bn_log_format_parse (arguments.log, &format))
        return bn_usage_error (argv[0], "--log is text or json, not '%s'", arguments.log);
    bn_log_setup ("orchestrator", format, BN_LOG_INFO);

    bn_orchestrator_config_t config;
    bn_orchestrator_config_init (&config);
    code = prepare (&arguments, file, &config);
    if (code < 0 && arguments.check) {
        printf ("%s: the configuration is fine\n", file ? file : "(defaults)");
        code = BN_EXIT_OK;
    }
    if (code < 0) {
        raise_descriptor_limit ();
        bn_notify_t notify;
        const char *why;
        if (!bn_notify_init (&notify, &why))
            bn_log (BN_LOG_WARNING, "%s", why);
        code = serve (&config.options, &notify);
        bn_notify_fini (&notify);
    }
    bn_orchestrator_config_fini (&config);
    return code;
}
