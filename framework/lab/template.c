/* SPDX-License-Identifier: MPL-2.0 */

#include "lab/template.h"
#include "wire/mp.h"
#include <baton/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TEXT_BYTES 65536 /* of one text, filled in */

bool bn_lab_template_varies (const void *data, size_t size)
{
    return size && memchr (data, '$', size) != NULL;
}

/*  What follows a dollar; *taken: how many bytes of the text that was.  */
static const char *s_value (const char *at, size_t left, const bn_lab_names_t *names,
                            const char *number, size_t *taken)
{
    const struct {
        const char *name;
        const char *value;
    } values[] = {{"$", "$"}, {"key", names->key}, {"id", names->id}, {"n", number}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        size_t size = strlen (values[i].name);
        if (left >= size && !memcmp (at, values[i].name, size)) {
            *taken = size;
            return values[i].value;
        }
    }
    *taken = 0;
    return "$";
}

static void s_text (const char *text, size_t size, const bn_lab_names_t *names,
                    msgpack_packer *packer)
{
    char number[24];
    bn_buffer_t filled;
    if (size == 2 && !memcmp (text, "$n", 2)) {
        msgpack_pack_uint64 (packer, names->n);
        return;
    }
    snprintf (number, sizeof number, "%" PRIu64, names->n);
    bn_buffer_init (&filled, TEXT_BYTES);
    for (size_t i = 0; i < size;) {
        const char *dollar = memchr (text + i, '$', size - i);
        size_t plain = dollar ? (size_t)(dollar - text) - i : size - i, taken;
        bn_buffer_append (&filled, text + i, plain);
        i += plain;
        if (!dollar)
            break;
        const char *value = s_value (text + i + 1, size - i - 1, names, number, &taken);
        bn_buffer_append (&filled, value, strlen (value));
        i += 1 + taken;
    }
    if (filled.failed)
        bn_mp_pack_str (packer, text, size);
    else
        bn_mp_pack_str (packer, filled.size ? (char *)bn_buffer_data (&filled) : "", filled.size);
    bn_buffer_fini (&filled);
}

/*  One value, and those in it: a head of an array or a map is followed by its elements, so that
 *  their count is all there is to know.  */
baton_err_t bn_lab_template_fill (const void *data, size_t size, const bn_lab_names_t *names,
                                  bn_buffer_t *filled)
{
    bn_mp_t mp;
    uint64_t left = 1;
    bool in_map[BN_MP_DEPTH_MAX + 1] = {false};
    uint64_t open[BN_MP_DEPTH_MAX + 1] = {1};
    uint32_t depth = 0;
    msgpack_packer packer = bn_mp_packer (filled);
    size_t err_at;
    if (bn_mp_scan (data, size, BATON_DATA_DEPTH_MAX, &err_at))
        return BATON_ERR_MALFORMED;
    bn_mp_init (&mp, data, size);
    while (left && bn_mp_ok (&mp)) {
        bool is_key = in_map[depth] && open[depth] % 2 == 0;
        char type = bn_mp_peek (&mp);
        const uint8_t *start = mp.at;
        uint64_t inside = 0;
        if (type == 's' && !is_key) {
            size_t text_size;
            const char *text = bn_mp_str (&mp, SIZE_MAX, &text_size, "text");
            if (bn_mp_ok (&mp))
                s_text (text, text_size, names, &packer);
        } else if (type == 'a' || type == 'm') {
            uint32_t count = type == 'a' ? bn_mp_array (&mp, UINT32_MAX, "array")
                                         : bn_mp_map (&mp, UINT32_MAX, "map");
            inside = type == 'a' ? count : 2 * (uint64_t)count;
            if (type == 'a')
                msgpack_pack_array (&packer, count);
            else
                msgpack_pack_map (&packer, count);
        } else {
            bn_mp_skip (&mp, 0);
            bn_buffer_append (filled, start, (size_t)(mp.at - start));
        }
        open[depth]--;
        left += inside - 1;
        if (inside) {
            depth++;
            in_map[depth] = type == 'm';
            open[depth] = inside;
        }
        while (depth && !open[depth])
            depth--;
    }
    return bn_mp_ok (&mp) && !filled->failed ? BATON_OK : BATON_ERR_TOO_LARGE;
}
