/* SPDX-License-Identifier: MPL-2.0 */

/*  main.c - `baton SUBCOMMAND ...`: finds the subcommand and runs it.  */

#include "cli/cli.h"
#include "cli/options.h"
#include "shell/memory.h"
#include "shell/standard.h"
#include <baton/version.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int (subcommand_fn) (int argc, char **argv);

static int help (int argc, char **argv);
static int version (int argc, char **argv);

static const struct {
    const char *name;
    subcommand_fn *run;
    const char *about;
} subcommands[] = {
    {"orchestrator", bn_cli_orchestrator, "run an orchestrator"},
    {"up", bn_cli_up, "run an orchestrator and actors from one file"},
    {"node", bn_cli_node, "run what a `baton up` elsewhere says of this host"},
    {"down", bn_cli_down, "stop a running `baton up`"},
    {"logs", bn_cli_logs, "print what the instances of a `baton up` have printed"},
    {"scale", bn_cli_scale, "change the number of instances of a running actor"},
    {"restart", bn_cli_restart, "replace the instances of a running actor, one by one"},
    {"reload", bn_cli_reload, "make a running `baton up` read its file anew"},
    {"publish", bn_cli_publish, "publish JSON lines as events"},
    {"read", bn_cli_read, "print events from the journal"},
    {"status", bn_cli_status, "show the orchestrator, its topics and its actors"},
    {"top", bn_cli_top, "show what flows, live"},
    {"monitor", bn_cli_monitor, "serve the figures to Prometheus"},
    {"why", bn_cli_why, "tell where an event is, and what it waits for"},
    {"dead", bn_cli_dead, "list, show, redrive or discard dead letters"},
    {"forget", bn_cli_forget, "unregister an actor"},
    {"journal", bn_cli_journal, "check, print or salvage a journal offline"},
    {"lab", bn_cli_lab, "run a system on several hosts, make trouble for it, judge it"},
    {"bench", bn_cli_bench, "measure throughput and latency"},
    {"help", help, "print this, or what a subcommand does"},
    {"version", version, "print the version"},
};

#define SUBCOMMANDS   (sizeof subcommands / sizeof *subcommands)
#define WORD_SIZE_MAX 31 /* of a mistyped subcommand that is worth a guess */

static subcommand_fn *find (const char *name)
{
    for (size_t i = 0; i < SUBCOMMANDS; i++)
        if (strcmp (subcommands[i].name, name) == 0)
            return subcommands[i].run;
    return NULL;
}

static void print_help (FILE *out)
{
    fprintf (out, "Usage: baton SUBCOMMAND [OPTION]...\n\n"
                  "Durable, ordered events between actors that run in processes of their own.\n\n");
    for (size_t i = 0; i < SUBCOMMANDS; i++)
        fprintf (out, "  %-14s%s\n", subcommands[i].name, subcommands[i].about);
    fprintf (out, "\n'baton SUBCOMMAND --help' says more. Exit codes: 0 done, 1 failed,\n"
                  "2 wrong usage, 69 the orchestrator did not answer.\n");
}

/*  How many letters to insert, delete or replace (Levenshtein).  */
static unsigned int distance (const char *a, const char *b)
{
    unsigned int row[WORD_SIZE_MAX + 1];
    size_t a_size = strlen (a), b_size = strlen (b);
    for (size_t j = 0; j <= b_size; j++)
        row[j] = (unsigned int)j;
    for (size_t i = 1; i <= a_size; i++) {
        unsigned int diagonal = row[0];
        row[0] = (unsigned int)i;
        for (size_t j = 1; j <= b_size; j++) {
            unsigned int best = diagonal + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[b_size];
}

static int unknown (const char *name)
{
    const char *closest = NULL;
    unsigned int least = 4; /* farther away it is no mistyped word */
    for (size_t i = 0; i < SUBCOMMANDS && strlen (name) <= WORD_SIZE_MAX; i++) {
        unsigned int letters = distance (subcommands[i].name, name);
        if (letters < least && letters * 2 <= strlen (subcommands[i].name)) {
            least = letters;
            closest = subcommands[i].name;
        }
    }
    fprintf (stderr, "baton: there is no subcommand '%s'", name);
    if (closest)
        fprintf (stderr, "; did you mean '%s'?", closest);
    fprintf (stderr, "\nTry 'baton help'.\n");
    return BN_EXIT_USAGE;
}

static int help (int argc, char **argv)
{
    const bn_command_t command = {
        .usage = "help [SUBCOMMAND]",
        .about = "Prints the list of subcommands, or what one of them does.",
        .details = "Exit codes: 0 ok, 2 wrong usage.",
    };
    int first;
    int code = bn_options_parse (&command, argc, argv, &first);
    if (code >= 0)
        return code;
    if (first == argc) {
        print_help (stdout);
        return BN_EXIT_OK;
    }
    subcommand_fn *run = find (argv[first]);
    char option[] = "--help";
    char *arguments[] = {argv[first], option, NULL};
    return run ? run (2, arguments) : unknown (argv[first]);
}

static int version (int argc, char **argv)
{
    const bn_command_t command = {
        .usage = "version",
        .about = "Prints the versions of the program, the wire protocol and the journal format.",
        .details = "Exit codes: 0 ok, 2 wrong usage.",
    };
    int first;
    int code = bn_options_parse (&command, argc, argv, &first);
    if (code >= 0)
        return code;
    printf ("baton %s, protocol %d, journal format %d\n", BATON_VERSION_TEXT,
            BATON_PROTOCOL_VERSION, BATON_JOURNAL_VERSION);
    return BN_EXIT_OK;
}

/*  What was printed has gone out, or it is said: nobody shall take half of it for all.  */
static int finish (int code)
{
    errno = 0;
    if (code != BN_EXIT_OK || (fflush (stdout) == 0 && !ferror (stdout)))
        return code;
    fprintf (stderr, "baton: standard output: %s\n",
             errno ? strerror (errno) : "not everything could be written");
    return BN_EXIT_FAILED;
}

int main (int argc, char **argv)
{
    bn_standard_hold ();
    /*  CZMQ would take SIGINT and SIGTERM over; the subcommands have their own way with them.  */
    setenv ("ZSYS_SIGHANDLER", "false", 1);
    bn_memory_keep ();
    if (argc < 2) {
        print_help (stderr);
        return BN_EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp (name, "--help") == 0 || strcmp (name, "-h") == 0) {
        print_help (stdout);
        return finish (BN_EXIT_OK);
    }
    if (strcmp (name, "--version") == 0)
        name = "version";
    subcommand_fn *run = find (name);
    return finish (run ? run (argc - 1, argv + 1) : unknown (name));
}
