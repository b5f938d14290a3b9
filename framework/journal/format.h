/* SPDX-License-Identifier: MPL-2.0 */

/*  format.h - the bytes of segments, frames and the mark file, and reading them through a window.
 *
 *  Little endian, 8-byte aligned, every block with a CRC32C of its own; docs/journal-format.md has
 *  the pictures. Nothing here decides anything: it says what is there.
 *
 *  A frame's `tag` belongs to one life of one segment file: it is made from the journal's salt
 *  (drawn at random when the journal is created) and the segment's number. So neither what a
 *  recycled file held before, nor an event whose data imitates a frame, is ever taken for one.  */
#ifndef BN_JOURNAL_FORMAT_H
#define BN_JOURNAL_FORMAT_H

#include "journal/vfs.h"
#include <baton/error.h>

#define BN_JOURNAL_FOLDER   "journal"
#define BN_FORMAT_FILE      "FORMAT"
#define BN_MARK_FILE        BN_JOURNAL_FOLDER "/MARK"
#define BN_NEXT_FILE        BN_JOURNAL_FOLDER "/next.tmp"  /* being filled with zeros */
#define BN_SPARE_FILE       BN_JOURNAL_FOLDER "/spare.tmp" /* trimmed, to be used again */
#define BN_TEMPORARY_SUFFIX ".tmp"
#define BN_SEGMENT_NAME_MAX 64   /* bytes, with NUL */
#define BN_SEGMENT_AREA     4096 /* bytes before the first frame */
#define BN_FRAME_BYTES      72   /* header of a frame */
#define BN_MARK_BYTES       48

typedef enum {
    BN_FRAME_RECORD = 1,
    BN_FRAME_COMMIT =
        2,           /* behind the last record: what is synced; overwritten by the next record */
    BN_FRAME_END = 3 /* the segment is full, wholly synced, and goes on in the next one */
} bn_frame_kind_t;

typedef struct {
    uint16_t kind;
    uint32_t type;  /* RECORD: the caller's */
    uint32_t count; /* events */
    uint64_t tag;
    uint64_t sequence; /* COMMIT, END: of the record before */
    uint64_t base;     /* COMMIT, END: the tail */
    uint64_t time_us;  /* COMMIT, END: of the record before */
    uint64_t synced;   /* highest sequence known to be synced when this was written */
    uint32_t body_size;
    uint32_t body_crc;     /* of the body with its padding */
    uint32_t previous_crc; /* `crc` of the record before it; COMMIT, END: likewise */
    uint32_t crc;          /* of this header */
} bn_frame_t;

typedef struct {
    uint64_t segment;
    uint64_t salt;
    uint64_t first_sequence;
    uint64_t first_base;
    uint64_t time_us;      /* of the first record; 0: none yet when it was written */
    uint64_t previous_end; /* position of END in the segment before */
    uint32_t previous_crc; /* `crc` of that END */
    uint32_t crc;
} bn_segment_header_t;

typedef struct {
    uint64_t salt;
    uint64_t first_segment; /* the oldest one: lower ones may be leftovers of a trim */
    uint64_t synced;        /* sequence synced when it was written: on closing and trimming */
} bn_mark_t;

void bn_segment_name (char name[BN_SEGMENT_NAME_MAX], uint64_t segment);
/*  "00000000000000000001.seg" (without the folder); false: something else.  */
bool bn_segment_parse (const char *entry, uint64_t *segment);
uint64_t bn_segment_tag (uint64_t salt, uint64_t segment);
uint64_t bn_padded (uint64_t body_size);

/*  Encoding sets ->crc. Decoding returns NULL, or why the bytes are not one.  */
void bn_frame_encode (bn_frame_t *frame, uint8_t bytes[BN_FRAME_BYTES]);
const char *bn_frame_decode (bn_frame_t *frame, const uint8_t bytes[BN_FRAME_BYTES], uint64_t tag);
/*  Whether the bytes were meant as a frame of this life of the segment, valid or not.  */
bool bn_frame_tagged (const uint8_t bytes[BN_FRAME_BYTES], uint64_t tag);
void bn_segment_header_encode (bn_segment_header_t *header, uint8_t bytes[BN_SEGMENT_AREA]);
const char *bn_segment_header_decode (bn_segment_header_t *header, const uint8_t *bytes,
                                      size_t size, uint64_t segment, uint64_t salt);
void bn_mark_encode (const bn_mark_t *mark, uint8_t bytes[BN_MARK_BYTES]);
const char *bn_mark_decode (bn_mark_t *mark, const uint8_t *bytes, size_t size);

/*  Negative errno to a code: EACCES, EPERM, EROFS PERMISSION; ENOSPC, EDQUOT DISK_FULL; ENOMEM
 *  MEMORY; EWOULDBLOCK LOCKED; else IO.  */
baton_err_t bn_journal_errno (int64_t rc);
/*  Formats into detail and returns err.  */
baton_err_t bn_journal_fail (baton_err_t err, char detail[512], const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));
/*  "journal/0…1.seg: write: No space left on device"  */
baton_err_t bn_journal_fail_io (int64_t rc, char detail[512], const char *name, const char *what);

/*  ---- window: reading a file forwards, ahead of need ---- */
typedef struct {
    bn_vfs_t *vfs;
    bn_vfile_t *file; /* borrowed; NULL: none */
    uint8_t *bytes;   /* owned */
    size_t capacity;
    uint64_t at;  /* position of bytes[0] in the file */
    size_t size;  /* bytes held */
    size_t ahead; /* bytes to read at least next time: doubles while reading goes on forwards */
} bn_window_t;

void bn_window_init (bn_window_t *self, bn_vfs_t *vfs);
void bn_window_fini (bn_window_t *self);
void bn_window_file (bn_window_t *self, bn_vfile_t *file); /* and forgets what was read */
void bn_window_forget (bn_window_t *self);
/*  How many of `size` bytes there are at `at` (fewer only at the end of the file), or a negative
 *  errno. *bytes is borrowed until the next call.  */
int64_t bn_window_read (bn_window_t *self, uint64_t at, size_t size, const uint8_t **bytes);

/*  ---- a frame and its body, in a window ---- */
typedef struct {
    bn_frame_t frame;
    const uint8_t *body; /* borrowed from the window; only if asked for */
    uint64_t end;        /* position behind it */
} bn_framed_t;

/*  0 with *bad NULL: valid (body checked only if asked for); 0 with *bad: why it is not; else a
 *  negative errno.  */
int64_t bn_framed_read (bn_window_t *window, uint64_t tag, uint64_t at, bool with_body,
                        bn_framed_t *framed, const char **bad);

#endif
