/* SPDX-License-Identifier: MPL-2.0 */

/*  fuzz_state.c - checkpoints and records, as a damaged disk or another version may hold them. An
 *  input is a list of items: kind, two sizes, two texts. Kind 0 is an item of the checkpoint; the
 *  first of another kind ends it, and from there on each is the body of a record of that type.
 *  Oracles: what was restored and applied keeps the invariants, and saved, restored and saved
 *  again it is the same, byte for byte.  */
#include "core/state.h"
#include "fuzz.h"
#include <string.h>

typedef struct {
    const uint8_t *at;
    size_t left;
} input_t;

typedef struct {
    bn_buffer_t bytes;
    bn_state_t *copy; /* NULL: just keep the bytes */
} saving_t;

static uint32_t take (input_t *self)
{
    if (self->left == 0)
        return 0;
    self->left--;
    return *self->at++;
}

static const uint8_t *take_bytes (input_t *self, size_t size)
{
    const uint8_t *bytes = self->at;
    self->at += size;
    self->left -= size;
    return bytes;
}

static bool put (const void *key, size_t key_size, const void *value, size_t value_size, void *arg)
{
    saving_t *self = arg;
    bn_buffer_append (&self->bytes, key, key_size);
    bn_buffer_append (&self->bytes, value, value_size);
    if (self->copy)
        FUZZ_CHECK (!bn_state_restore (self->copy, key, key_size, value, value_size));
    return true;
}

static void check_saved (const bn_state_t *state)
{
    char what[256];
    saving_t first = {.copy = bn_state_new (16)}, second = {.copy = NULL};
    FUZZ_CHECK (bn_state_check (state, what));
    bn_buffer_init (&first.bytes, 1 << 24);
    bn_buffer_init (&second.bytes, 1 << 24);
    FUZZ_CHECK (bn_state_save (state, put, &first));
    FUZZ_CHECK (!bn_state_restored (first.copy));
    FUZZ_CHECK (bn_state_save (first.copy, put, &second));
    FUZZ_CHECK (!first.bytes.failed && first.bytes.size == second.bytes.size);
    FUZZ_CHECK (memcmp (first.bytes.blob->data, second.bytes.blob->data, first.bytes.size) == 0);
    bn_state_destroy (&first.copy);
    bn_buffer_fini (&first.bytes);
    bn_buffer_fini (&second.bytes);
}

static uint32_t events_of (const bn_section_t *sections, uint32_t count)
{
    uint32_t events = 0;
    for (uint32_t i = 0; i < count; i++)
        events += sections[i].count;
    return events;
}

/*  As recovery does: what the record says of itself comes from its frame in the journal.  */
static baton_err_t apply (bn_state_t *state, uint32_t type, const uint8_t *body, size_t size)
{
    bn_record_t record;
    char detail[256] = "";
    if (bn_record_decode (&record, type, state->tail, body, size, detail))
        return BATON_ERR_ROT;
    uint32_t count = 0;
    if (type == BN_RECORD_PUBLISH)
        count = events_of (record.publish.sections, record.publish.section_count);
    else if (type == BN_RECORD_SETTLE)
        count = events_of (record.settle.sections, record.settle.section_count);
    baton_err_t err =
        bn_state_apply (state, &record, state->sequence + 1, state->tail, count, 1000, detail);
    FUZZ_CHECK (!err || *detail);
    bn_record_fini (&record);
    return err;
}

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t size)
{
    input_t input = {bytes, size};
    bn_state_t *state = bn_state_new (16);
    bool restoring = true;
    baton_err_t err = BATON_OK;
    FUZZ_CHECK (state);
    while (!err && input.left > 0) {
        uint32_t kind = take (&input);
        size_t key_size = take (&input);
        size_t value_size = take (&input);
        value_size = value_size << 8 | take (&input);
        if (key_size + value_size > input.left)
            break;
        const uint8_t *key = take_bytes (&input, key_size);
        const uint8_t *value = take_bytes (&input, value_size);
        if (kind == 0 && restoring)
            err = bn_state_restore (state, key, key_size, value, value_size);
        else {
            if (restoring)
                err = bn_state_restored (state);
            restoring = false;
            if (!err)
                err = apply (state, kind, value, value_size);
        }
    }
    if (!err && restoring)
        err = bn_state_restored (state);
    FUZZ_CHECK (err != BATON_ERR_MEMORY);
    if (!err)
        check_saved (state);
    bn_state_destroy (&state);
    return 0;
}
