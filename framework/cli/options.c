/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/options.h"
#include "base/assert.h"
#include "shell/printable.h"
#include "shell/rfc3339.h"
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MESSAGE_BYTES_MAX 4096 /* a longer one is cut */

void bn_connect_options_init (bn_connect_options_t *self)
{
    const char *endpoint = getenv ("BATON_CONNECT");
    self->endpoint = endpoint && *endpoint ? endpoint : BN_DEFAULT_ENDPOINT;
    self->timeout_s = 5;
}

/*  "baton COMMAND: " and what is the matter: words from the command line, texts of peers.  */
static void s_complain (const char *command, const char *format, va_list args)
    __attribute__ ((format (printf, 2, 0)));

static void s_complain (const char *command, const char *format, va_list args)
{
    char text[MESSAGE_BYTES_MAX], clean[MESSAGE_BYTES_MAX + BN_PRINTABLE_ROOM];
    vsnprintf (text, sizeof (text), format, args);
    bn_printable (clean, sizeof (clean), text, strlen (text), false);
    fprintf (stderr, "baton %s: %s", command, clean);
}

int bn_usage_error (const char *command, const char *format, ...)
{
    va_list args;
    va_start (args, format);
    s_complain (command, format, args);
    fprintf (stderr, "\nTry 'baton %s --help'.\n", command);
    va_end (args);
    return BN_EXIT_USAGE;
}

int bn_failure (const char *command, baton_err_t err, const char *format, ...)
{
    va_list args;
    va_start (args, format);
    s_complain (command, format, args);
    if (err != BATON_OK)
        fprintf (stderr, " (%s)", baton_err_name (err));
    fputc ('\n', stderr);
    va_end (args);
    return err == BATON_ERR_UNREACHABLE || err == BATON_ERR_TIMEOUT ? BN_EXIT_UNREACHABLE
                                                                    : BN_EXIT_FAILED;
}

bool bn_parse_uint (const char *text, uint64_t *value)
{
    uint64_t result = 0;
    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        uint64_t digit = (uint64_t)(*text - '0');
        if (result > (UINT64_MAX - digit) / 10)
            return false;
        result = result * 10 + digit;
    }
    *value = result;
    return true;
}

bool bn_parse_time (const char *text, int64_t now_us, int64_t *time_us)
{
    static const struct {
        char suffix;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};

    size_t size = strlen (text);
    if (size >= 2 && size <= 12) {
        for (size_t i = 0; i < sizeof (units) / sizeof (units[0]); i++) {
            char number[16];
            uint64_t count;
            if (text[size - 1] != units[i].suffix)
                continue;
            memcpy (number, text, size - 1);
            number[size - 1] = 0;
            if (!bn_parse_uint (number, &count) || count > 100000000)
                return false;
            int64_t ago_us = (int64_t)count * units[i].seconds * 1000000;
            *time_us = ago_us > now_us ? 0 : now_us - ago_us;
            return true;
        }
    }
    return bn_rfc3339_parse (text, time_us);
}

