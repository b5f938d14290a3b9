/* SPDX-License-Identifier: MPL-2.0 */

/*  views.h - the checkpoint of the state, in LMDB: all items and the sequence they include, in one
 *  transaction. Losing it costs a replay, never data.
 *
 *  Opened and loaded by the thread that recovers, then used by the journal thread alone.  */
#ifndef BN_VIEWS_H
#define BN_VIEWS_H

#include <baton/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct bn_views bn_views_t;

/*  `directory` is made if needed. FORMAT: from a newer version. ROT: unreadable (the caller removes
 *  it with bn_views_remove and replays).  */
baton_err_t bn_views_open (bn_views_t **views, const char *directory, char detail[512]);
void bn_views_close (bn_views_t **self_p);
baton_err_t bn_views_remove (const char *directory, char detail[512]);

/*  *sequence: journal sequence that the items include; 0: no checkpoint yet. `item` is called for
 *  each.  */
typedef baton_err_t (bn_views_item_fn) (const void *key, size_t key_size, const void *value,
                                        size_t value_size, void *arg);
baton_err_t bn_views_load (bn_views_t *self, uint64_t *sequence, bn_views_item_fn *item, void *arg,
                           char detail[512]);

/*  A checkpoint being gathered by the conductor's thread, written by the journal thread.  */
typedef struct bn_checkpoint bn_checkpoint_t;

bn_checkpoint_t *bn_checkpoint_new (uint64_t sequence);
void bn_checkpoint_destroy (bn_checkpoint_t **self_p);
bool bn_checkpoint_put (const void *key, size_t key_size, const void *value, size_t value_size,
                        void *checkpoint); /* a bn_state_put_fn */
/*  Replaces everything, atomically; durable when it returns.  */
baton_err_t bn_views_write (bn_views_t *self, const bn_checkpoint_t *checkpoint, char detail[512]);

#endif
