/* SPDX-License-Identifier: MPL-2.0 */

/*  layout.h - structs as positional MessagePack arrays, described by tables.
 *
 *  DESIGN. Every message and every record body is an array of fields in a fixed order. A table says
 *  for each field what it is, where it is in the struct and what is allowed; one reader, one writer
 *  and one release walk the tables. So the two directions cannot drift apart, no field can be read
 *  without its check, and a new message is a table. Rejected: a pair of functions for each of forty
 *  structs (the checks get forgotten in the thirtieth), generated code (a tool that must be built
 *  before the build).
 *
 *  Private to wire/.  */
#ifndef BN_LAYOUT_H
#define BN_LAYOUT_H

#include "wire/message.h"

typedef enum {
    BN_FIELD_U32,    /* uint32_t, or an enum */
    BN_FIELD_U64,    /* uint64_t */
    BN_FIELD_SIZE,   /* size_t */
    BN_FIELD_BOOL,   /* bool */
    BN_FIELD_TEXT,   /* bn_text_t, borrowed */
    BN_FIELD_MAP,    /* bn_slice_t without a blob: any map, as bytes, borrowed */
    BN_FIELD_STRUCT, /* a struct inside, as an array inside */
    BN_FIELD_LIST,   /* pointer and count: structs, owned */
    BN_FIELD_TEXTS,  /* pointer and count: bn_text_t, owned array of borrowed texts */
    BN_FIELD_U64S    /* pointer and count: uint64_t, owned */
} bn_field_kind_t;

typedef enum {
    BN_CHECK_NONE,
    BN_CHECK_TOPIC,
    BN_CHECK_TOPIC_OR_NONE, /* of a section: none if it is mixed */
    BN_CHECK_PATTERN,
    BN_CHECK_ACTOR,
    BN_CHECK_INSTANCE,
    BN_CHECK_PARTITION /* out of range is PARTITION, not MALFORMED */
} bn_check_t;

typedef struct bn_layout bn_layout_t;

typedef struct {
    const char *name; /* for errors */
    bn_field_kind_t kind;
    bn_check_t check;
    size_t at;             /* byte in the struct */
    size_t count_at;       /* lists: byte of the uint32_t count */
    size_t set_at;         /* LIST: byte of the bool that is false for nil; 0: never nil */
    uint64_t min;          /* of a number, of a count */
    uint64_t max;          /* of a number, of a count; bytes of a text */
    const bn_layout_t *of; /* STRUCT, LIST */
} bn_field_t;

/*  The last field may be one that came later: a text or a u64, which is left out of the array when
 *  it is empty or 0, so that what was written before it came is read, and looks as it did.  */
struct bn_layout {
    const char *name;
    size_t size; /* of the struct */
    uint32_t field_count;
    bool last_optional; /* of a struct inside */
    const bn_field_t *fields;
};

#define BN_LAYOUT_PARTS(type, text, ...)                                                           \
    .name = text, .size = sizeof (type), .fields = (const bn_field_t[]){__VA_ARGS__},              \
    .field_count = sizeof ((const bn_field_t[]){__VA_ARGS__}) / sizeof (bn_field_t)
#define BN_LAYOUT(type, text, ...)                                                                 \
    {                                                                                              \
        BN_LAYOUT_PARTS (type, text, __VA_ARGS__)                                                  \
    }
#define BN_LAYOUT_LAST_OPTIONAL(type, text, ...)                                                   \
    {                                                                                              \
        BN_LAYOUT_PARTS (type, text, __VA_ARGS__), .last_optional = true                           \
    }

/*  Fields, by the member that they are.  */
#define BN_AT(type, member) .name = #member, .at = offsetof (type, member)
#define BN_U32(type, member, low, high)                                                            \
    {                                                                                              \
        BN_AT (type, member), .kind = BN_FIELD_U32, .min = (low), .max = (high)                    \
    }
#define BN_PARTITION(type, member)                                                                 \
    {                                                                                              \
        BN_AT (type, member), .kind = BN_FIELD_U32, .max = BN_PARTITIONS_MAX - 1,                  \
                              .check = BN_CHECK_PARTITION                                          \
    }
#define BN_U64(type, member)                                                                       \
    {                                                                                              \
        BN_AT (type, member), .kind = BN_FIELD_U64, .max = UINT64_MAX                              \
    }
#define BN_BOOL(type, member)                                                                      \
    {                                                                                              \
        BN_AT (type, member), .kind = BN_FIELD_BOOL                                                \
    }
#define BN_TEXT(type, member, bytes_max, how)                                                      \
    {                                                                                              \
        BN_AT (type, member), .kind = BN_FIELD_TEXT, .max = (bytes_max), .check = (how)            \
    }
#define BN_STRUCT(type, member, layout)                                                            \
    {                                                                                              \
        BN_AT (type, member), .kind = BN_FIELD_STRUCT, .of = &(layout)                             \
    }
#define BN_LIST(type, member, count, low, high, layout)                                            \
    {                                                                                              \
        BN_AT (type, member), .kind = BN_FIELD_LIST, .count_at = offsetof (type, count),           \
                              .min = (low), .max = (high), .of = &(layout)                         \
    }
#define BN_U64S(type, member, count, high)                                                         \
    {                                                                                              \
        BN_AT (type, member), .kind = BN_FIELD_U64S, .count_at = offsetof (type, count),           \
                              .max = (high)                                                        \
    }
#define BN_PATTERNS(type, low)                                                                     \
    {                                                                                              \
        BN_AT (type, patterns), .kind = BN_FIELD_TEXTS,                                            \
                                .count_at = offsetof (type, pattern_count), .min = (low),          \
                                .max = BN_PATTERNS_MAX, .check = BN_CHECK_PATTERN                  \
    }

/*  Shared by messages and records.  */
extern const bn_layout_t bn_layout_policy;
extern const bn_layout_t bn_layout_settlement;
extern const bn_layout_t bn_layout_section;        /* topic, partition, count */
extern const bn_layout_t bn_layout_events_section; /* topic, partition, count, base */
extern const bn_layout_t bn_layout_record_section; /* topic, partition, count, payload.size */

/*  Reads the fields into the zeroed struct at `base`, without an array around them. After an error
 *  (mp->err; mp->err_what is the field's name) bn_layout_fini is still due.  */
void bn_layout_read (const bn_layout_t *self, bn_mp_t *mp, void *base);
/*  Reads one list with its count.  */
void bn_layout_read_list (const bn_field_t *field, bn_mp_t *mp, void *base);
/*  Writes the fields, without an array around them. The packer is one on a bn_buffer_t.  */
void bn_layout_write (const bn_layout_t *self, msgpack_packer *packer, const void *base);
void bn_layout_fini (const bn_layout_t *self, void *base);

/*  "SUBJECT: FIELD: what is wrong (byte N)" into what (256 bytes, may be NULL); returns mp->err. */
baton_err_t bn_layout_error (const bn_mp_t *mp, const char *subject, char what[256]);

#endif
