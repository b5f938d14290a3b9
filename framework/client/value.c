/* SPDX-License-Identifier: MPL-2.0 */

/*  value.c - windows on MessagePack. Every getter reads through the bounded cursor of wire/mp.h, so
 *  that even bytes nobody checked cost a `false` and nothing else.  */

#include "wire/mp.h"
#include <baton/event.h>
#include <string.h>

static bn_mp_t cursor (baton_value_t self)
{
    bn_mp_t mp;
    bn_mp_init (&mp, self.bytes, self.bytes ? self.size : 0);
    return mp;
}

/*  Reads the next value as a window.  */
static bool next_value (bn_mp_t *mp, baton_value_t *result)
{
    const uint8_t *start = mp->at;
    bn_mp_skip (mp, BATON_DATA_DEPTH_MAX);
    if (!bn_mp_ok (mp))
        return false;
    *result = (baton_value_t){.bytes = start, .size = (size_t)(mp->at - start)};
    return true;
}

baton_value_t baton_value_wrap (const void *bytes, size_t size)
{
    if (!bytes || bn_mp_scan (bytes, size, BATON_DATA_DEPTH_MAX, NULL) != BATON_OK)
        return (baton_value_t){.bytes = NULL};
    return (baton_value_t){.bytes = bytes, .size = size};
}

baton_value_type_t baton_value_type (baton_value_t self)
{
    bn_mp_t mp = cursor (self);
    switch (bn_mp_peek (&mp)) {
    case 'n':
        return BATON_VALUE_NIL;
    case 'b':
        return BATON_VALUE_BOOL;
    case 'i':
        return BATON_VALUE_INT;
    case 'r':
        return BATON_VALUE_REAL;
    case 's':
        return BATON_VALUE_STR;
    case 'B':
        return BATON_VALUE_BIN;
    case 'a':
        return BATON_VALUE_ARRAY;
    case 'm':
        return BATON_VALUE_MAP;
    case 'e':
        return BATON_VALUE_EXT;
    default:
        return BATON_VALUE_NONE;
    }
}

bool baton_value_bool (baton_value_t self, bool *result)
{
    bn_mp_t mp = cursor (self);
    if (bn_mp_peek (&mp) != 'b')
        return false;
    *result = bn_mp_bool (&mp, "bool");
    return true;
}

bool baton_value_int (baton_value_t self, int64_t *result)
{
    bn_mp_t mp = cursor (self);
    int64_t value = bn_mp_int (&mp, "integer");
    if (!bn_mp_ok (&mp))
        return false;
    *result = value;
    return true;
}

bool baton_value_uint (baton_value_t self, uint64_t *result)
{
    bn_mp_t mp = cursor (self);
    uint64_t value = bn_mp_uint (&mp, UINT64_MAX, "integer");
    if (!bn_mp_ok (&mp))
        return false;
    *result = value;
    return true;
}

bool baton_value_real (baton_value_t self, double *result)
{
    bn_mp_t mp = cursor (self);
    if (bn_mp_peek (&mp) == 'i') {
        int64_t integer;
        uint64_t positive;
        if (baton_value_int (self, &integer))
            *result = (double)integer;
        else if (baton_value_uint (self, &positive))
            *result = (double)positive;
        else
            return false;
        return true;
    }
    double value = bn_mp_real (&mp, "real");
    if (!bn_mp_ok (&mp))
        return false;
    *result = value;
    return true;
}

bool baton_value_str (baton_value_t self, const char **text, size_t *size)
{
    bn_mp_t mp = cursor (self);
    size_t found_size = 0;
    const char *found = bn_mp_str (&mp, SIZE_MAX, &found_size, "text");
    if (!bn_mp_ok (&mp))
        return false;
    *text = found;
    *size = found_size;
    return true;
}

bool baton_value_bin (baton_value_t self, const void **bytes, size_t *size)
{
    bn_mp_t mp = cursor (self);
    size_t found_size = 0;
    const uint8_t *found = bn_mp_bin (&mp, SIZE_MAX, &found_size, "bytes");
    if (!bn_mp_ok (&mp))
        return false;
    *bytes = found;
    *size = found_size;
    return true;
}

/*  Steps over the head of an array or a map; 0 for anything else.  */
static size_t open_container (bn_mp_t *mp, char kind)
{
    if (bn_mp_peek (mp) != kind)
        return 0;
    uint32_t count =
        kind == 'a' ? bn_mp_array (mp, UINT32_MAX, "array") : bn_mp_map (mp, UINT32_MAX, "map");
    return bn_mp_ok (mp) ? count : 0;
}

size_t baton_value_count (baton_value_t self)
{
    bn_mp_t mp = cursor (self);
    return open_container (&mp, bn_mp_peek (&mp) == 'm' ? 'm' : 'a');
}

bool baton_value_at (baton_value_t self, size_t index, baton_value_t *result)
{
    bn_mp_t mp = cursor (self);
    if (index >= open_container (&mp, 'a'))
        return false;
    while (index-- > 0 && bn_mp_ok (&mp))
        bn_mp_skip (&mp, BATON_DATA_DEPTH_MAX);
    return bn_mp_ok (&mp) && next_value (&mp, result);
}

bool baton_value_get (baton_value_t self, const char *name, baton_value_t *result)
{
    bn_mp_t mp = cursor (self);
    size_t name_size = strlen (name);
    for (size_t left = open_container (&mp, 'm'); left > 0; left--) {
        baton_value_t key;
        const char *text;
        size_t size;
        if (!next_value (&mp, &key))
            return false;
        if (baton_value_str (key, &text, &size) && size == name_size &&
            memcmp (text, name, size) == 0)
            return next_value (&mp, result);
        bn_mp_skip (&mp, BATON_DATA_DEPTH_MAX);
    }
    return false;
}

bool baton_value_entry (baton_value_t self, size_t index, baton_value_t *key, baton_value_t *result)
{
    bn_mp_t mp = cursor (self);
    if (index >= open_container (&mp, 'm'))
        return false;
    baton_value_t found_key, found;
    do {
        if (!next_value (&mp, &found_key) || !next_value (&mp, &found))
            return false;
    } while (index-- > 0);
    *key = found_key;
    *result = found;
    return true;
}
