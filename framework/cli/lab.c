/* SPDX-License-Identifier: MPL-2.0 */

/*  lab.c - `baton lab`: a system on several hosts of this machine, trouble for it, a verdict.  */

#include "lab/lab.h"
#include "cli/cli.h"
#include "cli/lab_config.h"
#include "cli/lab_report.h"
#include "cli/options.h"
#include "lab/folder.h"
#include "lab/worker.h"
#include "shell/clock.h"
#include "shell/log.h"
#include "supervisor/control.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_INTERRUPTED 130 /* 128 + SIGINT, as shells have it */
#define DRILLS_MAX       64

static const char s_usage[] = "lab up [OPTION]... FILE\n"
                              "lab run [OPTION]... DRILL\n"
                              "lab list\n"
                              "lab ORDER [TARGET] [OPTION]...\n"
                              "lab status | down | clean\n"
                              "lab exec [HOST] -- COMMAND...\n"
                              "lab worker [ACTOR OPTION]... -- [OPTION]...";

static const char s_about[] =
    "Runs a system on several hosts of this machine and makes trouble for it. Each host is a\n"
    "network namespace with an address and a link of its own (root, or a kernel that lets users\n"
    "make namespaces); elsewhere all hosts are on loopback, and it says which troubles are then "
    "not\n"
    "possible. Nothing stays behind, also after a kill -9.\n"
    "\n"
    "  up FILE    the system of a file of `baton up`, until Ctrl-C or `baton lab down`\n"
    "  run DRILL  a written drill: system, load, timed troubles, what is expected; ends in a "
    "verdict\n"
    "  list       the drills that came with baton\n"
    "  exec       a command in the lab's network, or in that of a host: baton lab exec -- baton "
    "status\n"
    "  clean      removes what dead labs have left, also what failed drills have kept\n"
    "  worker     the built-in actor: baton lab worker --help, and its own options after --";

static const char s_details[] =
    "Orders (to a lab that runs; TARGET is an instance, an actor, orchestrator or a host):\n"
    "  kill TARGET              SIGKILL; a host: with all it runs, up again after --for\n"
    "  pause, resume TARGET     SIGSTOP, and SIGCONT after --for (default 2s)\n"
    "  restart ACTOR            one instance after the other, drained\n"
    "  scale ACTOR N            instances in all\n"
    "  partition HOST [in|out]  nothing passes its link, --for 5s\n"
    "  slow, lossy HOST         its link delays, or drops; netem, or a narrow link without it\n"
    "  heal HOST|all            ends the troubles of links\n"
    "  fill-disk                the orchestrator's disk is full (up --disk SIZE)\n"
    "  provider NAME [down|up]  what a worker with --provider NAME needs, --for 60s\n"
    "  poison TOPIC [--key K]   an event that kills the worker that handles it\n"
    "  burst TOPIC --rate R, burst x10      more load\n"
    "  trouble --random         any of kill, pause, partition, slow, lossy\n"
    "--random instead of a TARGET, also again and again: --random --rate 2 --for 30s --seed 7.\n"
    "\n"
    "A drill is ZPL; one to start from: baton lab run --show flash-sale.\n"
    "\n"
    "Exit codes: 0 done, and as expected; 1 a guarantee is broken, or something was not as\n"
    "expected; 2 wrong usage, file or drill; 69 no such lab runs; 130 interrupted: no verdict.";

typedef struct {
    const char *lab;
    const char *hold, *rate, *seed, *key, *disk, *scale;
    bool random, loopback, keep, as_json, verbose, show, check, lenient;
    uint64_t hosts;
} s_given_t;

/*  ---- which lab ---- */

/*  The one lab that runs, or the one that was named. -1: found; else the exit code.  */
static int s_which (const char *command, const char *named, char folder[PATH_MAX])
{
    static bn_lab_found_t found[BN_LAB_FOUND_MAX];
    const char *wanted = named ? named : getenv (BN_LAB_VARIABLE);
    size_t count = bn_lab_find (found), alive = 0;
    for (size_t i = 0; i < count; i++) {
        if (!found[i].alive)
            continue;
        if (wanted && strcmp (wanted, found[i].folder) &&
            strcmp (wanted, bn_lab_folder_name (found[i].folder)))
            continue;
        alive++;
        memcpy (folder, found[i].folder, PATH_MAX);
    }
    if (alive == 1)
        return -1;
    if (alive == 0 && wanted)
        return bn_failure (command, BATON_ERR_UNREACHABLE, "no lab '%s' runs", wanted);
    if (alive == 0)
        return bn_failure (command, BATON_ERR_UNREACHABLE, "no lab runs");
    fprintf (stderr, "baton %s: several labs run; which one? --lab", command);
    for (size_t i = 0; i < count; i++)
        if (found[i].alive)
            fprintf (stderr, " %s", bn_lab_folder_name (found[i].folder));
    fprintf (stderr, "\n");
    return BN_EXIT_USAGE;
}

