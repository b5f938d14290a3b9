/* SPDX-License-Identifier: MPL-2.0 */

/*  ledger.c - the actor that writes everything down, each event once.
 *
 *  orders.*, payments.*, shipments.* -> an SQLite file that all ledger processes share
 *
 *  An event is committed to the file before it is acknowledged. If the process dies in between, the
 *  event comes again, is recognised by its source and id, and only its deliveries are counted up.
 *  It also keeps watch: a customer's events must come in journal order (G3). A new event with an
 *  offset below one that was already written for its customer is recorded as a violation.
 */
#include "database.h"
#include "money.h"

#include <baton/baton.h>
#include <stdio.h>
#include <string.h>

#define DETAIL_BYTES_MAX 1024

static const char SCHEMA[] =
    "PRAGMA synchronous = FULL;"
    "CREATE TABLE IF NOT EXISTS events ("
    "  seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of arrival\n"
    "  source TEXT NOT NULL,"
    "  id TEXT NOT NULL,"
    "  topic TEXT NOT NULL,"
    "  order_no TEXT NOT NULL,"
    "  customer TEXT NOT NULL,"
    "  amount INTEGER,                         -- millionths\n"
    "  detail TEXT,                            -- why, where there is a why\n"
    "  journal_offset INTEGER NOT NULL,"
    "  deliveries INTEGER NOT NULL DEFAULT 1,"
    "  UNIQUE (source, id)"
    ");"
    "CREATE INDEX IF NOT EXISTS events_order ON events (order_no, topic);"
    "CREATE TABLE IF NOT EXISTS customers ("
    "  customer TEXT PRIMARY KEY,"
    "  journal_offset INTEGER NOT NULL         -- of the last event written\n"
    ");"
    "CREATE TABLE IF NOT EXISTS violations ("
    "  source TEXT NOT NULL,"
    "  id TEXT NOT NULL,"
    "  customer TEXT NOT NULL,"
    "  journal_offset INTEGER NOT NULL,"
    "  after_offset INTEGER NOT NULL           -- what had been written before it\n"
    ");";

typedef enum { ADD, AGAIN, VIOLATION, ADVANCE, STATEMENT_COUNT } statement_t;

static const char *const STATEMENTS[STATEMENT_COUNT] = {
    [ADD] = "INSERT OR IGNORE INTO events "
            "(source, id, topic, order_no, customer, amount, detail, journal_offset) "
            "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [AGAIN] = "UPDATE events SET deliveries = deliveries + 1 WHERE source = ?1 AND id = ?2",
    [VIOLATION] = "INSERT INTO violations SELECT ?1, ?2, ?5, ?8, journal_offset "
                  "FROM customers WHERE customer = ?5 AND journal_offset > ?8",
    [ADVANCE] = "INSERT INTO customers VALUES (?5, ?8) ON CONFLICT (customer) DO UPDATE "
                "SET journal_offset = max (journal_offset, excluded.journal_offset)",
};

typedef struct {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENT_COUNT];
} ledger_t;

/*  Why an order was rejected or a payment declined, as one text.  */
static void gather_detail (const baton_event_t *event, char detail[DETAIL_BYTES_MAX])
{
    const char *reason = baton_event_str (event, "reason");
    size_t used = (size_t)snprintf (detail, DETAIL_BYTES_MAX, "%s", reason != NULL ? reason : "");
    baton_value_t reasons;
    if (!baton_event_field (event, "reasons", &reasons))
        return;
    for (size_t i = 0; used < DETAIL_BYTES_MAX && i < baton_value_count (reasons); i++) {
        baton_value_t value;
        const char *text = "";
        size_t size = 0;
        if (baton_value_at (reasons, i, &value))
            baton_value_str (value, &text, &size);
        used += (size_t)snprintf (detail + used, DETAIL_BYTES_MAX - used, "%s%.*s",
                                  i > 0 ? "; " : "", (int)size, text);
    }
}

static bool step (ledger_t *self, statement_t which)
{
    sqlite3_stmt *statement = self->statements[which];
    bool done = sqlite3_step (statement) == SQLITE_DONE;
    sqlite3_reset (statement);
    return done;
}

