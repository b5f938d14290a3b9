/* SPDX-License-Identifier: MPL-2.0 */

#include "shell/printable.h"
#include "base/assert.h"
#include "wire/mp.h"
#include <string.h>

static const char s_reset[] = "\033[0m";

size_t bn_printable_next (const char *text, size_t size, bn_character_t *kind)
{
    unsigned char first = (unsigned char)text[0];
    size_t length = bn_utf8_length (text, size);
    bool c1 = length == 2 && first == 0xc2 && (unsigned char)text[1] < 0xa0;
    *kind = length == 0                           ? BN_CHARACTER_NONE
            : first < 0x20 || first == 0x7f || c1 ? BN_CHARACTER_CONTROL
                                                  : BN_CHARACTER_PLAIN;
    return length ? length : 1;
}

/*  Bytes of the order for colours at the start, `ESC [ digits and ; m`; 0: it is none.  */
static size_t colour_size (const char *text, size_t size)
{
    size_t at = 2;
    if (size < 3 || text[0] != '\033' || text[1] != '[')
        return 0;
    while (at < size && ((text[at] >= '0' && text[at] <= '9') || text[at] == ';'))
        at++;
    return at < size && text[at] == 'm' ? at + 1 : 0;
}

size_t bn_printable (char *copy, size_t room, const char *text, size_t size, bool colours)
{
    size_t used = 0;
    bool coloured = false;
    bn_assert (room >= BN_PRINTABLE_ROOM);
    room -= sizeof (s_reset);
    while (size > 0) {
        bn_character_t kind;
        size_t colour = colours ? colour_size (text, size) : 0;
        size_t length = colour ? colour : bn_printable_next (text, size, &kind);
        bool as_it_is = colour || kind == BN_CHARACTER_PLAIN || (colours && *text == '\t');
        if (used + (as_it_is ? length : 1) > room)
            break;
        if (as_it_is)
            memcpy (copy + used, text, length);
        else
            copy[used] = '?';
        used += as_it_is ? length : 1;
        coloured = coloured || colour;
        text += length;
        size -= length;
    }
    if (coloured) {
        memcpy (copy + used, s_reset, sizeof (s_reset) - 1);
        used += sizeof (s_reset) - 1;
    }
    copy[used] = 0;
    return used;
}