bool bn_confirm (const char *format, ...)
{
    if (!isatty (STDIN_FILENO))
        return true;
    va_list args;
    va_start (args, format);
    vfprintf (stderr, format, args);
    va_end (args);
    fputs (" [y/N] ", stderr);
    char answer[16];
    return fgets (answer, sizeof (answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

static void s_print_help (const bn_command_t *command)
{
    const char *line = command->usage;
    for (const char *lead = "Usage: baton "; *line; lead = "       baton ") {
        size_t size = strcspn (line, "\n");
        printf ("%s%.*s\n", lead, (int)size, line);
        line += size + (line[size] == '\n');
    }
    printf ("\n%s\n\nOptions:\n", command->about);
    for (size_t i = 0; i <= command->option_count; i++) {
        static const bn_option_t help = {"help", 'h', BN_OPTION_FLAG, NULL, NULL, "print this",
                                         0,      0};
        const bn_option_t *option = i < command->option_count ? &command->options[i] : &help;
        char left[64];
        if (!option->help)
            continue;
        int size = snprintf (left, sizeof (left), "  %c%c%c --%s%s%s", option->letter ? '-' : ' ',
                             option->letter ? option->letter : ' ', option->letter ? ',' : ' ',
                             option->name, option->argument ? " " : "",
                             option->argument ? option->argument : "");
        printf ("%s%*s%s\n", left, size < 28 ? 28 - size : 1, "", option->help);
    }
    if (command->details)
        printf ("\n%s\n", command->details);
}

/*  Takes one option's argument; false after a message.  */
static bool s_take (const char *command, const bn_option_t *option, const char *argument)
{
    switch (option->kind) {
    case BN_OPTION_FLAG:
        *(bool *)option->value = true;
        return true;
    case BN_OPTION_TEXT:
        *(const char **)option->value = argument;
        return true;
    case BN_OPTION_UINT: {
        uint64_t value;
        if (!bn_parse_uint (argument, &value) || value < option->min ||
            (option->max && value > option->max)) {
            if (option->max)
                bn_usage_error (command, "--%s takes a number from %llu to %llu, not '%s'",
                                option->name, (unsigned long long)option->min,
                                (unsigned long long)option->max, argument);
            else
                bn_usage_error (command, "--%s takes a number, not '%s'", option->name, argument);
            return false;
        }
        *(uint64_t *)option->value = value;
        return true;
    }
    case BN_OPTION_LIST: {
        bn_option_list_t *list = option->value;
        if (list->count == BN_OPTION_LIST_MAX) {
            bn_usage_error (command, "--%s is given more than %d times", option->name,
                            BN_OPTION_LIST_MAX);
            return false;
        }
        list->items[list->count++] = argument;
        return true;
    }
    }
    return false;
}

/*  getopt leaves the guilty word in different places for a letter and for a word.  */
static int s_bad_option (const char *command, int code, char **argv)
{
    char letter[3] = {'-', (char)optopt, 0};
    const char *word = argv[optind - 1];
    bool is_word = !strncmp (word, "--", 2);
    if (code == ':')
        return bn_usage_error (command, "option '%s' needs an argument", is_word ? word : letter);
    return bn_usage_error (command, "there is no option '%s'", is_word ? word : letter);
}

int bn_options_parse (const bn_command_t *command, int argc, char **argv, int *first)
{
    struct option longs[BN_OPTIONS_MAX + 2] = {0};
    char letters[2 * BN_OPTIONS_MAX + 4] = ":h";
    size_t letters_size = 2;

    bn_assert (command->option_count <= BN_OPTIONS_MAX);
    for (size_t i = 0; i < command->option_count; i++) {
        const bn_option_t *option = &command->options[i];
        bool takes = option->kind != BN_OPTION_FLAG;
        longs[i].name = option->name;
        longs[i].has_arg = takes ? required_argument : no_argument;
        longs[i].val = 256 + (int)i;
        if (option->letter) {
            letters[letters_size++] = option->letter;
            if (takes)
                letters[letters_size++] = ':';
        }
    }
    longs[command->option_count].name = "help";
    longs[command->option_count].val = 'h';

    opterr = 0;
    optind = 0; /* 0, not 1: starts afresh, whoever called getopt before */
    for (;;) {
        int code = getopt_long (argc, argv, letters, longs, NULL);
        if (code == -1)
            break;
        if (code == 'h') {
            s_print_help (command);
            return BN_EXIT_OK;
        }
        if (code == '?' || code == ':')
            return s_bad_option (argv[0], code, argv);
        size_t index = (size_t)code - 256;
        if (code < 256)
            for (index = 0; command->options[index].letter != code; index++)
                ;
        if (!s_take (argv[0], &command->options[index], optarg))
            return BN_EXIT_USAGE;
    }
    *first = optind;
    return -1;
}
