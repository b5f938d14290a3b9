/* SPDX-License-Identifier: MPL-2.0 */

/*  fuzz_json.c - JSON that people type, and MessagePack that is shown to them. The first byte
 *  chooses. Oracles: what is packed is well-formed and shown as JSON that is read again as the same
 *  value; of any bytes, what is shown is JSON.  */
#include "cli/json.h"
#include "fuzz.h"
#include "wire/mp.h"
#include <string.h>

enum { BYTES_MAX = 1 << 20 };

/*  NULL: not well-formed.  */
static json_t *shown (const void *bytes, size_t size)
{
    bn_buffer_t text;
    json_t *value = NULL;
    bn_buffer_init (&text, BYTES_MAX);
    if (bn_json_put_value (&text, bytes, size)) {
        FUZZ_CHECK (!text.failed);
        value = json_loadb ((const char *)text.blob->data, text.size,
                            JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        FUZZ_CHECK (value);
    }
    bn_buffer_fini (&text);
    return value;
}

static void check_text (const uint8_t *bytes, size_t size)
{
    char what[256] = "";
    json_t *value = bn_json_parse ((const char *)bytes, size, what);
    if (!value) {
        FUZZ_CHECK (*what && memchr (what, 0, sizeof (what)));
        return;
    }
    bn_buffer_t packed;
    bn_buffer_init (&packed, BYTES_MAX);
    if (!bn_json_pack (value, &packed)) {
        size_t at;
        FUZZ_CHECK (!bn_mp_scan (packed.blob->data, packed.size, BATON_DATA_DEPTH_MAX, &at));
        json_t *again = shown (packed.blob->data, packed.size);
        FUZZ_CHECK (again && json_equal (value, again));
        json_decref (again);
    }
    bn_buffer_fini (&packed);
    json_decref (value);
}

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t size)
{
    if (size < 1)
        return 0;
    if (bytes[0] % 2 == 0)
        check_text (bytes + 1, size - 1);
    else {
        json_decref (shown (bytes + 1, size - 1));
        json_decref (bn_json_from_value (bytes + 1, size - 1));
    }
    return 0;
}
