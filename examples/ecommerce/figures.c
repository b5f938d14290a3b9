/* SPDX-License-Identifier: MPL-2.0 */

/*  figures.c - what `run` waits for, out of `baton status --json` on stdin.
 *
 *  Prints one line: the lag of all actors of the shop together ("unknown" until every one of them
 *  has joined), the dead letters, and what a person wants to see.  */
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char *const ACTORS[] = {"validation", "payment", "shipping", "ledger"};
static const char *const TOPICS[] = {"orders.submitted", "payments.charged", "shipments.requested"};

#define COUNT_OF(array) (sizeof (array) / sizeof *(array))

/*  The element of an array of objects that has this name, or NULL.  */
static json_t *find (json_t *array, const char *name)
{
    size_t i;
    json_t *element;
    json_array_foreach (array, i, element)
    {
        const char *its = json_string_value (json_object_get (element, "name"));
        if (its != NULL && strcmp (its, name) == 0)
            return element;
    }
    return NULL;
}

static json_int_t number (json_t *object, const char *field)
{
    return json_integer_value (json_object_get (object, field));
}

int main (void)
{
    json_error_t error;
    json_t *status = json_loadf (stdin, 0, &error);
    if (status == NULL) {
        fprintf (stderr, "figures: no status: %s\n", error.text);
        return 1;
    }
    json_t *actors = json_object_get (status, "actors");
    json_int_t lag = 0;
    json_int_t dead = 0;
    bool complete = true;
    for (size_t i = 0; i < COUNT_OF (ACTORS); i++) {
        json_t *actor = find (actors, ACTORS[i]);
        complete = complete && json_is_integer (json_object_get (actor, "lag"));
        lag += number (actor, "lag");
        dead += number (actor, "dead");
    }
    if (complete)
        printf ("%" JSON_INTEGER_FORMAT " ", lag);
    else
        printf ("unknown ");
    printf ("%" JSON_INTEGER_FORMAT " ", dead);

    json_t *topics = json_object_get (status, "topics");
    for (size_t i = 0; i < COUNT_OF (TOPICS); i++)
        printf ("%s %" JSON_INTEGER_FORMAT "  ", TOPICS[i],
                number (find (topics, TOPICS[i]), "events"));
    printf ("lag:");
    for (size_t i = 0; i < COUNT_OF (ACTORS); i++)
        printf (" %s %" JSON_INTEGER_FORMAT, ACTORS[i], number (find (actors, ACTORS[i]), "lag"));
    putchar ('\n');
    json_decref (status);
    return 0;
}
