/* SPDX-License-Identifier: MPL-2.0 */

#include "lab/order.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX   24
#define RATE_MAX    100000 /* events a second of a burst */
#define TROUBLE_MAX 100    /* troubles a second */

static const struct {
    const char *text;
    uint64_t for_ms;
} s_kinds[BN_LAB_KIND_COUNT] = {
#define BN_LAB_KIND_ROW(name, text, for_ms) [BN_LAB_##name] = {text, for_ms},
    BN_LAB_KINDS (BN_LAB_KIND_ROW)
#undef BN_LAB_KIND_ROW
};

const char *bn_lab_kind_text (bn_lab_kind_t kind)
{
    return s_kinds[kind].text;
}

bool bn_lab_duration (const char *text, uint64_t *ms)
{
    static const struct {
        const char *suffix;
        double ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    double value = strtod (text, &end);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp (end, units[i].suffix) == 0 && value * units[i].ms <= BN_LAB_FOR_MS_MAX) {
            *ms = (uint64_t)(value * units[i].ms);
            return strspn (text, "0123456789.") == (size_t)(end - text);
        }
    return false;
}

static baton_err_t s_refuse (char what[256], const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

static baton_err_t s_refuse (char what[256], const char *format, ...)
{
    va_list args;
    va_start (args, format);
    vsnprintf (what, 256, format, args);
    va_end (args);
    return BATON_ERR_ARGUMENT;
}

static bool s_parse_uint (const char *text, uint64_t max, uint64_t *number)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    unsigned long long value = strtoull (text, &end, 10);
    *number = value;
    return !errno && !*end && value <= max;
}

static bool s_parse_rate (const char *text, double *rate)
{
    char *end;
    if ((*text < '0' || *text > '9') && *text != '.')
        return false;
    *rate = strtod (text, &end);
    return !*end && *rate > 0 && *rate <= RATE_MAX;
}

/*  Takes "for D", "rate R", "seed S", "key K", "random", "in", ...: returns how many words, 0 if
 *  the word is no option, -1 after an error.  */
static int s_take_option (bn_lab_order_t *self, char **words, char what[256])
{
    static const char *const with_value[] = {"for", "rate", "seed", "key"};
    const char *word = words[0], *value = words[1];
    uint64_t number = 0;
    if (!strcmp (word, "random")) {
        self->random = true;
        return 1;
    }
    for (size_t i = 0; i < sizeof with_value / sizeof *with_value; i++)
        if (!strcmp (word, with_value[i]) && !value) {
            s_refuse (what, "'%s' needs a value", word);
            return -1;
        }
    bool fine = true;
    if (!strcmp (word, "for")) {
        fine = bn_lab_duration (value, &self->for_ms) && self->for_ms > 0;
        self->for_given = true;
    } else if (!strcmp (word, "rate"))
        fine = s_parse_rate (value, &self->rate);
    else if (!strcmp (word, "seed")) {
        fine = s_parse_uint (value, UINT64_MAX, &number);
        self->seed = number;
        self->seed_set = true;
    } else if (!strcmp (word, "key") && self->kind == BN_LAB_POISON) {
        fine = strlen (value) <= BATON_KEY_BYTES_MAX;
        snprintf (self->key, sizeof self->key, "%s", value);
    } else
        return 0;
    if (!fine)
        s_refuse (what,
                  !strcmp (word, "for") ? "%s %s: expected a time up to 1h, such as 500ms or 10s"
                                        : "%s %s: not a valid value",
                  word, value);
    return fine ? 2 : -1;
}

/*  A word that only some kinds know; false: it is something else.  */
static bool s_take_particular (bn_lab_order_t *self, const char *word)
{
    uint64_t number = 0;
    switch (self->kind) {
    case BN_LAB_PARTITION:
    case BN_LAB_SLOW:
    case BN_LAB_LOSSY:
        if (self->way || (strcmp (word, "in") && strcmp (word, "out")))
            return false;
        self->way = strcmp (word, "in") ? BN_LAB_OUT : BN_LAB_IN;
        return true;
    case BN_LAB_PROVIDER:
        if (!self->target[0] || (strcmp (word, "down") && strcmp (word, "up")))
            return false;
        self->up = strcmp (word, "up") == 0;
        return true;
    case BN_LAB_SCALE:
        if (!self->target[0] || !s_parse_uint (word, 256, &number))
            return false;
        self->number = (uint32_t)number;
        self->up = true; /* said */
        return true;
    case BN_LAB_BURST:
        if (*word != 'x' || !s_parse_uint (word + 1, 1000, &number) || number < 2)
            return false;
        self->number = (uint32_t)number;
        return true;
    default:
        return false;
    }
}

