/* SPDX-License-Identifier: MPL-2.0 */

/*  folder.h - the folders of labs: made, found, removed.
 *
 *  A folder whose lock (control.h) can be taken belongs to a dead lab. It is taken before anything
 *  is removed, so that two that clean up do not meet; one that has no lock yet, and is younger than
 *  a minute, is being made.  */
#ifndef BN_LAB_FOLDER_H
#define BN_LAB_FOLDER_H

#include <baton/error.h>
#include <limits.h>
#include <stdbool.h>

/*  Where they are: TMPDIR, or /tmp.  */
const char *bn_lab_folder_parent (void);
/*  Makes one there, mode 0700. Errors: SYSTEM, with detail (512 bytes).  */
baton_err_t bn_lab_folder_new (char folder[PATH_MAX], char detail[512]);
/*  Removes it with all that is in it; never follows a link.  */
void bn_lab_folder_remove (const char *folder);
/*  Marks it as one that only `baton lab clean` removes.  */
void bn_lab_folder_keep (const char *folder);
/*  The last part of its name, which is the lab's.  */
const char *bn_lab_folder_name (const char *folder);

#endif
