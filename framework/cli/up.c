/* SPDX-License-Identifier: MPL-2.0 */

/*  up.c - `baton up`: an orchestrator and its actors from one file.  */

#include "cli/cli.h"
#include "cli/options.h"
#include "cli/up_config.h"
#include "client/admin.h"
#include "shell/clock.h"
#include "shell/log.h"
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define GATE_TIMEOUT_MS  100  /* for one question whether the orchestrator is there */
#define GATE_PATIENCE_MS 5000 /* between two lines that say that it is not */

static const char s_about[] =
    "Runs an orchestrator and actors, as FILE says, until Ctrl-C or SIGTERM. What an instance\n"
    "prints comes out with its name in front. An instance that ends is started again, after 0.2 s\n"
    "at first, up to 10 s when it keeps ending. Stopping goes in reverse order: each actor is "
    "asked\n"
    "with SIGTERM and finishes the event in hand; after its stop_timeout it is killed; the\n"
    "orchestrator stops last. A second Ctrl-C kills everything.";

static const char s_details[] =
    "The file (ZPL, four spaces for each level):\n"
    "\n"
    "  orchestrator                  what `baton orchestrator` takes: baton orchestrator --help\n"
    "      data_dir = ./.baton\n"
    "      endpoint = tcp://127.0.0.1:7711     port *: a free one, kept over restarts\n"
    "  restart_backoff_max = 10s     between restarts of what keeps ending; default 10s\n"
    "  actors                        started in this order\n"
    "      payment\n"
    "          command = \"./payment --max-attempts 3\"    words; no shell\n"
    "          instances = 2         default 1; baton scale payment N changes it\n"
    "          directory = ./work    to run in\n"
    "          stop_timeout = 10s    default 10s\n"
    "          environment\n"
    "              LEVEL = debug\n"
    "\n"
    "  Without a section orchestrator: connect = ENDPOINT, and data_dir for the control socket.\n"
    "\n"
    "Each instance gets BATON_CONNECT, the endpoint, and BATON_INSTANCE, its name: payment-1, ...\n"
    "At most 256 instances. Relative paths start from the current directory.\n"
    "\n"
    "Exit codes: 0 stopped cleanly, 1 the orchestrator did not come up or the data directory "
    "cannot\n"
    "be used, 2 wrong usage or a wrong file.";

typedef struct {
    bool colour;
    bool as_json;      /* each line an object */
    bool closed;       /* standard output takes nothing any more */
    size_t name_width; /* of the prefix */
} s_output_t;

typedef struct {
    bn_admin_t *admin; /* owned; asks the orchestrator */
    const char *endpoint;
    uint64_t warn_ms; /* when to say that it does not answer */
} s_gate_t;

static void s_write (s_output_t *self, const struct iovec *parts, int count)
{
    while (writev (STDOUT_FILENO, parts, count) < 0) {
        if (errno == EINTR)
            continue;
        self->closed = true; /* the reader has gone; what runs goes on */
        return;
    }
}

/*  {"instance": "payment-1", "entry": {...}} around a line that is a JSON object itself,
 *  {"instance": ..., "text": "..."} around any other.  */
static void s_json_line (s_output_t *self, const char *name, const char *line, size_t size)
{
    json_t *entry = json_loadb (line, size, JSON_REJECT_DUPLICATES, NULL);
    bool is_object = json_is_object (entry);
    json_t *object = is_object
                         ? json_pack ("{s:s, s:O}", "instance", name, "entry", entry)
                         : json_pack ("{s:s, s:s%}", "instance", name, "text", line, size);
    /*  What is not UTF-8 has no place in JSON, and no lesser one here.  */
    if (!object)
        object = json_pack ("{s:s, s:s}", "instance", name, "text", "(a line that is not UTF-8)");
    char *text = object ? json_dumps (object, JSON_COMPACT) : NULL;
    if (text) {
        struct iovec parts[2] = {{.iov_base = text, .iov_len = strlen (text)},
                                 {.iov_base = (void *)(uintptr_t) "\n", .iov_len = 1}};
        s_write (self, parts, 2);
    }
    free (text);
    json_decref (object);
    json_decref (entry);
}