static bool s_takes_target (bn_lab_kind_t kind)
{
    return kind != BN_LAB_FILL_DISK && kind != BN_LAB_TROUBLE;
}

static bool s_may_be_random (bn_lab_kind_t kind)
{
    return kind == BN_LAB_KILL || kind == BN_LAB_PAUSE || kind == BN_LAB_PARTITION ||
           kind == BN_LAB_SLOW || kind == BN_LAB_LOSSY || kind == BN_LAB_TROUBLE;
}

/*  What no single word is guilty of.  */
static baton_err_t s_check (bn_lab_order_t *self, char what[256])
{
    const char *name = bn_lab_kind_text (self->kind);
    if (self->random && !s_may_be_random (self->kind))
        return s_refuse (what, "%s does not go with 'random'", name);
    if (self->random && self->target[0])
        return s_refuse (what, "%s: '%s' or 'random', not both", name, self->target);
    if (self->kind == BN_LAB_TROUBLE && !self->random)
        return s_refuse (what, "trouble goes with 'random'");
    if (self->kind == BN_LAB_BURST) {
        if (self->number ? self->target[0] || self->rate > 0 : !self->target[0] || !self->rate)
            return s_refuse (what, "burst: expected x10, or TOPIC rate 500");
        return BATON_OK;
    }
    if (s_takes_target (self->kind) && !self->random && !self->target[0])
        return s_refuse (what, "%s what? %s", name,
                         s_may_be_random (self->kind) ? "a name, or 'random'" : "a name is needed");
    if (self->kind == BN_LAB_SCALE && !self->up)
        return s_refuse (what, "scale %s: to how many instances?", self->target);
    if (self->rate > 0 && !s_may_be_random (self->kind))
        return s_refuse (what, "%s does not go with 'rate'", name);
    if (self->rate > 0 && !self->for_given)
        return s_refuse (what, "%s: 'rate' goes with 'for'", name);
    if (self->rate > TROUBLE_MAX)
        return s_refuse (what, "%s: at most %d a second", name, TROUBLE_MAX);
    return BATON_OK;
}

static baton_err_t s_take_words (bn_lab_order_t *self, char **words, size_t count, char what[256])
{
    size_t kind = 0;
    while (kind < BN_LAB_KIND_COUNT && strcmp (s_kinds[kind].text, words[0]))
        kind++;
    if (kind == BN_LAB_KIND_COUNT)
        return s_refuse (what, "'%s' is no order", words[0]);
    self->kind = (bn_lab_kind_t)kind;
    self->for_ms = s_kinds[kind].for_ms;
    for (size_t i = 1; i < count;) {
        int taken = s_take_option (self, words + i, what);
        if (taken < 0)
            return BATON_ERR_ARGUMENT;
        if (taken == 0 && !s_take_particular (self, words[i])) {
            if (self->target[0] || !s_takes_target (self->kind))
                return s_refuse (what, "%s: what is '%s'?", words[0], words[i]);
            if (strlen (words[i]) >= sizeof self->target)
                return s_refuse (what, "%s: the name is too long", words[0]);
            snprintf (self->target, sizeof self->target, "%s", words[i]);
        }
        i += taken ? (size_t)taken : 1;
    }
    if (self->for_given && !s_kinds[kind].for_ms && !self->random)
        return s_refuse (what, "%s takes no time", words[0]);
    return s_check (self, what);
}

baton_err_t bn_lab_order_parse (bn_lab_order_t *self, const char *text, char what[256])
{
    char copy[BN_LAB_ORDER_BYTES_MAX + 1];
    char *words[WORDS_MAX + 1], *rest = copy;
    size_t count = 0;
    memset (self, 0, sizeof *self);
    if (strlen (text) > BN_LAB_ORDER_BYTES_MAX)
        return s_refuse (what, "an order has at most %d bytes", BN_LAB_ORDER_BYTES_MAX);
    snprintf (copy, sizeof copy, "%s", text);
    for (char *word; (word = strsep (&rest, " \t"));) {
        if (!strncmp (word, "--", 2))
            word += 2;
        if (!*word)
            continue;
        if (count == WORDS_MAX)
            return s_refuse (what, "too many words");
        words[count++] = word;
    }
    words[count] = NULL;
    return count ? s_take_words (self, words, count, what) : s_refuse (what, "an empty order");
}
