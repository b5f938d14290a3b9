/* SPDX-License-Identifier: MPL-2.0 */

/*  event.h - one immutable fact, and safe access to its data.
 *
 *  An event is a CloudEvents 1.0 event: id, source, type (= topic), subject (= key), time,
 *  datacontenttype, dataschema, extensions, data. Data is MessagePack unless datacontenttype says
 *  otherwise. Everything that an accessor returns is borrowed from the event and lives as long as
 *  the event does; an event handed to a handler lives until the handler returns.
 *
 *  Thread rule: an event, a value and a data builder may be used by one thread at a time.
 */
#ifndef BATON_EVENT_H
#define BATON_EVENT_H

#include <baton/error.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*  Hard limits, in bytes unless the name says otherwise; an orchestrator may be configured to
 *  smaller ones, never to larger ones.  */
#define BATON_TOPIC_BYTES_MAX 200
#define BATON_KEY_BYTES_MAX 255
#define BATON_NAME_BYTES_MAX 64 /* actor and instance names */
#define BATON_ID_BYTES_MAX 128
#define BATON_ATTRIBUTE_BYTES_MAX 1024 /* source, dataschema, one extension value */
#define BATON_EXTENSIONS_COUNT_MAX 32
#define BATON_DEAD_EXTENSIONS_COUNT 7 /* "deadreason" and the like: a dead letter has them, too */
#define BATON_DATA_BYTES_MAX (1024 * 1024)
#define BATON_DATA_DEPTH_MAX 32 /* nested arrays and maps */

/*  An extension attribute: lower-case letters and digits, 1 to 20 characters; value is text.  */
typedef struct {
    const char *name;
    const char *value;
} baton_extension_t;

/*  Attributes of an event to be published or emitted; zero means default.  */
typedef struct {
    const char *id;              /* default: unique, made by the library */
    const char *source;          /* default: the producer's source, or "/actors/NAME" */
    int64_t time_us;             /* microseconds since 1970 UTC; default: now */
    const char *datacontenttype; /* default: "application/msgpack" */
    const char *dataschema;      /* default: none */
    const baton_extension_t *extensions;
    size_t extension_count; /* 0..BATON_EXTENSIONS_COUNT_MAX, not counting those of a dead letter */
} baton_attributes_t;

typedef struct baton_event baton_event_t;

BATON_API const char *baton_event_topic (const baton_event_t *self);
BATON_API const char *baton_event_key (const baton_event_t *self); /* "" if it has none */
BATON_API const char *baton_event_id (const baton_event_t *self);
BATON_API const char *baton_event_source (const baton_event_t *self);
BATON_API int64_t baton_event_time_us (const baton_event_t *self);
BATON_API const char *baton_event_datacontenttype (const baton_event_t *self);
BATON_API const char *baton_event_dataschema (const baton_event_t *self); /* "" if none */
/*  The value of an extension attribute, or NULL.  */
BATON_API const char *baton_event_extension (const baton_event_t *self, const char *name);
BATON_API size_t baton_event_extension_count (const baton_event_t *self);
/*  The i-th extension; false past the end.  */
BATON_API bool baton_event_extension_at (const baton_event_t *self, size_t index,
                                         baton_extension_t *extension);
/*  The data as bytes; never NULL.  */
BATON_API const void *baton_event_data (const baton_event_t *self, size_t *size);
/*  Position in the journal, and partition.  */
BATON_API uint64_t baton_event_offset (const baton_event_t *self);
BATON_API uint32_t baton_event_partition (const baton_event_t *self);
/*  1 the first time a handler sees it, 2 after one RETRY or one charged crash, and so on.  */
BATON_API uint32_t baton_event_attempt (const baton_event_t *self);

/*  ---- reading MessagePack safely ----------------------------------------------------------
 *  A value is a window on bytes that were checked when they were published: reading one never
 *  allocates and never reads past its end. A getter on a value of another type returns false and
 *  leaves the result as it was, so that a default can be put there first.  */
typedef struct {
    const unsigned char *bytes; /* borrowed from the event; NULL: no value */
    size_t size;                /* bytes of this value, exactly */
} baton_value_t;

/*  The data as a value. No value if the content type is not MessagePack.  */
BATON_API baton_value_t baton_event_value (const baton_event_t *self);
/*  Wraps bytes of one's own; no value unless they are exactly one well-formed MessagePack value
 *  within BATON_DATA_DEPTH_MAX.  */
BATON_API baton_value_t baton_value_wrap (const void *bytes, size_t size);