/*  One write for a line: those of several processes on the same terminal do not mix.  */
static void s_line (const char *service, uint32_t slot, const char *line, size_t size, void *arg)
{
    s_output_t *self = arg;
    char prefix[128];
    unsigned hue = 0;
    if (self->closed)
        return;
    for (const char *at = service; *at; at++)
        hue = hue * 31 + (unsigned char)*at;
    char name[BATON_NAME_BYTES_MAX + 16];
    snprintf (name, sizeof (name), "%s-%" PRIu32, service, slot);
    if (self->as_json) {
        s_json_line (self, name, line, size);
        return;
    }
    int prefix_size =
        self->colour ? snprintf (prefix, sizeof (prefix), "\033[3%um%-*s |\033[0m ", 1 + hue % 6,
                                 (int)self->name_width, name)
                     : snprintf (prefix, sizeof (prefix), "%-*s | ", (int)self->name_width, name);
    struct iovec parts[3] = {{.iov_base = prefix, .iov_len = (size_t)prefix_size},
                             {.iov_base = (void *)(uintptr_t)line, .iov_len = size},
                             {.iov_base = (void *)(uintptr_t) "\n", .iov_len = 1}};
    s_write (self, parts, 3);
}

static bool s_orchestrator_answers (void *arg)
{
    s_gate_t *self = arg;
    uint64_t now_ms = bn_clock_now ().mono_ms;
    bn_admin_options_t options = {
        .endpoint = self->endpoint, .name = "up", .timeout_ms = GATE_TIMEOUT_MS};
    if (!self->warn_ms)
        self->warn_ms = now_ms + GATE_PATIENCE_MS;
    if (!self->admin && bn_admin_new (&self->admin, &options))
        return false;
    if (bn_admin_welcome (self->admin)) {
        bn_admin_destroy (&self->admin);
        return true;
    }
    if (now_ms >= self->warn_ms) {
        self->warn_ms = now_ms + GATE_PATIENCE_MS;
        bn_log (BN_LOG_WARNING, "the orchestrator at %s does not answer yet", self->endpoint);
    }
    return false;
}

/*  Makes a directory and those above it.  */
static bool s_make_directory (const char *path)
{
    char part[PATH_MAX];
    if (snprintf (part, sizeof (part), "%s", path) >= (int)sizeof (part)) {
        errno = ENAMETOOLONG;
        return false;
    }
    for (char *at = part + 1; *at; at++)
        if (*at == '/') {
            *at = 0;
            if (mkdir (part, 0700) && errno != EEXIST)
                return false;
            *at = '/';
        }
    return mkdir (part, 0700) == 0 || errno == EEXIST;
}

static baton_err_t s_add_orchestrator (bn_supervisor_t *supervisor, const bn_up_config_t *config,
                                       const char *path, s_gate_t *gate)
{
    const char *argv[] = {"/proc/self/exe", "orchestrator", path, NULL};
    char self_path[PATH_MAX];
    ssize_t size = readlink (argv[0], self_path, sizeof (self_path) - 1);
    if (size > 0) {
        self_path[size] = 0;
        argv[0] = self_path;
    }
    bn_service_options_t service = {.name = "orchestrator",
                                    .argv = argv,
                                    .instances = 1,
                                    .backoff_max_ms = config->backoff_max_ms,
                                    .gate = s_orchestrator_answers,
                                    .gate_arg = gate,
                                    .essential = true};
    if (!bn_up_config_write (config, path)) {
        bn_log (BN_LOG_ERROR, "%s: %s", path, strerror (errno));
        return BATON_ERR_SYSTEM;
    }
    return bn_supervisor_add (supervisor, &service);
}

static baton_err_t s_add_actors (bn_supervisor_t *supervisor, const bn_up_config_t *config)
{
    char connect[512];
    snprintf (connect, sizeof (connect), "BATON_CONNECT=%s", config->connect);
    for (size_t i = 0; i < config->actor_count; i++) {
        const bn_up_actor_t *actor = &config->actors[i];
        const char *environment[BN_UP_ENVIRONMENT_MAX + 2] = {connect};
        for (size_t k = 0; actor->environment[k]; k++)
            environment[k + 1] = actor->environment[k];
        bn_service_options_t service = {.name = actor->name,
                                        .argv = (const char *const *)actor->argv,
                                        .environment = environment,
                                        .directory = actor->directory,
                                        .instances = actor->instances,
                                        .stop_timeout_ms = actor->stop_timeout_ms,
                                        .backoff_max_ms = config->backoff_max_ms};
        baton_err_t err = bn_supervisor_add (supervisor, &service);
        if (err)
            return err;
    }
    return BATON_OK;
}

