/* SPDX-License-Identifier: MPL-2.0 */

#include "world.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SERVICES_MAX 16

world_t world;

static void hear (const char *service, uint32_t slot, const char *line, size_t size, void *arg)
{
    char text[512];
    (void)size;
    (void)arg;
    snprintf (text, sizeof (text), "%s.%u %s;", service, slot, line);
    strncat (world.heard, text, sizeof (world.heard) - strlen (world.heard) - 1);
    text[strlen (text) - 1] = 0;
    if (world.act)
        world.act (text);
}

static void note_end (const bn_supervisor_end_t *end, void *arg)
{
    (void)arg;
    if (world.end_count < sizeof (world.ends) / sizeof (world.ends[0]))
        world.ends[world.end_count++] = *end;
}

int set_up (void **state)
{
    (void)state;
    memset (&world, 0, sizeof (world));
    alarm (DEADLINE_S);
    bn_supervisor_options_t options = {.line = hear,
                                       .ended = note_end,
                                       .instance_variable = "NAME",
                                       .incarnation_variable = "INCARNATION"};
    return bn_supervisor_new (&world.supervisor, &options);
}

int tear_down (void **state)
{
    (void)state;
    bn_supervisor_destroy (&world.supervisor);
    return 0;
}

/*  argv of the services of one test; the supervisor copies them.  */
static const char *s_argv[SERVICES_MAX][4];
static size_t s_argv_next;

bn_service_options_t service_of (const char *name, const char *script, uint32_t instances)
{
    const char **argv = s_argv[s_argv_next++ % SERVICES_MAX];
    argv[0] = "sh";
    argv[1] = "-c";
    argv[2] = script;
    return (bn_service_options_t){.name = name,
                                  .argv = argv,
                                  .instances = instances,
                                  .stop_timeout_ms = 20000,
                                  .backoff_max_ms = 200};
}

void add (const char *name, const char *script, uint32_t instances)
{
    bn_service_options_t service = service_of (name, script, instances);
    assert_int_equal (bn_supervisor_add (world.supervisor, &service), BATON_OK);
}

/*  A gate that stays closed is asked for ever.  */
static bool tick (void *arg)
{
    (void)arg;
    if (world.tick)
        world.tick ();
    return false;
}

static bn_service_options_t s_clock (void)
{
    bn_service_options_t service = service_of ("clock", "exit 0", 0);
    service.gate = tick;
    return service;
}

void add_clock (void)
{
    bn_service_options_t service = s_clock ();
    assert_int_equal (bn_supervisor_add (world.supervisor, &service), BATON_OK);
}

baton_err_t apply (const bn_service_options_t *services, size_t service_count,
                   bn_supervisor_changes_t *changes)
{
    bn_service_options_t list[SERVICES_MAX];
    assert_true (service_count < SERVICES_MAX);
    memcpy (list, services, service_count * sizeof (*list));
    list[service_count] = s_clock ();
    return bn_supervisor_apply (world.supervisor, list, service_count + 1, changes);
}

void run (void)
{
    assert_int_equal (bn_supervisor_run (world.supervisor), BATON_OK);
}

size_t count (const char *wanted)
{
    size_t result = 0;
    for (const char *at = world.heard; (at = strstr (at, wanted)); at++)
        result++;
    return result;
}

bool instance (const char *name, bn_instance_info_t *info)
{
    char text[128];
    for (size_t i = 0; i < bn_supervisor_services (world.supervisor); i++)
        for (size_t k = 0; bn_supervisor_instance (world.supervisor, i, k, info); k++) {
            snprintf (text, sizeof (text), "%s.%u", info->service, info->slot);
            if (!strcmp (text, name))
                return true;
        }
    return false;
}
