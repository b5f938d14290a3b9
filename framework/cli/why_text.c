/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/why_text.h"
#include "cli/sample.h"
#include "shell/printable.h"
#include <stdio.h>
#include <string.h>

#define D              JSON_INTEGER_FORMAT
#define LISTED_MAX     8    /* offsets in a sentence */
#define TEXT_BYTES_MAX 4096 /* a longer one is cut */

static bool s_is (const json_t *object, const char *name, const char *text)
{
    return strcmp (bn_sample_text (object, name), text) == 0;
}

static bool s_has (const json_t *object, const char *name)
{
    const json_t *value = json_object_get (object, name);
    return value && !json_is_null (value);
}

static bool s_true (const json_t *object, const char *name)
{
    return json_is_true (json_object_get (object, name));
}

static const char *s_plural (json_int_t count)
{
    return count == 1 ? "" : "s";
}

/*  Keys, ids and reasons are what somebody made them.  */
static void s_print_text (const char *before, const json_t *object, const char *name)
{
    const char *text = bn_sample_text (object, name);
    char clean[TEXT_BYTES_MAX + BN_PRINTABLE_ROOM];
    bn_printable (clean, sizeof (clean), text, strlen (text), false);
    printf ("%s%s", before, clean);
}

static void s_print_line (const json_t *event, int indent)
{
    printf ("%*s%" D "  %s", indent, "", bn_sample_int (event, "offset"),
            bn_sample_text (event, "topic"));
    if (bn_sample_text (event, "key")[0])
        s_print_text ("  key ", event, "key");
    printf ("  partition %" D "  %.19sZ\n", bn_sample_int (event, "partition"),
            bn_sample_text (event, "time"));
}

static void s_print_offsets (const json_t *list)
{
    size_t i, size = json_array_size (list);
    for (i = 0; i < size && i < LISTED_MAX; i++)
        printf ("%s%" D, i ? ", " : " ", json_integer_value (json_array_get (list, i)));
    printf ("%s\n", size > LISTED_MAX ? ", ..." : "");
}

/*  ---- what an event is to an actor ---- */

/*  Who has the partition, and what keeps it from going on.  */
static void s_print_owner (const json_t *answer)
{
    json_int_t parked = bn_sample_int (answer, "parked_in_partition");
    const char *instance = bn_sample_text (answer, "instance");
    if (!s_has (answer, "instance"))
        printf ("      no instance has its partition: none runs, or none is left for it\n");
    else if (!s_true (answer, "connected"))
        printf ("      its partition belongs to %s, which is not connected\n", instance);
    else if (s_true (answer, "revoked"))
        printf ("      its partition is being handed over by %s\n", instance);
    else
        printf ("      its partition belongs to %s, which has %" D " event%s in flight\n", instance,
                bn_sample_int (answer, "in_flight"),
                s_plural (bn_sample_int (answer, "in_flight")));
    if (parked > 0 && parked >= bn_sample_int (answer, "parked_max"))
        printf ("      its partition waits: %" D " events are parked, at most %" D " may be\n",
                parked, bn_sample_int (answer, "parked_max"));
    if (s_true (answer, "careful"))
        printf ("      its partition is careful: a process died with events in hand\n");
}

/*  Of an attempt after which there will be others: its reason, and the end of the line.  */
static void s_print_last_attempt (const json_t *answer)
{
    if (s_has (answer, "reason"))
        s_print_text ("; last attempt: ", answer, "reason");
    printf ("\n");
}

static void s_print_ready (const json_t *answer, const json_t *event)
{
    json_int_t ahead = bn_sample_int (answer, "ahead");
    json_int_t of_key = bn_sample_int (answer, "ahead_of_key");
    bool begun = s_has (answer, "begun") &&
                 bn_sample_int (answer, "begun") == bn_sample_int (event, "offset");
    if (begun)
        printf ("in the handler of %s\n", bn_sample_text (answer, "instance"));
    else if (!s_has (answer, "ahead"))
        printf ("ready, behind others: at most %" D " are ready in its partition\n",
                bn_sample_int (answer, "ready_in_partition"));
    else if (ahead == 0 && s_true (answer, "connected") && bn_sample_int (answer, "in_flight"))
        printf ("first in its partition: being handled by %s, or about to be\n",
                bn_sample_text (answer, "instance"));
    else if (ahead == 0)
        printf ("ready, first in its partition\n");
    else
        printf ("ready, behind %" D " event%s of its partition, %" D " of them of its key\n", ahead,
                s_plural (ahead), of_key);
    if (bn_sample_int (answer, "attempts")) {
        printf ("      %" D " of %" D " attempts ended with the death of the process",
                bn_sample_int (answer, "attempts"), bn_sample_int (answer, "max_attempts"));
        s_print_last_attempt (answer);
    }
    if (s_has (answer, "elder"))
        printf ("      it will wait behind %" D ", which is parked and has the same key\n",
                bn_sample_int (answer, "elder"));
    s_print_owner (answer);
}

