/* SPDX-License-Identifier: MPL-2.0 */

/*  money.h - exact decimal amounts: a signed 64-bit count of millionths, so that prices with up to
 *  six decimals and totals up to 9.2 million million are exact. Nothing is ever rounded: what does
 *  not fit is refused.  */
#ifndef SHOP_MONEY_H
#define SHOP_MONEY_H

#include <stdbool.h>
#include <stdint.h>

#define MONEY_UNIT       1000000 /* millionths in 1 */
#define MONEY_TEXT_BYTES 32      /* enough for any amount and its NUL */

typedef int64_t money_t;

/*  "-12.345" to an amount. False, with *result untouched, if the text is not a plain decimal number
 *  or does not fit.  */
bool money_parse (const char *text, money_t *result);

/*  Two decimals, or as many as there are: "12.50", "374274.391". Returns text.  */
const char *money_format (money_t self, char text[MONEY_TEXT_BYTES]);

/*  *total += price * quantity. False, with *total untouched, if it does not fit.  */
bool money_add_product (money_t *total, money_t price, int64_t quantity);

#endif
