/* SPDX-License-Identifier: MPL-2.0 */

/*  record.h - the bodies of journal records, as structs and as bytes.
 *
 *    body = u32 little-endian length of meta, meta (one MessagePack array, positional), payloads
 *
 *  Payload k belongs to section k; its length is in the section's entry in meta. The journal itself
 *  knows only (type, count of events, body); what the bodies mean is here, what they do is in
 *  core/state.c. docs/journal-format.md describes the bytes.  */
#ifndef BN_RECORD_H
#define BN_RECORD_H

#include "wire/message.h"

typedef enum {
    BN_RECORD_GENESIS = 1,  /* the first record of a journal */
    BN_RECORD_REGISTER = 2, /* an actor, first time or with other patterns or policy */
    BN_RECORD_PUBLISH = 3,
    BN_RECORD_SETTLE = 4,
    BN_RECORD_ASSIGN = 5,
    BN_RECORD_BEGIN = 6,
    BN_RECORD_SUSPECT = 7,  /* an instance died: careful, and who is charged */
    BN_RECORD_REDRIVE = 8,
    BN_RECORD_DISCARD = 9,
    BN_RECORD_FORGET = 10,
    BN_RECORD_LOST = 11 /* takes the place of one that salvage could not read; its count is that of
                           the events that were lost with it */
} bn_record_type_t;

typedef struct {
    uint64_t journal_id;
    uint32_t partitions;
} bn_genesis_t;

typedef struct {
    uint32_t actor_id;
    bn_text_t name;
    bn_text_t *patterns;
    uint32_t pattern_count;
    uint64_t start;          /* first registration: offset to start from, resolved */
    bool exact;              /* the count of events from start on is known: the lag is exact */
    bn_policy_t policy;
} bn_register_record_t;

typedef struct {
    uint32_t actor_id;
    bn_settlement_t *settlements; /* parks: due_ms is wall clock here */
    uint32_t settlement_count;
    bn_section_t *sections;
    uint32_t section_count;
} bn_settle_record_t;

typedef struct {
    uint32_t partition;
    uint64_t generation;
    bn_text_t instance;      /* "": nobody */
    uint64_t incarnation;
} bn_owner_t;

typedef struct {
    uint32_t actor_id;
    bn_owner_t *owners;      /* owned */
    uint32_t owner_count;
} bn_assign_record_t;

typedef struct {
    uint32_t actor_id;
    uint32_t partition;
    uint64_t generation;
    uint64_t offset;
} bn_begin_record_t;

typedef struct {
    uint32_t partition;
    uint64_t careful_until;  /* 0: nothing was prefetched */
    uint64_t charged;        /* offset charged one attempt, BN_NO_OFFSET: nobody */
    uint64_t due_ms;         /* wall clock: when a charged parked event is due */
    bn_text_t reason;        /* of the attempt that is charged; "": none is known */
} bn_suspicion_t;

typedef struct {
    uint32_t actor_id;
    bn_suspicion_t *suspicions; /* owned */
    uint32_t suspicion_count;
} bn_suspect_record_t;

typedef struct {
    uint32_t actor_id;
    uint64_t *dead_offsets;  /* owned; ascending */
    uint32_t dead_count;
} bn_dead_record_t;          /* REDRIVE, DISCARD */

typedef struct {
    uint64_t first;          /* sequences of the hole that it is a part of */
    uint64_t last;
} bn_lost_record_t;

typedef struct {
    bn_record_type_t type;
    union {
        bn_genesis_t genesis;
        bn_register_record_t registration;
        bn_publish_t publish;    /* base of each section set from the record's base */
        bn_settle_record_t settle;
        bn_assign_record_t assign;
        bn_begin_record_t begin;
        bn_suspect_record_t suspect;
        bn_dead_record_t dead;
        uint32_t forget;         /* actor_id */
        bn_lost_record_t lost;
    };
} bn_record_t;

/*  NULL: no memory. payload slices of sections are copied into the body.  */
bn_blob_t *bn_record_encode (const bn_record_t *record);

/*  Decodes a body that the journal has vouched for by its checksum; still checked in full,
 *  because a newer writer or a defect may have written it: FORMAT for an unknown type, ROT for a
 *  body that does not parse. Sections' base are filled in from `base`. Texts and payloads are
 *  borrowed from body (payload.blob is NULL).  */
baton_err_t bn_record_decode (bn_record_t *record, uint32_t type, uint64_t base, const void *body,
                              size_t size, char what[256]);
void bn_record_fini (bn_record_t *record);

/*  Only the sections of a PUBLISH or SETTLE body (other types: none), for readers: no settlement is
 *  decoded. *sections is owned by the caller (bn_section_array_free).  */
baton_err_t bn_record_sections (uint32_t type, uint64_t base, const void *body, size_t size,
                                bn_section_t **sections, uint32_t *count);

#endif
