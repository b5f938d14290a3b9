/* SPDX-License-Identifier: MPL-2.0 */

/*  Records and checkpoints with each byte changed in turn. The checksums of the journal and of the
 *  checkpoint would have caught that; what gets past them, from another version or by a mistake of
 *  ours, is refused by name or makes a state that keeps its invariants.  */

#include "core_test.h"
#include "fuzz/story.h"

typedef struct {
    uint8_t kind; /* type of a record; 0: an item of a checkpoint */
    uint8_t key_size;
    uint16_t value_size;
    uint8_t *key; /* in the story */
    uint8_t *value;
} piece_t;

enum { PIECES_MAX = 64 };

typedef struct {
    piece_t pieces[PIECES_MAX];
    size_t count;
} pieces_t;

static const uint8_t masks[] = {0x01, 0x02, 0x04, 0x10, 0x40, 0x80, 0xff};

static void cut (pieces_t *self, bn_buffer_t *buffer)
{
    uint8_t *at = bn_buffer_data (buffer), *end = at + buffer->size;
    self->count = 0;
    while (at < end) {
        assert_true (self->count < PIECES_MAX);
        piece_t *piece = &self->pieces[self->count++];
        *piece = (piece_t){.kind = at[0],
                           .key_size = at[1],
                           .value_size = (uint16_t)(at[2] << 8 | at[3]),
                           .key = at + 4};
        piece->value = piece->key + piece->key_size;
        at = piece->value + piece->value_size;
    }
}

static uint32_t events_of (const bn_section_t *sections, uint32_t count)
{
    uint32_t events = 0;
    for (uint32_t i = 0; i < count; i++)
        events += sections[i].count;
    return events;
}

static baton_err_t apply (bn_state_t *state, const piece_t *piece)
{
    bn_record_t record;
    char what[256] = "";
    baton_err_t err =
        bn_record_decode (&record, piece->kind, state->tail, piece->value, piece->value_size, what);
    if (!err) {
        uint32_t count = 0;
        if (piece->kind == BN_RECORD_PUBLISH)
            count = events_of (record.publish.sections, record.publish.section_count);
        else if (piece->kind == BN_RECORD_SETTLE)
            count = events_of (record.settle.sections, record.settle.section_count);
        err = bn_state_apply (state, &record, state->sequence + 1, state->tail, count, 1000, what);
        bn_record_fini (&record);
    }
    assert_true (!err || *what != '\0');
    return err;
}

static void check (const bn_state_t *state, const char *where, size_t piece, size_t at,
                   uint8_t mask)
{
    char what[256];
    if (!bn_state_check (state, what))
        fail_msg ("%s %zu, byte %zu changed by 0x%02x: %s", where, piece, at, mask, what);
}

/*  All records up to the changed one, and what comes of the rest.  */
static bool replay_damaged (pieces_t *pieces, size_t changed, size_t at, uint8_t mask)
{
    bn_state_t *state = bn_state_new (4);
    baton_err_t err = BATON_OK;
    for (size_t i = 0; !err && i < pieces->count; i++) {
        err = apply (state, &pieces->pieces[i]);
        assert_true (i >= changed || !err);
    }
    if (!err)
        check (state, "record", changed, at, mask);
    bn_state_destroy (&state);
    return !err;
}

static void changed_records_are_refused_or_fit (void **unused)
{
    (void)unused;
    story_t story;
    pieces_t pieces;
    uint32_t refused = 0, types = 0;
    story_init (&story);
    cut (&pieces, &story.records);
    assert_true (replay_damaged (&pieces, 0, 0, 0));
    for (size_t i = 0; i < pieces.count; i++) {
        piece_t *piece = &pieces.pieces[i];
        types |= 1u << piece->kind;
        for (size_t at = 0; at < piece->value_size; at++)
            for (size_t mask = 0; mask < sizeof masks; mask++) {
                piece->value[at] ^= masks[mask];
                refused += !replay_damaged (&pieces, i, at, masks[mask]);
                piece->value[at] ^= masks[mask];
            }
    }
    assert_int_equal (types, 0x7fe); /* the story has records of each type */
    assert_true (refused > 1000);
    story_fini (&story);
}

static bool restore_damaged (const pieces_t *pieces, size_t changed, size_t at, uint8_t mask)
{
    bn_state_t *state = bn_state_new (4);
    baton_err_t err = BATON_OK;
    for (size_t i = 0; !err && i < pieces->count; i++) {
        const piece_t *piece = &pieces->pieces[i];
        err =
            bn_state_restore (state, piece->key, piece->key_size, piece->value, piece->value_size);
    }
    if (!err)
        err = bn_state_restored (state);
    assert_true (!err || err == BATON_ERR_ROT || err == BATON_ERR_FORMAT);
    if (!err)
        check (state, "item", changed, at, mask);
    bn_state_destroy (&state);
    return !err;
}

static void changed_checkpoints_are_refused_or_hold (void **unused)
{
    (void)unused;
    story_t story;
    pieces_t pieces;
    uint32_t refused = 0;
    story_init (&story);
    cut (&pieces, &story.checkpoint);
    assert_true (restore_damaged (&pieces, 0, 0, 0));
    for (size_t i = 0; i < pieces.count; i++) {
        piece_t *piece = &pieces.pieces[i];
        for (size_t at = 0; at < (size_t)piece->key_size + piece->value_size; at++)
            for (size_t mask = 0; mask < sizeof masks; mask++) {
                piece->key[at] ^= masks[mask]; /* the value follows */
                refused += !restore_damaged (&pieces, i, at, masks[mask]);
                piece->key[at] ^= masks[mask];
            }
    }
    assert_true (refused > 1000);
    /*  Twice the same item, and one left out.  */
    for (size_t i = 0; i < pieces.count; i++) {
        pieces_t other = pieces;
        other.pieces[other.count++] = pieces.pieces[i];
        (void)restore_damaged (&other, i, 0, 0);
        other = pieces;
        memmove (&other.pieces[i], &other.pieces[i + 1],
                 (other.count - i - 1) * sizeof other.pieces[0]);
        other.count--;
        (void)restore_damaged (&other, i, 0, 0);
    }
    story_fini (&story);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (changed_records_are_refused_or_fit),
        cmocka_unit_test (changed_checkpoints_are_refused_or_hold),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