static void s_print_parked (const json_t *answer)
{
    char due[32];
    json_int_t due_ms = bn_sample_int (answer, "due_ms");
    json_int_t attempts = bn_sample_int (answer, "attempts");
    bn_sample_age_text (json_object_get (answer, "due_ms"), due);
    printf ("parked");
    if (attempts)
        printf (", %" D " of %" D " attempts made", attempts,
                bn_sample_int (answer, "max_attempts"));
    if (s_has (answer, "elder"))
        printf (", behind %" D " of its key", bn_sample_int (answer, "elder"));
    else if (due_ms)
        printf (", due in %s", due);
    else
        printf (", due now");
    s_print_last_attempt (answer);
    s_print_owner (answer);
}

static void s_print_dead (const json_t *answer)
{
    printf ("given up after %" D " attempt%s: ", bn_sample_int (answer, "attempts"),
            s_plural (bn_sample_int (answer, "attempts")));
    s_print_text (s_has (answer, "reason") ? "" : "its copy is not in the journal any more", answer,
                  "reason");
    printf ("\n      baton dead redrive %s %" D " gives it to the actor again\n",
            bn_sample_text (answer, "actor"), bn_sample_int (answer, "dead_offset"));
}

static void s_print_answers (const json_t *event)
{
    size_t i;
    json_t *answer, *actors = json_object_get (event, "actors");
    if (json_array_size (actors) == 0)
        printf ("  no actor is registered for %s\n", bn_sample_text (event, "topic"));
    json_array_foreach (actors, i, answer)
    {
        const json_t *behind = json_object_get (answer, "waiting_behind");
        printf ("  %s: ", bn_sample_text (answer, "actor"));
        if (s_is (answer, "state", "ready"))
            s_print_ready (answer, event);
        else if (s_is (answer, "state", "parked"))
            s_print_parked (answer);
        else if (s_is (answer, "state", "dead"))
            s_print_dead (answer);
        else
            printf ("settled\n");
        if (json_array_size (behind) && !s_is (answer, "state", "settled") &&
            !s_is (answer, "state", "dead")) {
            printf ("      behind it wait%s %zu of its key:",
                    json_array_size (behind) == 1 ? "s" : "", json_array_size (behind));
            s_print_offsets (behind);
        }
    }
}

/*  ---- all ---- */

static void s_print_event_report (const json_t *report)
{
    size_t i;
    json_t *it;
    const json_t *event = json_object_get (report, "event");
    const json_t *causes = json_object_get (report, "caused_by");
    const json_t *effects = json_object_get (report, "caused");
    const json_t *range = json_object_get (report, "searched_for_effects");
    s_print_line (event, 0);
    s_print_text ("  id ", event, "id");
    s_print_text (", source ", event, "source");
    if (s_has (event, "deadid")) {
        s_print_text ("\n  the dead letter of ", event, "deadid");
        s_print_text (": ", event, "deadreason");
    }
    printf ("\n");
    s_print_answers (event);
    if (json_array_size (causes) || s_has (report, "cause_not_found"))
        printf ("caused by\n");
    json_array_foreach (causes, i, it)
    {
        s_print_line (it, 2 + 2 * (int)i);
    }
    if (s_has (report, "cause_not_found")) {
        s_print_text ("  ", report, "cause_not_found");
        printf (", which is not in the part of the journal that was looked at (--scan)\n");
    }
    if (json_array_size (effects))
        printf ("caused\n");
    json_array_foreach (effects, i, it)
    {
        s_print_line (it, 2 * (int)bn_sample_int (it, "depth"));
    }
    if (s_true (report, "more_effects"))
        printf ("  and more\n");
    printf ("%s in offsets %" D " to %" D "\n",
            json_array_size (effects) ? "looked for what it caused" : "it has caused nothing",
            bn_sample_int (range, "from"), bn_sample_int (range, "to"));
}

static void s_print_key_report (const json_t *report)
{
    size_t i;
    json_t *it;
    const json_t *events = json_object_get (report, "events");
    const json_t *letters = json_object_get (report, "dead_letters");
    s_print_text ("key ", report, "key");
    printf (", partition %" D "\n", bn_sample_int (report, "partition"));
    json_array_foreach (events, i, it)
    {
        s_print_line (it, 0);
        s_print_answers (it);
    }
    if (s_true (report, "more"))
        printf ("and more: these are the first that are not settled\n");
    json_array_foreach (letters, i, it)
    {
        printf ("%s gave up %" D " of this key: baton dead show %s %" D "\n",
                bn_sample_text (it, "actor"), bn_sample_int (it, "offset"),
                bn_sample_text (it, "actor"), bn_sample_int (it, "dead_offset"));
    }
    if (json_array_size (events) == 0 && s_has (report, "last")) {
        printf ("none of its events waits; the last one is\n");
        s_print_line (json_object_get (report, "last"), 0);
        s_print_answers (json_object_get (report, "last"));
    }
}

void bn_why_print (const json_t *report)
{
    if (s_is (report, "kind", "event"))
        s_print_event_report (report);
    else
        s_print_key_report (report);
}