/*  Asks a lab; *answer is the caller's. -1: answered; else the exit code.  */
static int s_ask (const char *command, const char *named, const char *request, json_t **answer)
{
    char folder[PATH_MAX], *text;
    int code = s_which (command, named, folder);
    if (code >= 0)
        return code;
    baton_err_t err = bn_control_ask (folder, request, &text);
    if (err)
        return bn_failure (command, err, "lab %s: %s", bn_lab_folder_name (folder),
                           baton_err_text (err));
    *answer = json_loads (text, 0, NULL);
    free (text);
    if (json_is_true (json_object_get (*answer, "ok")))
        return -1;
    const char *why = json_string_value (json_object_get (*answer, "text"));
    const char *name = json_string_value (json_object_get (*answer, "error"));
    code = bn_failure (command, BATON_OK, "%s", why ? why : "the answer cannot be read");
    if (name && !strcmp (name, baton_err_name (BATON_ERR_ARGUMENT)))
        code = BN_EXIT_FAILED;
    json_decref (*answer);
    return code;
}

static int s_status (const s_given_t *given)
{
    json_t *answer, *host, *process;
    size_t i, k;
    int code = s_ask ("lab status", given->lab, "status", &answer);
    if (code >= 0)
        return code;
    if (given->as_json) {
        char *text = json_dumps (answer, JSON_COMPACT);
        puts (text ? text : "{}");
        free (text);
        json_decref (answer);
        return BN_EXIT_OK;
    }
    printf ("lab %s, %s; endpoint %s\n%s\n", json_string_value (json_object_get (answer, "lab")),
            json_string_value (json_object_get (answer, "part")),
            json_string_value (json_object_get (answer, "endpoint")),
            json_string_value (json_object_get (answer, "says")));
    json_array_foreach (json_object_get (answer, "hosts"), i, host)
    {
        printf ("%s (%s)  %s\n", json_string_value (json_object_get (host, "name")),
                json_string_value (json_object_get (host, "called")),
                json_string_value (json_object_get (host, "address")));
        json_array_foreach (json_object_get (host, "processes"), k, process)
        {
            printf ("    %-40s pid %" JSON_INTEGER_FORMAT "\n",
                    k   ? json_string_value (json_object_get (process, "name"))
                    : i ? "baton node"
                        : "baton up",
                    json_integer_value (json_object_get (process, "pid")));
        }
    }
    json_decref (answer);
    return BN_EXIT_OK;
}

static int s_say (const char *command, const s_given_t *given, const char *request)
{
    json_t *answer;
    int code = s_ask (command, given->lab, request, &answer);
    if (code >= 0)
        return code;
    if (given->as_json) {
        char *text = json_dumps (answer, JSON_COMPACT);
        puts (text ? text : "{}");
        free (text);
    } else
        printf ("%s\n", json_string_value (json_object_get (answer, "did")));
    json_decref (answer);
    return BN_EXIT_OK;
}

/*  ---- orders ---- */

static bool s_append (char text[1024], const char *option, const char *value)
{
    size_t size = strlen (text);
    return !value ||
           snprintf (text + size, 1024 - size, " %s %s", option, value) < (int)(1024 - size);
}

static int s_order (const char *command, const s_given_t *given, int argc, char **argv)
{
    char text[1024] = "", what[256];
    bn_lab_order_t order;
    bool fits = true;
    snprintf (text, sizeof (text), "%s", command + strlen ("lab "));
    for (int i = 0; i < argc; i++)
        fits = fits && s_append (text, argv[i], "");
    fits = fits && s_append (text, "for", given->hold) && s_append (text, "rate", given->rate) &&
           s_append (text, "seed", given->seed) && s_append (text, "key", given->key) &&
           (!given->random || s_append (text, "random", ""));
    if (!fits || bn_lab_order_parse (&order, text, what))
        return bn_usage_error (command, "%s", fits ? what : "too long");
    return s_say (command, given, text);
}