static void bind (ledger_t *self, const baton_event_t *event, const char *order, const char *detail)
{
    const char *total = baton_event_str (event, "total");
    const char *text = total != NULL ? total : baton_event_str (event, "amount");
    money_t amount;
    bool has_amount = text != NULL && money_parse (text, &amount);
    for (int i = 0; i < STATEMENT_COUNT; i++) {
        sqlite3_stmt *statement = self->statements[i];
        /* A statement that has no such parameter refuses it, which is fine. */
        sqlite3_clear_bindings (statement);
        sqlite3_bind_text (statement, 1, baton_event_source (event), -1, SQLITE_STATIC);
        sqlite3_bind_text (statement, 2, baton_event_id (event), -1, SQLITE_STATIC);
        sqlite3_bind_text (statement, 3, baton_event_topic (event), -1, SQLITE_STATIC);
        sqlite3_bind_text (statement, 4, order, -1, SQLITE_STATIC);
        sqlite3_bind_text (statement, 5, baton_event_key (event), -1, SQLITE_STATIC);
        if (has_amount)
            sqlite3_bind_int64 (statement, 6, amount);
        if (*detail != 0)
            sqlite3_bind_text (statement, 7, detail, -1, SQLITE_STATIC);
        sqlite3_bind_int64 (statement, 8, (sqlite3_int64)baton_event_offset (event));
    }
}

static bool write_event (ledger_t *self)
{
    if (!step (self, ADD))
        return false;
    if (sqlite3_changes (self->db) == 0)
        return step (self, AGAIN);
    return step (self, VIOLATION) && step (self, ADVANCE);
}

static baton_verdict_t on_event (baton_context_t *context, const baton_event_t *event, void *arg)
{
    ledger_t *self = arg;
    const char *order = baton_event_str (event, "order");
    if (order == NULL) {
        baton_reason (context, "the event has no 'order' (text)");
        return BATON_REJECT;
    }
    char detail[DETAIL_BYTES_MAX];
    gather_detail (event, detail);
    bind (self, event, order, detail);
    if (sqlite3_exec (self->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK &&
        write_event (self) && sqlite3_exec (self->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK)
        return BATON_ACK;
    baton_reason (context, "the ledger cannot be written: %s", sqlite3_errmsg (self->db));
    sqlite3_exec (self->db, "ROLLBACK", NULL, NULL, NULL);
    return BATON_RETRY;
}

static bool ledger_open (ledger_t *self, const char *path)
{
    if (database_open (&self->db, path, SCHEMA) != SQLITE_OK)
        return false;
    for (int i = 0; i < STATEMENT_COUNT; i++)
        if (sqlite3_prepare_v2 (self->db, STATEMENTS[i], -1, &self->statements[i], NULL) !=
            SQLITE_OK)
            return false;
    return true;
}

static void ledger_close (ledger_t *self)
{
    for (int i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize (self->statements[i]);
    sqlite3_close (self->db);
}

static baton_err_t configure (baton_actor_t *actor, int argc, char **argv, void *arg)
{
    ledger_t *self = arg;
    const char *path = "ledger.db";
    if (argc == 2 && strcmp (argv[0], "--db") == 0)
        path = argv[1];
    else if (argc > 0)
        return BATON_ERR_ARGUMENT;
    if (!ledger_open (self, path)) {
        fprintf (stderr, "ledger: %s: %s\n", path, sqlite3_errmsg (self->db));
        return BATON_ERR_IO;
    }
    baton_err_t err = baton_actor_on (actor, "orders.>", on_event, self);
    if (err == BATON_OK)
        err = baton_actor_on (actor, "payments.>", on_event, self);
    if (err == BATON_OK)
        err = baton_actor_on (actor, "shipments.>", on_event, self);
    return err;
}

int main (int argc, char **argv)
{
    ledger_t ledger = {0};
    baton_actor_options_t options = {
        .name = "ledger",
        .start = BATON_START_BEGINNING,
        .max_attempts = 20,
        .backoff_max_ms = 2000,
        .usage = "  --db FILE              what it keeps (ledger.db)\n",
    };
    int code = baton_actor_main (argc, argv, &options, configure, &ledger);
    ledger_close (&ledger);
    return code;
}
