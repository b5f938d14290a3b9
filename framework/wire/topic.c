/* SPDX-License-Identifier: MPL-2.0 */
#include "wire/topic.h"
#include <baton/event.h>
#include <limits.h>
#include <string.h>

#define W(c) [c] = true

static const bool words[UCHAR_MAX + 1] = {
    W ('a'), W ('b'), W ('c'), W ('d'), W ('e'), W ('f'), W ('g'), W ('h'), W ('i'), W ('j'),
    W ('k'), W ('l'), W ('m'), W ('n'), W ('o'), W ('p'), W ('q'), W ('r'), W ('s'), W ('t'),
    W ('u'), W ('v'), W ('w'), W ('x'), W ('y'), W ('z'), W ('A'), W ('B'), W ('C'), W ('D'),
    W ('E'), W ('F'), W ('G'), W ('H'), W ('I'), W ('J'), W ('K'), W ('L'), W ('M'), W ('N'),
    W ('O'), W ('P'), W ('Q'), W ('R'), W ('S'), W ('T'), W ('U'), W ('V'), W ('W'), W ('X'),
    W ('Y'), W ('Z'), W ('0'), W ('1'), W ('2'), W ('3'), W ('4'), W ('5'), W ('6'), W ('7'),
    W ('8'), W ('9'), W ('-'), W ('_')};

static bool is_word (char c)
{
    return words[(unsigned char)c];
}

/*  Bytes of the segment at the start of the text; the text may be empty.  */
static size_t segment (const char *text, size_t size)
{
    const char *dot = memchr (text, '.', size);
    return dot ? (size_t)(dot - text) : size;
}

static bool is_wildcard (const char *text, size_t size, char wildcard)
{
    return size == 1 && text[0] == wildcard;
}

bool bn_pattern_valid (const char *text, size_t size)
{
    if (size == 0 || size > BATON_TOPIC_BYTES_MAX)
        return false;
    size_t at = 0;
    for (;;) {
        size_t length = segment (text + at, size - at);
        bool last = at + length == size;
        bool wild =
            is_wildcard (text + at, length, '*') || (last && is_wildcard (text + at, length, '>'));
        if (!wild) {
            size_t i = at == 0 && text[0] == '$' ? 1 : 0;
            if (i == length)
                return false;
            for (; i < length; i++)
                if (!is_word (text[at + i]))
                    return false;
        }
        if (last)
            return true;
        at += length + 1;
    }
}

/*  On the path of each section, several times: in one pass, without looking for the dots first.  */
bool bn_topic_valid (const char *topic, size_t size)
{
    if (size == 0 || size > BATON_TOPIC_BYTES_MAX)
        return false;
    const char *at = topic[0] == '$' ? topic + 1 : topic;
    const char *end = topic + size;
    for (;;) {
        const char *start = at;
        while (at < end && is_word (*at))
            at++;
        if (at == start)
            return false;
        if (at == end)
            return true;
        if (*at++ != '.')
            return false;
    }
}

bool bn_topic_reserved (const char *topic, size_t size)
{
    return size > 0 && topic[0] == '$';
}

/*  Both walk in step: a segment of the outer text takes one of the inner.  */
bool bn_pattern_covers (const char *outer, size_t outer_size, const char *inner, size_t inner_size)
{
    if (inner_size > 0 && inner[0] == '$' && outer_size > 0 && outer[0] != '$')
        return false;
    for (;;) {
        size_t outer_length = segment (outer, outer_size);
        size_t inner_length = segment (inner, inner_size);
        if (is_wildcard (outer, outer_length, '>'))
            return inner_length > 0;
        if (is_wildcard (inner, inner_length, '>') || inner_length == 0)
            return false;
        if (!is_wildcard (outer, outer_length, '*') &&
            (outer_length != inner_length || memcmp (outer, inner, outer_length)))
            return false;
        bool outer_last = outer_length == outer_size;
        bool inner_last = inner_length == inner_size;
        if (outer_last || inner_last)
            return outer_last && inner_last;
        outer += outer_length + 1;
        outer_size -= outer_length + 1;
        inner += inner_length + 1;
        inner_size -= inner_length + 1;
    }
}

/*  On the path of each event where topics are many: a character after the other, because a wildcard
 *  is a whole segment, and nothing else in a pattern looks like one. A topic is a pattern that only
 *  matches itself, so this is covering, and the tests compare the two.  */
bool bn_pattern_matches (const char *pattern, size_t pattern_size, const char *topic,
                         size_t topic_size)
{
    const char *end = pattern + pattern_size, *topic_end = topic + topic_size;
    if (topic_size > 0 && topic[0] == '$' && pattern_size > 0 && pattern[0] != '$')
        return false;
    while (pattern < end) {
        if (topic == topic_end || *pattern == '>')
            return topic != topic_end;
        if (*pattern == '*' && *topic != '.') {
            while (topic < topic_end && *topic != '.')
                topic++;
            pattern++;
        } else if (*pattern++ != *topic++)
            return false;
    }
    return topic == topic_end;
}

size_t bn_pattern_prefix (const char *pattern, size_t size)
{
    size_t at = 0;
    while (at < size) {
        size_t length = segment (pattern + at, size - at);
        if (is_wildcard (pattern + at, length, '*') || is_wildcard (pattern + at, length, '>'))
            return at;
        at += length + 1;
    }
    return size;
}

static bool name_valid (const char *name, size_t size, bool dots)
{
    if (size == 0 || size > BATON_NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i < size; i++)
        if (!is_word (name[i]) && !(dots && name[i] == '.'))
            return false;
    return true;
}

bool bn_actor_name_valid (const char *name, size_t size)
{
    return name_valid (name, size, false);
}

bool bn_instance_name_valid (const char *name, size_t size)
{
    return name_valid (name, size, true);
}
