/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/histogram.h"
#include "cli/json.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

#define SUB_BITS 5 /* 32 buckets for each power of two */

/*  Below 32 each value has a bucket of its own.  */
static uint32_t s_index (uint64_t value)
{
    if (value < 1u << SUB_BITS)
        return (uint32_t)value;
    uint32_t exponent = 63 - (uint32_t)__builtin_clzll (value);
    uint32_t sub = (uint32_t)(value >> (exponent - SUB_BITS)) & ((1u << SUB_BITS) - 1);
    return ((exponent - SUB_BITS + 1) << SUB_BITS) + sub;
}

/*  The largest value that falls into a bucket.  */
static uint64_t s_upper (uint32_t index)
{
    if (index < 1u << SUB_BITS)
        return index;
    uint32_t shift = (index >> SUB_BITS) - 1;
    uint64_t lower = ((uint64_t)(index & ((1u << SUB_BITS) - 1)) + (1u << SUB_BITS)) << shift;
    return lower + (((uint64_t)1 << shift) - 1);
}

void bn_histogram_init (bn_histogram_t *self)
{
    memset (self, 0, sizeof (*self));
    self->min = UINT64_MAX;
}

void bn_histogram_add (bn_histogram_t *self, uint64_t value)
{
    self->buckets[s_index (value)]++;
    self->count++;
    self->min = value < self->min ? value : self->min;
    self->max = value > self->max ? value : self->max;
    self->sum += (double)value;
}

void bn_histogram_merge (bn_histogram_t *self, const bn_histogram_t *other)
{
    for (uint32_t i = 0; i < BN_HISTOGRAM_BUCKETS; i++)
        self->buckets[i] += other->buckets[i];
    self->count += other->count;
    self->min = other->min < self->min ? other->min : self->min;
    self->max = other->max > self->max ? other->max : self->max;
    self->sum += other->sum;
}

uint64_t bn_histogram_at (const bn_histogram_t *self, double share)
{
    uint64_t wanted = (uint64_t)ceil (share * (double)self->count), seen = 0;
    if (!self->count)
        return 0;
    for (uint32_t i = 0; i < BN_HISTOGRAM_BUCKETS; i++) {
        seen += self->buckets[i];
        if (seen >= wanted && seen > 0)
            return s_upper (i) < self->max ? s_upper (i) : self->max;
    }
    return self->max;
}

void bn_histogram_put (const bn_histogram_t *self, bn_buffer_t *text)
{
    bool first = true;
    bn_json_put_raw (text, "{\"min\":%" PRIu64 ",\"max\":%" PRIu64 ",\"sum\":",
                     self->count ? self->min : 0, self->max);
    bn_json_put_real (text, self->sum);
    bn_json_put_raw (text, ",\"buckets\":[");
    for (uint32_t i = 0; i < BN_HISTOGRAM_BUCKETS; i++)
        if (self->buckets[i]) {
            bn_json_put_raw (text, "%s[%" PRIu32 ",%" PRIu64 "]", first ? "" : ",", i,
                             self->buckets[i]);
            first = false;
        }
    bn_json_put_raw (text, "]}");
}

bool bn_histogram_take (bn_histogram_t *self, const json_t *value)
{
    json_t *buckets = json_object_get (value, "buckets"), *pair;
    json_t *min = json_object_get (value, "min"), *max = json_object_get (value, "max");
    size_t i;
    bn_histogram_t other;
    bn_histogram_init (&other);
    if (!json_is_array (buckets) || !json_is_integer (min) || !json_is_integer (max))
        return false;
    json_array_foreach (buckets, i, pair)
    {
        json_int_t index = json_integer_value (json_array_get (pair, 0));
        json_int_t count = json_integer_value (json_array_get (pair, 1));
        if (index < 0 || index >= BN_HISTOGRAM_BUCKETS || count < 0)
            return false;
        other.buckets[index] += (uint64_t)count;
        other.count += (uint64_t)count;
    }
    if (other.count) {
        other.min = (uint64_t)json_integer_value (min);
        other.max = (uint64_t)json_integer_value (max);
        other.sum = json_number_value (json_object_get (value, "sum"));
        bn_histogram_merge (self, &other);
    }
    return true;
}
