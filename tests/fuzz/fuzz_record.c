/* SPDX-License-Identifier: MPL-2.0 */

/*  fuzz_record.c - bodies of journal records; the first byte is the type. Oracles: a reader that
 *  only wants the sections finds those that the whole decoder finds; what is accepted encodes to
 *  the same bytes again and again.  */
#include "fuzz.h"
#include "wire/record.h"
#include <string.h>

static void check_sections (const bn_record_t *record, const uint8_t *body, size_t size)
{
    bn_section_t *sections;
    uint32_t count;
    FUZZ_CHECK (bn_record_sections (record->type, 9, body, size, &sections, &count) == BATON_OK);
    const bn_section_t *full = NULL;
    uint32_t full_count = 0;
    if (record->type == BN_RECORD_PUBLISH) {
        full = record->publish.sections;
        full_count = record->publish.section_count;
    } else if (record->type == BN_RECORD_SETTLE) {
        full = record->settle.sections;
        full_count = record->settle.section_count;
    }
    FUZZ_CHECK (count == full_count);
    for (uint32_t i = 0; i < count; i++) {
        FUZZ_CHECK (sections[i].base == full[i].base && sections[i].count == full[i].count &&
                    sections[i].payload.size == full[i].payload.size);
        /*  Parts of a mixed section are a copy.  */
        FUZZ_CHECK (full[i].payload.blob
                        ? memcmp (sections[i].payload.data, full[i].payload.data,
                                  full[i].payload.size) == 0
                        : sections[i].payload.data == full[i].payload.data);
    }
    bn_section_array_free (sections, count);
}

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t size)
{
    if (size < 1)
        return 0;
    uint32_t type = bytes[0];
    bn_record_t record;
    char what[256] = "";
    if (bn_record_decode (&record, type, 9, bytes + 1, size - 1, what)) {
        FUZZ_CHECK (what[0]);
        bn_section_t *sections;
        uint32_t count;
        (void)bn_record_sections (type, 9, bytes + 1, size - 1, &sections, &count);
        bn_section_array_free (sections, count);
        return 0;
    }
    check_sections (&record, bytes + 1, size - 1);
    bn_blob_t *first = bn_record_encode (&record);
    bn_record_fini (&record);
    FUZZ_CHECK (bn_record_decode (&record, type, 9, first->data, first->size, what) == BATON_OK);
    bn_blob_t *second = bn_record_encode (&record);
    FUZZ_CHECK (first->size == second->size);
    FUZZ_CHECK (memcmp (first->data, second->data, first->size) == 0);
    bn_record_fini (&record);
    bn_blob_unref (&first);
    bn_blob_unref (&second);
    return 0;
}
