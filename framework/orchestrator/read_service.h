/* SPDX-License-Identifier: MPL-2.0 */

/*  read_service.h - answers FETCH and READ from the journal.
 *
 *  Bounded in bytes sent and in bytes scanned, so that no request holds the orchestrator; the asker
 *  goes on from scanned_to. Orchestrator's thread.  */
#ifndef BN_READ_SERVICE_H
#define BN_READ_SERVICE_H

#include "core/effects.h"
#include "journal/journal.h"

#define BN_READ_SCAN_BYTES_MAX (8 * 1024 * 1024) /* journal bytes looked at for one request */

typedef struct {
    bn_blob_t *head;        /* frame 0, owned: EVENTS, or ERROR */
    bn_section_t *sections; /* owned; their payloads are the further frames */
    uint32_t section_count;
    uint64_t scanned_to;    /* as in EVENTS */
    bool at_tail;           /* as in EVENTS */
    bool failed;            /* head is an ERROR */
} bn_read_reply_t;

/*  Always makes a reply: what goes wrong with the journal becomes an ERROR and is logged with file
 *  and position. Damage is ROT, for good; a read that the system refuses (EIO, no descriptor left)
 *  is UNREADABLE: nothing was found wrong, and the asker tries again. head is NULL only when there
 *  is no memory for it.  */
void bn_read_service (bn_journal_reader_t *reader, const bn_read_spec_t *spec,
                      bn_read_reply_t *reply);
void bn_read_reply_fini (bn_read_reply_t *reply);

#endif
