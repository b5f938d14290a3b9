/* SPDX-License-Identifier: MPL-2.0 */

#include "shell/rfc3339.h"
#include <time.h>

/*  Exactly `digits` digits, then moves on.  */
static bool take_digits (const char **at, int digits, int min, int max, int *value)
{
    int result = 0;
    for (int i = 0; i < digits; i++) {
        if ((*at)[i] < '0' || (*at)[i] > '9')
            return false;
        result = result * 10 + ((*at)[i] - '0');
    }
    *at += digits;
    *value = result;
    return result >= min && result <= max;
}

static bool take_literal (const char **at, char wanted)
{
    if (**at != wanted)
        return false;
    (*at)++;
    return true;
}

/*  "Z" or "+hh:mm", to seconds east of UTC.  */
static bool take_zone (const char **at, int *seconds)
{
    *seconds = 0;
    if (take_literal (at, 'Z') || take_literal (at, 'z'))
        return true;
    int sign = **at == '+' ? 1 : **at == '-' ? -1 : 0;
    int hours, minutes;
    if (sign == 0)
        return false;
    (*at)++;
    if (!take_digits (at, 2, 0, 23, &hours) || !take_literal (at, ':') ||
        !take_digits (at, 2, 0, 59, &minutes))
        return false;
    *seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

bool bn_rfc3339_parse (const char *text, int64_t *time_us)
{
    const char *at = text;
    struct tm tm = {0};
    int zone = 0;
    int64_t fraction_us = 0;
    if (!take_digits (&at, 4, 1970, 9999, &tm.tm_year) || !take_literal (&at, '-') ||
        !take_digits (&at, 2, 1, 12, &tm.tm_mon) || !take_literal (&at, '-') ||
        !take_digits (&at, 2, 1, 31, &tm.tm_mday))
        return false;
    if (*at) {
        if (*at != 'T' && *at != 't' && *at != ' ')
            return false;
        at++;
        if (!take_digits (&at, 2, 0, 23, &tm.tm_hour) || !take_literal (&at, ':') ||
            !take_digits (&at, 2, 0, 59, &tm.tm_min) || !take_literal (&at, ':') ||
            !take_digits (&at, 2, 0, 60, &tm.tm_sec))
            return false;
        if (take_literal (&at, '.')) {
            if (*at < '0' || *at > '9')
                return false;
            for (int64_t unit = 100000; *at >= '0' && *at <= '9'; at++, unit /= 10)
                fraction_us += (*at - '0') * unit;
        }
        if (!take_zone (&at, &zone) || *at)
            return false;
    }
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    if (tm.tm_sec == 60)
        tm.tm_sec = 59; /* a leap second: the clock of the journal does not have them */
    int day = tm.tm_mday;
    time_t seconds = timegm (&tm);
    if (tm.tm_mday != day)
        return false; /* the 30th of February */
    *time_us = ((int64_t)seconds - zone) * 1000000 + fraction_us;
    return *time_us >= 0;
}