/*  ---- a command in its network ---- */

static int s_enter (pid_t pid)
{
    static const struct {
        const char *name;
        int type;
    } spaces[] = {{"user", CLONE_NEWUSER}, {"net", CLONE_NEWNET}, {"mnt", CLONE_NEWNS}};
    int fds[3];
    struct stat own, other;
    for (size_t i = 0; i < 3; i++) {
        char path[64], mine[64];
        snprintf (path, sizeof (path), "/proc/%d/ns/%s", (int)pid, spaces[i].name);
        snprintf (mine, sizeof (mine), "/proc/self/ns/%s", spaces[i].name);
        bool same = stat (path, &other) == 0 && stat (mine, &own) == 0 &&
                    own.st_ino == other.st_ino && own.st_dev == other.st_dev;
        fds[i] = same ? -1 : open (path, O_RDONLY | O_CLOEXEC);
        if (!same && fds[i] < 0)
            return errno;
    }
    for (size_t i = 0; i < 3; i++)
        if (fds[i] >= 0 && setns (fds[i], spaces[i].type))
            return errno;
    return 0;
}

static int s_exec (const s_given_t *given, int argc, char **argv)
{
    json_t *answer, *host;
    size_t i;
    int code = s_ask ("lab exec", given->lab, "status", &answer);
    if (code >= 0)
        return code;
    json_int_t pid = json_integer_value (json_object_get (answer, "pid"));
    const char *endpoint = json_string_value (json_object_get (answer, "endpoint"));
    bool found = false;
    if (endpoint)
        setenv ("BATON_CONNECT", endpoint, 1);
    json_array_foreach (json_object_get (answer, "hosts"), i, host)
    {
        json_t *first = json_array_get (json_object_get (host, "processes"), 0);
        if (found || (strcmp (argv[0], json_string_value (json_object_get (host, "name"))) &&
                      strcmp (argv[0], json_string_value (json_object_get (host, "called")))))
            continue;
        found = true;
        pid = json_integer_value (json_object_get (first, "pid"));
    }
    json_decref (answer);
    argc -= found;
    argv += found;
    if (argc && !strcmp (argv[0], "--")) {
        argc--;
        argv++;
    }
    if (!argc)
        return bn_usage_error ("lab exec", "which command?");
    if (!pid)
        return bn_failure ("lab exec", BATON_OK, "the host is down");
    /*  The lab's own pid is that of its first thread, which lives in the switch.  */
    int error = s_enter ((pid_t)pid);
    if (error)
        return bn_failure ("lab exec", BATON_OK, "the lab's network: %s", strerror (error));
    execvp (argv[0], argv);
    return bn_failure ("lab exec", BATON_OK, "%s: %s", argv[0], strerror (errno));
}

/*  ---- drills ---- */

static void s_program (char path[PATH_MAX])
{
    ssize_t size = readlink ("/proc/self/exe", path, PATH_MAX - 1);
    path[size > 0 ? size : 0] = 0;
}

/*  Beside the program, as it is installed and as it is built: ../share/baton/drills.  */
static void s_drills (char folder[PATH_MAX])
{
    char program[PATH_MAX];
    s_program (program);
    for (int i = 0; i < 2; i++) {
        char *slash = strrchr (program, '/');
        if (slash)
            *slash = 0;
    }
    if (snprintf (folder, PATH_MAX, "%s/share/baton/drills", program) >= PATH_MAX)
        *folder = 0;
}

/*  The file of a drill: a path, or the name of one that came with baton; "": there is none.  */
static void s_find_drill (const char *name, char path[PATH_MAX])
{
    char folder[PATH_MAX];
    snprintf (path, PATH_MAX, "%s", name);
    if (strchr (name, '/') || access (name, F_OK) == 0)
        return;
    s_drills (folder);
    if (snprintf (path, PATH_MAX, "%s/%s.conf", folder, name) >= PATH_MAX ||
        access (path, F_OK) != 0)
        *path = 0;
}

static int s_conf_only (const struct dirent *entry)
{
    const char *dot = strrchr (entry->d_name, '.');
    return dot && !strcmp (dot, ".conf");
}

