/* SPDX-License-Identifier: MPL-2.0 */

/*  memory.c - an allocation that fails within a step of a machine; linked with -Wl,--wrap=.  */
#include "simulation/sim.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t s_left; /* the allocation that fails, counted from now; 0: none */
static bool s_on;       /* and all later ones of the step */
static bool s_failed;

void *__real_malloc (size_t size);
void *__real_calloc (size_t count, size_t size);
void *__real_realloc (void *old, size_t size);
char *__real_strdup (const char *text);
void *__wrap_malloc (size_t size);
void *__wrap_calloc (size_t count, size_t size);
void *__wrap_realloc (void *old, size_t size);
char *__wrap_strdup (const char *text);

void sim_memory_short (uint64_t allocation, bool on)
{
    s_left = allocation;
    s_on = on;
    s_failed = false;
}

bool sim_memory_enough (void)
{
    bool enough = !s_failed;
    s_left = 0;
    s_failed = false;
    return enough;
}

static bool refused (void)
{
    if (s_left == 0 || --s_left > 0)
        return false;
    s_left = s_on ? 1 : 0;
    s_failed = true;
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc (size_t size)
{
    return refused () ? NULL : __real_malloc (size);
}

void *__wrap_calloc (size_t count, size_t size)
{
    return refused () ? NULL : __real_calloc (count, size);
}

void *__wrap_realloc (void *old, size_t size)
{
    return refused () ? NULL : __real_realloc (old, size);
}

char *__wrap_strdup (const char *text)
{
    return refused () ? NULL : __real_strdup (text);
}
