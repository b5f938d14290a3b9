/* SPDX-License-Identifier: MPL-2.0 */

/*  options.h - what the subcommands of `baton` share: options, help, errors, exit codes.
 *
 *  A subcommand describes its options in a table; parsing, checking, --help and the message about a
 *  mistyped option follow from it. Runs in the main thread.  */
#ifndef BN_CLI_OPTIONS_H
#define BN_CLI_OPTIONS_H

#include <baton/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*  Exit codes of every subcommand; 69 is EX_UNAVAILABLE of sysexits.h.  */
#define BN_EXIT_OK          0
#define BN_EXIT_FAILED      1
#define BN_EXIT_USAGE       2
#define BN_EXIT_UNREACHABLE 69

#define BN_DEFAULT_ENDPOINT "tcp://127.0.0.1:7711"
#define BN_DEFAULT_DATA_DIR "./.baton"
#define BN_OPTIONS_MAX      24 /* options of one subcommand */

typedef enum {
    BN_OPTION_FLAG, /* value: bool *, set to true */
    BN_OPTION_TEXT, /* value: const char **, points into argv */
    BN_OPTION_UINT, /* value: uint64_t *, decimal, within min..max */
    BN_OPTION_LIST  /* value: bn_option_list_t *, may be repeated */
} bn_option_kind_t;

#define BN_OPTION_LIST_MAX 64

typedef struct {
    const char *items[BN_OPTION_LIST_MAX]; /* point into argv */
    size_t count;
} bn_option_list_t;

typedef struct {
    const char *name; /* long name, without the dashes */
    char letter;      /* short name; 0: none */
    bn_option_kind_t kind;
    void *value;          /* where it goes; its content before parsing is the default */
    const char *argument; /* name of the argument in the help; NULL for a flag */
    const char *help;     /* NULL: hidden */
    uint64_t min;         /* UINT */
    uint64_t max;         /* UINT; 0: no limit */
} bn_option_t;

typedef struct {
    const char *usage;   /* "publish [OPTION]... TOPIC [FILE]..."; several lines are fine */
    const char *about;   /* paragraphs above the options */
    const char *details; /* paragraphs below them; NULL: none */
    const bn_option_t *options;
    size_t option_count;
} bn_command_t;

/*  Every subcommand that talks to an orchestrator has these two.  */
typedef struct {
    const char *endpoint; /* --connect, BATON_CONNECT, or the default */
    uint64_t timeout_s;   /* --timeout: how long to wait for an answer */
} bn_connect_options_t;

void bn_connect_options_init (bn_connect_options_t *self);

#define BN_CONNECT_OPTIONS(connect)                                                                \
    {"connect",                                                                                    \
     'c',                                                                                          \
     BN_OPTION_TEXT,                                                                               \
     &(connect)->endpoint,                                                                         \
     "ENDPOINT",                                                                                   \
     "the orchestrator (default: $BATON_CONNECT, or " BN_DEFAULT_ENDPOINT ")",                     \
     0,                                                                                            \
     0},                                                                                           \
    {                                                                                              \
        "timeout", 0, BN_OPTION_UINT, &(connect)->timeout_s, "SECONDS",                            \
            "how long to wait for an answer (default: 5)", 1, 86400                                \
    }

#define BN_JSON_OPTION(flag)                                                                       \
    {                                                                                              \
        "json", 0, BN_OPTION_FLAG, flag, NULL, "print JSON", 0, 0                                  \
    }

/*  Parses. -1: go on, operands are argv[*first] .. argv[argc - 1]; else the exit code to end with
 *  (0 after --help, 2 after a message about what is wrong).  */
int bn_options_parse (const bn_command_t *command, int argc, char **argv, int *first);

/*  "baton COMMAND: ..." on standard error, one line; returns exit code 2, and adds where help is.
 */
int bn_usage_error (const char *command, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));
/*  "baton COMMAND: ..." on standard error; returns 69 for UNREACHABLE and TIMEOUT, else 1.  */
int bn_failure (const char *command, baton_err_t err, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

/*  Decimal digits only, no sign, no blanks; false if it is anything else or does not fit.  */
bool bn_parse_uint (const char *text, uint64_t *value);
/*  RFC 3339 ("2026-01-31T12:00:00Z", "...+01:00", fractions of a second, a date alone) or how long
 *  ago ("90s", "10m", "2h", "7d"), as microseconds since 1970 UTC. `now_us` is used for the
 *  latter.  */
bool bn_parse_time (const char *text, int64_t now_us, int64_t *time_us);

/*  On a terminal: asks and reads y or n; true if yes. Not on a terminal: true.  */
bool bn_confirm (const char *format, ...) __attribute__ ((format (printf, 1, 2)));

#endif
