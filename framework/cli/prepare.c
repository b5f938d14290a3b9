/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/prepare.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define DESCRIPTORS 2048 /* enough for the most instances that there can be */

bool bn_prepare_directory (const char *path)
{
    char part[PATH_MAX];
    if (snprintf (part, sizeof (part), "%s", path) >= (int)sizeof (part)) {
        errno = ENAMETOOLONG;
        return false;
    }
    for (char *at = part + 1; *at; at++)
        if (*at == '/') {
            *at = 0;
            if (mkdir (part, 0700) && errno != EEXIST)
                return false;
            *at = '/';
        }
    return mkdir (part, 0700) == 0 || errno == EEXIST;
}

void bn_prepare_descriptors (void)
{
    struct rlimit limit;
    if (getrlimit (RLIMIT_NOFILE, &limit) || limit.rlim_cur >= DESCRIPTORS)
        return;
    limit.rlim_cur = limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
    setrlimit (RLIMIT_NOFILE, &limit);
}
