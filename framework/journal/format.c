/* SPDX-License-Identifier: MPL-2.0 */

#include "journal/format.h"
#include "base/crc32c.h"
#include "base/plant.h"
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_MAGIC   0x524a4e42u /* "BNJR" */
#define SEGMENT_MAGIC 0x534a4e42u /* "BNJS" */
#define MARK_MAGIC    0x4d4a4e42u /* "BNJM" */
#define VERSION       1

#define SEGMENT_HEADER_BYTES 64
#define SEGMENT_DIGITS       20
#define SEGMENT_SUFFIX       ".seg"

#define AHEAD_BYTES_MIN (16u << 10)
#define AHEAD_BYTES_MAX (256u << 10)

static void put16 (uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static void put32 (uint8_t *at, uint32_t value)
{
    put16 (at, (uint16_t)value);
    put16 (at + 2, (uint16_t)(value >> 16));
}

static void put64 (uint8_t *at, uint64_t value)
{
    put32 (at, (uint32_t)value);
    put32 (at + 4, (uint32_t)(value >> 32));
}

static uint16_t get16 (const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static uint32_t get32 (const uint8_t *at)
{
    return get16 (at) | (uint32_t)get16 (at + 2) << 16;
}

static uint64_t get64 (const uint8_t *at)
{
    return get32 (at) | (uint64_t)get32 (at + 4) << 32;
}

/*  ---- names and errors ---- */

void bn_segment_name (char name[BN_SEGMENT_NAME_MAX], uint64_t segment)
{
    snprintf (name, BN_SEGMENT_NAME_MAX, BN_JOURNAL_FOLDER "/%0*" PRIu64 SEGMENT_SUFFIX,
              SEGMENT_DIGITS, segment);
}

bool bn_segment_parse (const char *entry, uint64_t *segment)
{
    if (strspn (entry, "0123456789") != SEGMENT_DIGITS ||
        strcmp (entry + SEGMENT_DIGITS, SEGMENT_SUFFIX) != 0)
        return false;
    errno = 0;
    *segment = strtoull (entry, NULL, 10);
    return errno == 0 && *segment > 0;
}

/*  The finaliser of splitmix64: one-to-one for a given salt, so no two segments share a tag.  */
uint64_t bn_segment_tag (uint64_t salt, uint64_t segment)
{
    uint64_t x = salt + segment * UINT64_C (0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C (0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C (0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint64_t bn_padded (uint64_t body_size)
{
    return (body_size + 7) & ~UINT64_C (7);
}

baton_err_t bn_journal_errno (int64_t rc)
{
    switch (-rc) {
    case EACCES:
    case EPERM:
    case EROFS:
        return BATON_ERR_PERMISSION;
    case ENOSPC:
    case EDQUOT:
        return BATON_ERR_DISK_FULL;
    case ENOMEM:
        return BATON_ERR_MEMORY;
    case EWOULDBLOCK:
        return BATON_ERR_LOCKED;
    default:
        return BATON_ERR_IO;
    }
}

baton_err_t bn_journal_fail (baton_err_t err, char detail[512], const char *format, ...)
{
    va_list args;
    va_start (args, format);
    vsnprintf (detail, 512, format, args);
    va_end (args);
    return err;
}

baton_err_t bn_journal_fail_io (int64_t rc, char detail[512], const char *name, const char *what)
{
    return bn_journal_fail (bn_journal_errno (rc), detail, "%s: %s: %s", *name ? name : ".", what,
                            strerror ((int)-rc));
}

/*  ---- frames ----
 *
 *    0 magic  4 kind  6 version  8 type  12 count  16 tag  24 sequence  32 base  40 time
 *   48 synced  56 body size  60 body crc  64 previous crc  68 crc of 0..67  */

void bn_frame_encode (bn_frame_t *frame, uint8_t bytes[BN_FRAME_BYTES])
{
    put32 (bytes, FRAME_MAGIC);
    put16 (bytes + 4, frame->kind);
    put16 (bytes + 6, VERSION);
    put32 (bytes + 8, frame->type);
    put32 (bytes + 12, frame->count);
    put64 (bytes + 16, frame->tag);
    put64 (bytes + 24, frame->sequence);
    put64 (bytes + 32, frame->base);
    put64 (bytes + 40, frame->time_us);
    put64 (bytes + 48, frame->synced);
    put32 (bytes + 56, frame->body_size);
    put32 (bytes + 60, frame->body_crc);
    put32 (bytes + 64, frame->previous_crc);
    frame->crc = bn_crc32c (0, bytes, 68);
    put32 (bytes + 68, frame->crc);
}

bool bn_frame_tagged (const uint8_t bytes[BN_FRAME_BYTES], uint64_t tag)
{
    return get64 (bytes + 16) == tag;
}

const char *bn_frame_decode (bn_frame_t *frame, const uint8_t bytes[BN_FRAME_BYTES], uint64_t tag)
{
    if (get32 (bytes) != FRAME_MAGIC || !bn_frame_tagged (bytes, tag))
        return "there is no record here";
    *frame = (bn_frame_t){.kind = get16 (bytes + 4),
                          .type = get32 (bytes + 8),
                          .count = get32 (bytes + 12),
                          .tag = tag,
                          .sequence = get64 (bytes + 24),
                          .base = get64 (bytes + 32),
                          .time_us = get64 (bytes + 40),
                          .synced = get64 (bytes + 48),
                          .body_size = get32 (bytes + 56),
                          .body_crc = get32 (bytes + 60),
                          .previous_crc = get32 (bytes + 64),
                          .crc = get32 (bytes + 68)};
    if (bn_crc32c (0, bytes, 68) != frame->crc)
        return "the checksum of the header is wrong";
    if (get16 (bytes + 6) != VERSION || frame->kind < BN_FRAME_RECORD || frame->kind > BN_FRAME_END)
        return "the version or kind of the header is unknown";
    return NULL;
}

/*  ---- segment header ----
 *
 *    0 magic  4 version  8 segment  16 salt  24 first sequence  32 first base  40 time
 *   48 previous end  56 previous crc  60 crc of 0..59  */

void bn_segment_header_encode (bn_segment_header_t *header, uint8_t bytes[BN_SEGMENT_AREA])
{
    memset (bytes, 0, BN_SEGMENT_AREA);
    put32 (bytes, SEGMENT_MAGIC);
    put32 (bytes + 4, VERSION);
    put64 (bytes + 8, header->segment);
    put64 (bytes + 16, header->salt);
    put64 (bytes + 24, header->first_sequence);
    put64 (bytes + 32, header->first_base);
    put64 (bytes + 40, header->time_us);
    put64 (bytes + 48, header->previous_end);
    put32 (bytes + 56, header->previous_crc);
    header->crc = bn_crc32c (0, bytes, 60);
    put32 (bytes + 60, header->crc);
}

const char *bn_segment_header_decode (bn_segment_header_t *header, const uint8_t *bytes,
                                      size_t size, uint64_t segment, uint64_t salt)
{
    if (size < SEGMENT_HEADER_BYTES || get32 (bytes) != SEGMENT_MAGIC)
        return "there is no segment header";
    *header = (bn_segment_header_t){.segment = get64 (bytes + 8),
                                    .salt = get64 (bytes + 16),
                                    .first_sequence = get64 (bytes + 24),
                                    .first_base = get64 (bytes + 32),
                                    .time_us = get64 (bytes + 40),
                                    .previous_end = get64 (bytes + 48),
                                    .previous_crc = get32 (bytes + 56),
                                    .crc = get32 (bytes + 60)};
    if (bn_crc32c (0, bytes, 60) != header->crc)
        return "the checksum of the segment header is wrong";
    if (get32 (bytes + 4) != VERSION)
        return "the version of the segment header is unknown";
    if (header->segment != segment)
        return "the header is that of another segment";
    if (header->salt != salt)
        return "the segment is of another journal";
    return NULL;
}

/*  ---- mark file ----
 *
 *    0 magic  4 version  8 salt  16 first segment  24 synced  32 zero  44 crc of 0..43  */

void bn_mark_encode (const bn_mark_t *mark, uint8_t bytes[BN_MARK_BYTES])
{
    memset (bytes, 0, BN_MARK_BYTES);
    put32 (bytes, MARK_MAGIC);
    put32 (bytes + 4, VERSION);
    put64 (bytes + 8, mark->salt);
    put64 (bytes + 16, mark->first_segment);
    put64 (bytes + 24, mark->synced);
    put32 (bytes + 44, bn_crc32c (0, bytes, 44));
}

const char *bn_mark_decode (bn_mark_t *mark, const uint8_t *bytes, size_t size)
{
    if (size != BN_MARK_BYTES || get32 (bytes) != MARK_MAGIC)
        return "it is not a mark file";
    if (bn_crc32c (0, bytes, 44) != get32 (bytes + 44))
        return "the checksum is wrong";
    if (get32 (bytes + 4) != VERSION)
        return "the version is unknown";
    *mark = (bn_mark_t){.salt = get64 (bytes + 8),
                        .first_segment = get64 (bytes + 16),
                        .synced = get64 (bytes + 24)};
    return mark->first_segment > 0 ? NULL : "the number of the first segment is 0";
}

/*  ---- window ---- */

void bn_window_init (bn_window_t *self, bn_vfs_t *vfs)
{
    *self = (bn_window_t){.vfs = vfs, .ahead = AHEAD_BYTES_MIN};
}

void bn_window_fini (bn_window_t *self)
{
    free (self->bytes);
    *self = (bn_window_t){.vfs = NULL};
}

void bn_window_forget (bn_window_t *self)
{
    self->size = 0;
    self->ahead = AHEAD_BYTES_MIN;
}

void bn_window_file (bn_window_t *self, bn_vfile_t *file)
{
    self->file = file;
    bn_window_forget (self);
}

int64_t bn_window_read (bn_window_t *self, uint64_t at, size_t size, const uint8_t **bytes)
{
    if (at >= self->at && at - self->at <= self->size && self->size - (at - self->at) >= size) {
        *bytes = self->bytes + (at - self->at);
        return (int64_t)size;
    }
    bool forwards = self->size > 0 && at >= self->at && at - self->at <= self->size;
    if (forwards && self->ahead < AHEAD_BYTES_MAX)
        self->ahead *= 2;
    else if (!forwards)
        self->ahead = AHEAD_BYTES_MIN;
    size_t wanted = size > self->ahead ? size : self->ahead;
    if (wanted > self->capacity) {
        uint8_t *grown = realloc (self->bytes, wanted);
        if (!grown)
            return -ENOMEM;
        self->bytes = grown;
        self->capacity = wanted;
    }
    /*  Behind the head of a large record its body was begun, mostly.  */
    size_t kept = forwards ? (size_t)(self->at + self->size - at) : 0;
    if (kept > 0)
        memmove (self->bytes, self->bytes + (at - self->at), kept);
    self->size = 0;
    int64_t rc =
        self->vfs->pread (self->vfs, self->file, self->bytes + kept, wanted - kept, at + kept);
    if (rc < 0)
        return rc;
    self->at = at;
    self->size = kept + (size_t)rc;
    *bytes = self->bytes;
    return (int64_t)(self->size < size ? self->size : size);
}

int64_t bn_framed_read (bn_window_t *window, uint64_t tag, uint64_t at, bool with_body,
                        bn_framed_t *framed, const char **bad)
{
    const uint8_t *bytes;
    int64_t rc = bn_window_read (window, at, BN_FRAME_BYTES, &bytes);
    if (rc < 0)
        return rc;
    *framed = (bn_framed_t){.end = at};
    *bad =
        rc < BN_FRAME_BYTES ? "the file ends here" : bn_frame_decode (&framed->frame, bytes, tag);
    if (*bad)
        return 0;
    uint64_t size = bn_padded (framed->frame.body_size);
    framed->end = at + BN_FRAME_BYTES + size;
    if (!with_body || size == 0) {
        if (size == 0 && framed->frame.body_crc != 0)
            *bad = "the checksum of the body is wrong";
        return 0;
    }
    /*  The header is vouched for by its checksum; still, no more is asked for than there is.  */
    int64_t file_size = window->vfs->size (window->vfs, window->file);
    if (file_size < 0)
        return file_size;
    if (framed->end > (uint64_t)file_size) {
        *bad = "the file ends within the record";
        return 0;
    }
    /*  With the head: who comes back to this record finds all of it in the window.  */
    rc = bn_window_read (window, at, BN_FRAME_BYTES + (size_t)size, &bytes);
    if (rc < 0)
        return rc;
    framed->body = bytes + BN_FRAME_BYTES;
    if ((uint64_t)rc < BN_FRAME_BYTES + size)
        *bad = "the file ends within the record";
    else if (!BN_PLANT (body_unchecked) &&
             bn_crc32c (0, framed->body, (size_t)size) != framed->frame.body_crc)
        *bad = "the checksum of the body is wrong";
    return 0;
}
