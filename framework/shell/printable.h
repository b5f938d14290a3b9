/* SPDX-License-Identifier: MPL-2.0 */

/*  printable.h - texts of unknown origin (keys, reasons, what a program prints) for a terminal,
 *  which takes control characters for orders: to clear the screen, to name the window, to type.  */
#ifndef BN_PRINTABLE_H
#define BN_PRINTABLE_H

#include <stdbool.h>
#include <stddef.h>

typedef enum {
    BN_CHARACTER_PLAIN,
    BN_CHARACTER_CONTROL, /* C0, DEL, C1 */
    BN_CHARACTER_NONE     /* a byte that is not UTF-8 */
} bn_character_t;

/*  What is at the start of `size` bytes, at least one; returns how many bytes it has.  */
size_t bn_printable_next (const char *text, size_t size, bn_character_t *kind);

/*  Copies a text; what is not printable becomes '?'. What does not fit into `room`, which has the
 *  final zero, too, is left out; size + BN_PRINTABLE_ROOM is always enough. `colours`: tabs and
 *  colours (SGR) stay, and colours end with the text. Returns the size without the zero.  */
#define BN_PRINTABLE_ROOM 8
size_t bn_printable (char *copy, size_t room, const char *text, size_t size, bool colours);

#endif