/*  Everything that needs the supervisor; destroyed by the caller.  */
static int s_run (bn_supervisor_t *supervisor, bn_up_config_t *config, s_gate_t *gate)
{
    char detail[512] = "";
    char path[PATH_MAX];
    if (!s_make_directory (config->data_dir))
        return bn_failure ("up", BATON_OK, "%s: %s", config->data_dir, strerror (errno));
    baton_err_t err = bn_supervisor_listen (supervisor, config->data_dir, detail, sizeof (detail));
    if (!err)
        err = bn_up_config_settle (config, detail);
    if (err)
        return bn_failure ("up", err, "%s", detail);

    gate->endpoint = config->connect;
    if (snprintf (path, sizeof (path), "%s/orchestrator.conf", config->data_dir) >=
        (int)sizeof (path))
        return bn_failure ("up", BATON_OK, "%s: the name is too long", config->data_dir);
    if (config->orchestrator_set) {
        err = s_add_orchestrator (supervisor, config, path, gate);
        if (err)
            return bn_failure ("up", err, "the orchestrator cannot be set up");
    }
    err = s_add_actors (supervisor, config);
    if (err)
        return bn_failure ("up", err, "the actors cannot be set up");
    bn_log (BN_LOG_INFO, "endpoint %s, data in %s, pid %d", config->connect, config->data_dir,
            (int)getpid ());
    return bn_supervisor_run (supervisor) ? BN_EXIT_FAILED : BN_EXIT_OK;
}

static int s_up (bn_up_config_t *config, const char *log)
{
    s_output_t output = {.colour = isatty (STDOUT_FILENO) && !getenv ("NO_COLOR"),
                         .as_json = log && strcmp (log, "json") == 0,
                         .name_width = strlen ("orchestrator.1")};
    s_gate_t gate = {0};
    bn_supervisor_t *supervisor;
    bn_supervisor_options_t options = {.line = s_line,
                                       .arg = &output,
                                       .instance_variable = "BATON_INSTANCE"};

    if (log)
        setenv ("BATON_LOG", log, 1); /* for the children too */
    signal (SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < config->actor_count; i++) {
        size_t width = strlen (config->actors[i].name) + 2;
        output.name_width = width > output.name_width ? width : output.name_width;
    }
    baton_err_t err = bn_supervisor_new (&supervisor, &options);
    if (err)
        return bn_failure ("up", err, "%s", baton_err_text (err));
    int code = s_run (supervisor, config, &gate);
    bn_supervisor_destroy (&supervisor);
    bn_admin_destroy (&gate.admin);
    return code;
}

int bn_cli_up (int argc, char **argv)
{
    const char *log = getenv ("BATON_LOG");
    bool check = false;
    const bn_option_t table[] = {
        {"check", 0, BN_OPTION_FLAG, &check, NULL, "only check FILE", 0, 0},
        {"log", 0, BN_OPTION_TEXT, &log, "text|json",
         "how lines look, the processes' too (default: $BATON_LOG, or text)", 0, 0},
    };
    const bn_command_t command = {.usage = "up [OPTION]... FILE",
                                  .about = s_about,
                                  .details = s_details,
                                  .options = table,
                                  .option_count = sizeof (table) / sizeof (table[0])};
    bn_log_format_t format = BN_LOG_TEXT;
    bn_up_config_t config;
    char detail[512] = "";
    int first;

    int code = bn_options_parse (&command, argc, argv, &first);
    if (code >= 0)
        return code;
    if (argc - first != 1)
        return bn_usage_error ("up", argc == first ? "which FILE?" : "one FILE only");
    if (log && !*log)
        log = NULL;
    if (log && !bn_log_format_parse (log, &format))
        return bn_usage_error ("up", "--log takes text or json, not '%s'", log);
    bn_log_setup ("up", format, BN_LOG_INFO);

    baton_err_t err = bn_up_config_load (&config, argv[first], detail);
    if (err) {
        fprintf (stderr, "baton up: %s\n", detail);
        code = BN_EXIT_USAGE;
    } else if (check) {
        printf ("%s: ok\n", argv[first]);
        code = BN_EXIT_OK;
    } else
        code = s_up (&config, log);
    bn_up_config_fini (&config);
    return code;
}
