/* SPDX-License-Identifier: MPL-2.0 */
#include "database.h"

#include <stddef.h>

#define BUSY_TIMEOUT_MS 10000
#define RETRY_MS        20

int database_open (sqlite3 **db, const char *path, const char *schema)
{
    int result = sqlite3_open (path, db);
    if (result == SQLITE_OK)
        result = sqlite3_busy_timeout (*db, BUSY_TIMEOUT_MS);
    if (result != SQLITE_OK)
        return result;
    /* The change to write-ahead mode does not wait for locks, whatever the busy timeout says. */
    for (int waited = 0; waited < BUSY_TIMEOUT_MS; waited += RETRY_MS) {
        result = sqlite3_exec (*db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
        if (result != SQLITE_BUSY)
            break;
        sqlite3_sleep (RETRY_MS);
    }
    if (result == SQLITE_OK)
        result = sqlite3_exec (*db, schema, NULL, NULL, NULL);
    return result;
}
