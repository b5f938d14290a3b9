/* SPDX-License-Identifier: MPL-2.0 */

/*  database.h - opens an SQLite file that several processes write to.  */
#ifndef SHOP_DATABASE_H
#define SHOP_DATABASE_H

#include <sqlite3.h>

/*  In write-ahead mode, with a busy timeout of 10 s, after `schema` has run. The first ones to come
 *  may do so at the same time. Returns SQLITE_OK or an error; *db is to be closed either way.  */
int database_open (sqlite3 **db, const char *path, const char *schema);

#endif