static int s_list (const s_given_t *given)
{
    char folder[PATH_MAX];
    struct dirent **entries;
    json_t *list = json_array ();
    s_drills (folder);
    int count = scandir (folder, &entries, s_conf_only, alphasort);
    if (count < 0) {
        json_decref (list);
        return bn_failure ("lab list", BATON_OK, "%s: %s", folder, strerror (errno));
    }
    for (int i = 0; i < count; i++) {
        char path[PATH_MAX], about[512];
        char *name = entries[i]->d_name;
        if (snprintf (path, sizeof (path), "%s/%s", folder, name) < PATH_MAX &&
            !bn_lab_config_about (path, about)) {
            name[strlen (name) - strlen (".conf")] = 0;
            if (given->as_json)
                json_array_append_new (list, json_pack ("{s:s, s:s, s:s}", "name", name, "about",
                                                        about, "file", path));
            else
                printf ("%-24s %s\n", name, about);
        }
        free (entries[i]);
    }
    free (entries);
    char *text = given->as_json ? json_dumps (list, JSON_COMPACT) : NULL;
    if (text)
        puts (text);
    free (text);
    json_decref (list);
    return BN_EXIT_OK;
}

static int s_show (const char *path)
{
    char bytes[4096];
    size_t size;
    FILE *file = fopen (path, "re");
    if (!file)
        return bn_failure ("lab run", BATON_OK, "%s: %s", path, strerror (errno));
    while ((size = fread (bytes, 1, sizeof (bytes), file)) > 0)
        fwrite (bytes, 1, size, stdout);
    fclose (file);
    return BN_EXIT_OK;
}

/*  ---- running one ---- */

static void s_tell (const char *line, void *arg)
{
    FILE *out = arg;
    fprintf (out, "%s\n", line);
    if (fflush (out))
        kill (getpid (), SIGTERM); /* nobody listens any more: it ends as after Ctrl-C */
}

/*  So that a system's commands may say just "baton", and ip and tc are found.  */
static void s_set_path (const char *program)
{
    char path[3 * PATH_MAX];
    const char *before = getenv ("PATH");
    snprintf (path, sizeof (path), "%.*s:%s:/usr/sbin:/sbin",
              (int)(strrchr (program, '/') ? strrchr (program, '/') - program : 0), program,
              before ? before : "/usr/bin:/bin");
    setenv ("PATH", path, 1);
}

static bool s_seed (const s_given_t *given, uint64_t *seed)
{
    *seed = bn_random_u64 () >> 16;
    return !given->seed || bn_parse_uint (given->seed, seed);
}

static void s_print_again (const char *drill, const bn_lab_result_t *result, const s_given_t *given,
                           FILE *out)
{
    fprintf (out, "again: baton lab run %s --seed %" PRIu64, drill, result->seed);
    if (given->scale)
        fprintf (out, " --scale %s", given->scale);
    if (given->hosts)
        fprintf (out, " --hosts %" PRIu64, given->hosts);
    fprintf (out, "%s%s\n", given->loopback ? " --loopback" : "",
             given->lenient ? " --lenient" : "");
}

static int s_finish (const char *drill, const bn_lab_result_t *result, baton_err_t err,
                     const s_given_t *given)
{
    FILE *out = given->as_json ? stderr : stdout;
    if (err) {
        fprintf (stderr, "baton lab run: %s\n", result->failure);
        return BN_EXIT_FAILED;
    }
    bn_lab_report_print (result, out);
    if (*result->folder)
        fprintf (out, "kept: %s (baton lab clean removes it)\n", result->folder);
    if (result->judged && !bn_lab_result_ok (result))
        s_print_again (drill, result, given, out);
    json_t *object = given->as_json ? bn_lab_report_json (drill, result) : NULL;
    char *text = object ? json_dumps (object, JSON_COMPACT | JSON_REAL_PRECISION (6)) : NULL;
    if (text)
        puts (text);
    free (text);
    json_decref (object);
    if (result->interrupted)
        return EXIT_INTERRUPTED;
    return bn_lab_result_ok (result) ? BN_EXIT_OK : BN_EXIT_FAILED;
}

