/* SPDX-License-Identifier: MPL-2.0 */

/*  why_text.h - the report of `baton why` as sentences.  */
#ifndef BN_CLI_WHY_TEXT_H
#define BN_CLI_WHY_TEXT_H

#include <jansson.h>

void bn_why_print (const json_t *report);

#endif
