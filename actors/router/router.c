/* SPDX-License-Identifier: MPL-2.0 */

/*  router.c - a content-based router: passes events on to topics by what is in them.
 *
 *  Key, data and attributes stay as they are; the event that goes out is a new one, caused by the
 *  one that came in, and is settled with it: each is passed on exactly once.  */

#include <baton/baton.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RULES_MAX 64

typedef struct {
    const char *field; /* NULL: matches always */
    const char *value;
    size_t field_size;
    const char *topic;
} rule_t;

typedef struct {
    rule_t rules[RULES_MAX];
    size_t count;
} router_t;

static const char usage[] =
    "  --on PATTERN              topics to take; again for each\n"
    "and rules, of which the first that matches counts:\n"
    "  --when FIELD=VALUE TOPIC  text, integer or boolean under a top-level field of the data\n"
    "  --else TOPIC              all else; without it, what no rule matches goes nowhere\n";

/*  The field as text, as a rule would have it. false: not there, or not a simple value.  */
static bool text_of (const baton_event_t *event, const char *field, char *text, size_t size)
{
    baton_value_t value;
    const char *string;
    size_t length;
    int64_t number;
    bool truth;
    if (!baton_event_field (event, field, &value))
        return false;
    if (baton_value_str (value, &string, &length) && length < size) {
        memcpy (text, string, length);
        text[length] = '\0';
        return true;
    }
    if (baton_value_int (value, &number))
        return snprintf (text, size, "%lld", (long long)number) > 0;
    if (baton_value_bool (value, &truth))
        return snprintf (text, size, "%s", truth ? "true" : "false") > 0;
    return false;
}

static bool matches (const rule_t *rule, const baton_event_t *event)
{
    char field[256], text[1024];
    if (!rule->field)
        return true;
    snprintf (field, sizeof field, "%.*s", (int)rule->field_size, rule->field);
    return text_of (event, field, text, sizeof text) && strcmp (text, rule->value) == 0;
}

static baton_verdict_t on_event (baton_context_t *context, const baton_event_t *event, void *arg)
{
    const router_t *self = arg;
    size_t at = 0;
    while (at < self->count && !matches (&self->rules[at], event))
        at++;
    if (at == self->count)
        return BATON_ACK;

    baton_extension_t extensions[BATON_EXTENSIONS_COUNT_MAX + BATON_DEAD_EXTENSIONS_COUNT];
    size_t count = 0, size;
    while (count < sizeof extensions / sizeof *extensions &&
           baton_event_extension_at (event, count, &extensions[count]))
        count++;
    baton_attributes_t attributes = {.datacontenttype = baton_event_datacontenttype (event),
                                     .dataschema = baton_event_dataschema (event),
                                     .extensions = extensions,
                                     .extension_count = count};
    const void *data = baton_event_data (event, &size);
    /*  An error becomes a dead letter with the reason.  */
    baton_emit (context, self->rules[at].topic, NULL, data, size, &attributes);
    return BATON_ACK;
}

static baton_err_t add_rule (router_t *self, const char *condition, const char *topic)
{
    if (self->count == RULES_MAX)
        return BATON_ERR_LIMIT;
    rule_t rule = {.topic = topic};
    if (condition) {
        const char *equals = strchr (condition, '=');
        if (!equals || equals == condition)
            return BATON_ERR_ARGUMENT;
        rule.field = condition;
        rule.field_size = (size_t)(equals - condition);
        rule.value = equals + 1;
    }
    self->rules[self->count++] = rule;
    return BATON_OK;
}

static baton_err_t configure (baton_actor_t *actor, int argc, char **argv, void *arg)
{
    router_t *self = arg;
    baton_err_t err = BATON_OK;
    size_t patterns = 0;
    for (int at = 0; at < argc && !err; at++) {
        int left = argc - at - 1;
        if (strcmp (argv[at], "--on") == 0 && left >= 1) {
            err = baton_actor_on (actor, argv[++at], on_event, self);
            patterns++;
        } else if (strcmp (argv[at], "--when") == 0 && left >= 2) {
            err = add_rule (self, argv[at + 1], argv[at + 2]);
            at += 2;
        } else if (strcmp (argv[at], "--else") == 0 && left >= 1)
            err = add_rule (self, NULL, argv[++at]);
        else
            err = BATON_ERR_ARGUMENT;
    }
    if (!err && (patterns == 0 || self->count == 0))
        err = BATON_ERR_ARGUMENT;
    return err;
}

int main (int argc, char **argv)
{
    static router_t self;
    baton_actor_options_t defaults = {.name = "router", .usage = usage};
    return baton_actor_main (argc, argv, &defaults, configure, &self);
}