static int s_run (const s_given_t *given, const char *drill)
{
    static bn_lab_config_t config;
    static bn_lab_result_t result;
    char detail[512] = "", program[PATH_MAX], path[PATH_MAX], *end = NULL;
    double scale = given->scale ? strtod (given->scale, &end) : 1;
    bn_lab_options_t options = {.hosts = 0, .tell = s_tell};
    if (given->scale && (end == given->scale || *end || !(scale >= 0.001 && scale <= 100)))
        return bn_usage_error ("lab run", "--scale takes a factor from 0.001 to 100, not '%s'",
                               given->scale);
    if (!s_seed (given, &options.seed))
        return bn_usage_error ("lab run", "--seed takes a number, not '%s'", given->seed);
    s_find_drill (drill, path);
    if (!*path)
        return bn_usage_error (
            "lab run", "there is no file '%s', and no drill of that name: baton lab list", drill);
    if (given->show)
        return s_show (path);
    s_program (program);
    s_set_path (program);
    baton_err_t err = bn_lab_config_drill (&config, path, (uint32_t)given->hosts, scale, detail);
    int code = BN_EXIT_OK;
    if (err) {
        fprintf (stderr, "baton lab run: %s\n", detail);
        code = BN_EXIT_USAGE;
    } else if (given->check)
        printf ("%s: ok\n", path);
    else {
        if (given->lenient)
            bn_lab_drill_lenient (&config.drill);
        options.plan = &config.plan;
        options.drill = &config.drill;
        options.program = program;
        options.hosts = config.hosts;
        options.loopback = given->loopback;
        options.disk_bytes = config.disk_bytes;
        options.keep = given->keep;
        options.loud = given->verbose;
        options.tell_arg = given->as_json ? stderr : stdout;
        fprintf (options.tell_arg, "%s%s%s (seed %" PRIu64 ")\n", drill, *config.about ? ": " : "",
                 config.about, options.seed);
        err = bn_lab_run (&options, &result);
        code = s_finish (drill, &result, err, given);
    }
    bn_lab_config_fini (&config);
    return code;
}

static int s_up (const s_given_t *given, const char *file)
{
    static bn_lab_config_t config;
    static bn_lab_result_t result;
    char detail[512] = "", program[PATH_MAX];
    bn_lab_options_t options = {.loopback = given->loopback,
                                .keep = given->keep,
                                .loud = true,
                                .tell = s_tell,
                                .tell_arg = stdout};
    if (!s_seed (given, &options.seed))
        return bn_usage_error ("lab up", "--seed takes a number, not '%s'", given->seed);
    if (given->disk && !bn_config_bytes (given->disk, &options.disk_bytes))
        return bn_usage_error ("lab up", "--disk takes a size like 256MiB, not '%s'", given->disk);
    s_program (program);
    s_set_path (program);
    options.program = program;
    baton_err_t err = bn_lab_config_system (&config, file, (uint32_t)given->hosts, detail);
    int code = BN_EXIT_OK;
    if (err) {
        fprintf (stderr, "baton lab up: %s\n", detail);
        code = BN_EXIT_USAGE;
    } else if (given->check)
        printf ("%s: ok\n", file);
    else {
        options.plan = &config.plan;
        options.hosts = config.hosts;
        err = bn_lab_run (&options, &result);
        if (err || !result.interrupted || result.unexpected_count) {
            fprintf (stderr, "baton lab up: %s\n",
                     result.unexpected_count ? result.unexpected : result.failure);
            code = BN_EXIT_FAILED;
        }
        if (*result.folder)
            printf ("kept: %s\n", result.folder);
    }
    bn_lab_config_fini (&config);
    return code;
}

/*  ---- the command line ---- */

static bool s_is_order (const char *what)
{
    for (bn_lab_kind_t kind = BN_LAB_KILL; kind < BN_LAB_KIND_COUNT; kind++)
        if (!strcmp (what, bn_lab_kind_text (kind)))
            return true;
    return false;
}

static bool s_is_known (const char *what)
{
    static const char *const others[] = {"up", "run", "list", "status", "down", "clean", "exec"};
    for (size_t i = 0; i < sizeof (others) / sizeof (others[0]); i++)
        if (!strcmp (what, others[i]))
            return true;
    return s_is_order (what);
}

static int s_dispatch (char *command, const s_given_t *given, int argc, char **argv)
{
    const char *what = command + strlen ("lab ");
    bool takes_file = !strcmp (what, "up") || !strcmp (what, "run");
    if (takes_file && argc != 1)
        return bn_usage_error (command, argc ? "one FILE only" : "which %s?",
                               !strcmp (what, "up") ? "FILE" : "DRILL");
    if (!strcmp (what, "up"))
        return s_up (given, argv[0]);
    if (!strcmp (what, "run"))
        return s_run (given, argv[0]);
    if (s_is_order (what))
        return s_order (command, given, argc, argv);
    if (argc)
        return bn_usage_error (command, "what is '%s'?", argv[0]);
    if (!strcmp (what, "list"))
        return s_list (given);
    if (!strcmp (what, "status"))
        return s_status (given);
    if (!strcmp (what, "down"))
        return s_say (command, given, "stop");
    printf ("%zu removed\n", bn_lab_clean (true));
    return BN_EXIT_OK;
}

