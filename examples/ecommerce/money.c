/* SPDX-License-Identifier: MPL-2.0 */
#include "money.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MONEY_DECIMALS 6

static bool add_digit (uint64_t *number, char digit)
{
    return !__builtin_mul_overflow (*number, 10u, number) &&
           !__builtin_add_overflow (*number, (uint64_t)(digit - '0'), number);
}

bool money_parse (const char *text, money_t *result)
{
    bool negative = *text == '-';
    if (*text == '-' || *text == '+')
        text++;
    size_t whole = strspn (text, "0123456789");
    const char *fraction = text[whole] == '.' ? text + whole + 1 : "";
    size_t decimals = strspn (fraction, "0123456789");
    if (whole + decimals == 0 || fraction[decimals] != 0 ||
        (text[whole] != 0 && text[whole] != '.'))
        return false;
    while (decimals > MONEY_DECIMALS && fraction[decimals - 1] == '0')
        decimals--;
    if (decimals > MONEY_DECIMALS)
        return false;

    uint64_t number = 0;
    for (size_t i = 0; i < whole; i++)
        if (!add_digit (&number, text[i]))
            return false;
    for (size_t i = 0; i < MONEY_DECIMALS; i++)
        if (!add_digit (&number, i < decimals ? fraction[i] : '0'))
            return false;
    if (number > INT64_MAX)
        return false;
    *result = negative ? -(int64_t)number : (int64_t)number;
    return true;
}

const char *money_format (money_t self, char text[MONEY_TEXT_BYTES])
{
    uint64_t number = self < 0 ? -(uint64_t)self : (uint64_t)self;
    int length = snprintf (text, MONEY_TEXT_BYTES, "%s%" PRIu64 ".%06" PRIu64, self < 0 ? "-" : "",
                           number / MONEY_UNIT, number % MONEY_UNIT);
    for (int least = length - MONEY_DECIMALS + 2; length > least && text[length - 1] == '0';)
        text[--length] = 0;
    return text;
}

bool money_add_product (money_t *total, money_t price, int64_t quantity)
{
    int64_t product;
    int64_t sum;
    if (__builtin_mul_overflow (price, quantity, &product) ||
        __builtin_add_overflow (*total, product, &sum))
        return false;
    *total = sum;
    return true;
}
