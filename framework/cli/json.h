/* SPDX-License-Identifier: MPL-2.0 */

/*  json.h - MessagePack to JSON and back, and an event as a line of JSON.
 *
 *  JSON exists only here, at the edge: jansson reads it, an own writer prints it straight from the
 *  packed bytes, without building a tree.
 *
 *    MessagePack                     JSON
 *    nil, bool, str, array           null, true/false, string, array
 *    integer up to 2^63 - 1          number, every digit of it
 *    integer above                   string of its digits (most readers would round a number)
 *    float                           number, the shortest that reads back the same; with a fraction
 *                                    or an exponent, so that it stays a float;
 *                                    "NaN", "Infinity", "-Infinity" as strings: JSON has no such
 *    bin                             string, base64 (RFC 4648 section 4)
 *    map                             object; a key that is not a str: its JSON as text; that is
 *                                    an array or a map: base64 of its MessagePack
 *    ext                             {"ext_type": N, "data_base64": "..."}
 *
 *  From JSON: strings, numbers without fraction and exponent (must fit 64 bits, signed), other
 *  numbers as float 64, and so on. Nested at most BATON_DATA_DEPTH_MAX; keys that occur twice in an
 *  object and U+0000 are refused.  */
#ifndef BN_JSON_H
#define BN_JSON_H

#include "wire/batch.h"
#include <jansson.h>

/*  Parses one JSON text. NULL: `what` says why and at which column.  */
json_t *bn_json_parse (const char *text, size_t size, char what[256]);
/*  Packs a value. Errors: TOO_DEEP, TOO_LARGE (the buffer's bound), MEMORY.  */
baton_err_t bn_json_pack (const json_t *value, bn_buffer_t *packed);
/*  A value as the text of a key: a string as it is, an integer as its digits; NULL for any other.
 *  `digits` gives room for the latter.  */
const char *bn_json_key_text (const json_t *value, char digits[32]);
/*  Looks "a.b.c" up: field c in object b in object a. NULL: there is none.  */
const json_t *bn_json_path (const json_t *value, const char *path);

/*  Appends as JSON; what does not fit sets text->failed.  */
void bn_json_put_text (bn_buffer_t *text, const char *bytes, size_t size); /* quoted, escaped */
void bn_json_put_cstr (bn_buffer_t *text, const char *value);
void bn_json_put_base64 (bn_buffer_t *text, const void *bytes, size_t size); /* quoted */
void bn_json_put_real (bn_buffer_t *text, double value);
void bn_json_put_raw (bn_buffer_t *text, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));
/*  One MessagePack value; false (and nothing useful in text) if it is not well-formed.  */
bool bn_json_put_value (bn_buffer_t *text, const void *bytes, size_t size);
/*  The same as a tree, for replies that are looked into. NULL: malformed or no memory.  */
json_t *bn_json_from_value (const void *bytes, size_t size);

/*  RFC 3339 in UTC with microseconds, "2026-01-31T12:00:00.000000Z".  */
void bn_json_time (int64_t time_us, char text[40]);

/*  An event in the CloudEvents 1.0 JSON format, on one line, with "offset" and "partition" added.
 *  MessagePack data is printed as JSON, so its datacontenttype is application/json here; JSON data
 *  as it is, text as a string, anything else as data_base64.  */
void bn_json_put_event (bn_buffer_t *text, bn_text_t topic, uint32_t partition, uint64_t offset,
                        const bn_event_fields_t *event);

#endif