int bn_cli_lab (int argc, char **argv)
{
    s_given_t given = {.lab = NULL};
    const bn_option_t table[] = {
        {"hosts", 'n', BN_OPTION_UINT, &given.hosts, "N",
         "up, run: so many hosts (default: as the file has)", 1, BN_LAB_HOSTS_MAX},
        {"loopback", 0, BN_OPTION_FLAG, &given.loopback, NULL, "up, run: no namespaces", 0, 0},
        {"disk", 0, BN_OPTION_TEXT, &given.disk, "SIZE",
         "up: the orchestrator's data on a disk of that size, in memory", 0, 0},
        {"scale", 0, BN_OPTION_TEXT, &given.scale, "FACTOR",
         "run: of all times in the drill; 0.1 is ten times as fast", 0, 0},
        {"lenient", 0, BN_OPTION_FLAG, &given.lenient, NULL,
         "run: limits of times do not count, as on a busy machine", 0, 0},
        {"seed", 0, BN_OPTION_TEXT, &given.seed, "N", "of load and random trouble", 0, 0},
        {"keep", 0, BN_OPTION_FLAG, &given.keep, NULL, "up, run: the folder stays", 0, 0},
        {"check", 0, BN_OPTION_FLAG, &given.check, NULL, "up, run: only check the file", 0, 0},
        {"show", 0, BN_OPTION_FLAG, &given.show, NULL, "run: print the drill", 0, 0},
        {"verbose", 'v', BN_OPTION_FLAG, &given.verbose, NULL, "run: the processes' output, too", 0,
         0},
        {"lab", 0, BN_OPTION_TEXT, &given.lab, "NAME", "orders: which lab, if several run", 0, 0},
        {"for", 0, BN_OPTION_TEXT, &given.hold, "TIME", "orders: undone after so long", 0, 0},
        {"random", 0, BN_OPTION_FLAG, &given.random, NULL, "orders: a target at random", 0, 0},
        {"rate", 0, BN_OPTION_TEXT, &given.rate, "R", "orders: so many a second", 0, 0},
        {"key", 0, BN_OPTION_TEXT, &given.key, "KEY", "poison: of the event", 0, 0},
        BN_JSON_OPTION (&given.as_json),
    };
    const bn_command_t command = {.usage = s_usage,
                                  .about = s_about,
                                  .details = s_details,
                                  .options = table,
                                  .option_count = sizeof (table) / sizeof (table[0])};
    char name[64] = "lab";
    int first;
    if (argc < 2)
        return bn_usage_error ("lab", "what? up, run, list, an order, ...");
    if (!strcmp (argv[1], "worker")) {
        char worker[] = "baton lab worker";
        argv[1] = worker;
        return bn_lab_worker (argc - 1, argv + 1);
    }
    if (argv[1][0] != '-') {
        if (!s_is_known (argv[1]))
            return bn_usage_error ("lab", "there is no 'baton lab %.40s'", argv[1]);
        snprintf (name, sizeof (name), "lab %.40s", argv[1]);
        argv++;
        argc--;
    }
    argv[0] = name;
    bn_log_setup ("lab", BN_LOG_TEXT, BN_LOG_WARNING);
    signal (SIGPIPE, SIG_IGN);
    /*  What follows belongs to the command.  */
    if (!strcmp (name, "lab exec")) {
        if (argc < 2)
            return bn_usage_error (name, "which command?");
        if (!strcmp (argv[1], "--lab") && argc > 3) {
            given.lab = argv[2];
            argv += 2;
            argc -= 2;
        }
        if (strcmp (argv[1], "--help"))
            return s_exec (&given, argc - 1, argv + 1);
    }
    int code = bn_options_parse (&command, argc, argv, &first);
    if (code >= 0)
        return code;
    if (!strcmp (name, "lab"))
        return bn_usage_error ("lab", "what? up, run, list, an order, ...");
    return s_dispatch (name, &given, argc - first, argv + first);
}