typedef enum {
    BATON_VALUE_NONE,
    BATON_VALUE_NIL,
    BATON_VALUE_BOOL,
    BATON_VALUE_INT,  /* any integer */
    BATON_VALUE_REAL, /* float or double */
    BATON_VALUE_STR,
    BATON_VALUE_BIN,
    BATON_VALUE_ARRAY,
    BATON_VALUE_MAP,
    BATON_VALUE_EXT
} baton_value_type_t;

BATON_API baton_value_type_t baton_value_type (baton_value_t self);
BATON_API bool baton_value_bool (baton_value_t self, bool *result);
BATON_API bool baton_value_int (baton_value_t self, int64_t *result);   /* false: does not fit */
BATON_API bool baton_value_uint (baton_value_t self, uint64_t *result); /* false if negative */
BATON_API bool baton_value_real (baton_value_t self, double *result);   /* also from integers */
/*  Not NUL-terminated; false also for text that is not UTF-8 or has U+0000 in it.  */
BATON_API bool baton_value_str (baton_value_t self, const char **text, size_t *size);
BATON_API bool baton_value_bin (baton_value_t self, const void **bytes, size_t *size);
/*  Elements of an array, entries of a map; 0 for anything else.  */
BATON_API size_t baton_value_count (baton_value_t self);
/*  The i-th element of an array; linear.  */
BATON_API bool baton_value_at (baton_value_t self, size_t index, baton_value_t *result);
/*  The value under a text key of a map; linear.  */
BATON_API bool baton_value_get (baton_value_t self, const char *name, baton_value_t *result);
/*  The i-th entry of a map; linear.  */
BATON_API bool baton_value_entry (baton_value_t self, size_t index, baton_value_t *key,
                                  baton_value_t *result);

/*  Shorthands on a top-level field of an event's data. The text is NUL-terminated, owned by the
 *  event. NULL or false if the field is missing or of another type.  */
BATON_API const char *baton_event_str (const baton_event_t *self, const char *field);
BATON_API bool baton_event_int (const baton_event_t *self, const char *field, int64_t *result);
BATON_API bool baton_event_real (const baton_event_t *self, const char *field, double *result);
BATON_API bool baton_event_field (const baton_event_t *self, const char *field,
                                  baton_value_t *result);

/*  ---- writing MessagePack -----------------------------------------------------------------
 *  A builder for a map (the usual shape of data), with nested maps and arrays. Errors stick: after
 *  the first one every call does nothing, and baton_data_bytes returns NULL; a builder that is NULL
 *  is one that failed with MEMORY. `name` is ignored inside an array and may be NULL there. Text is
 *  UTF-8 without U+0000 (else ARGUMENT).  */
typedef struct baton_data baton_data_t;

BATON_API baton_data_t *baton_data_new (void); /* NULL: out of memory */
BATON_API void baton_data_destroy (baton_data_t **self_p);
BATON_API void baton_data_clear (baton_data_t *self); /* start again, keep the memory */
BATON_API void baton_data_put_nil (baton_data_t *self, const char *name);
BATON_API void baton_data_put_bool (baton_data_t *self, const char *name, bool value);
BATON_API void baton_data_put_int (baton_data_t *self, const char *name, int64_t value);
BATON_API void baton_data_put_uint (baton_data_t *self, const char *name, uint64_t value);
BATON_API void baton_data_put_real (baton_data_t *self, const char *name, double value);
BATON_API void baton_data_put_str (baton_data_t *self, const char *name, const char *text);
BATON_API void baton_data_put_strn (baton_data_t *self, const char *name, const char *text,
                                    size_t size);
BATON_API void baton_data_put_bin (baton_data_t *self, const char *name, const void *bytes,
                                   size_t size);
BATON_API void baton_data_put_value (baton_data_t *self, const char *name, baton_value_t value);
BATON_API void baton_data_begin_map (baton_data_t *self, const char *name);
BATON_API void baton_data_begin_array (baton_data_t *self, const char *name);
BATON_API void baton_data_end (baton_data_t *self); /* closes the innermost map or array */
/*  The finished bytes, owned by the builder until it is changed; NULL after an error
 *  (baton_data_error tells: MEMORY, TOO_LARGE, TOO_DEEP, ARGUMENT for a missing name or text, text
 *  that is not UTF-8, an unclosed nesting or one end too many).  */
BATON_API const void *baton_data_bytes (baton_data_t *self, size_t *size);
BATON_API baton_err_t baton_data_error (const baton_data_t *self);

#ifdef __cplusplus
}
#endif
#endif
