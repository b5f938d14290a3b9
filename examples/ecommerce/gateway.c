/* SPDX-License-Identifier: MPL-2.0 */
#include "gateway.h"

#include "database.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char SCHEMA[] = "PRAGMA synchronous = OFF;"
                             "CREATE TABLE IF NOT EXISTS charges ("
                             "  id TEXT PRIMARY KEY,"
                             "  order_no TEXT NOT NULL,"
                             "  amount INTEGER NOT NULL,  -- millionths\n"
                             "  outcome TEXT NOT NULL,    -- charged, declined\n"
                             "  asked INTEGER NOT NULL    -- times\n"
                             ");"
                             "CREATE INDEX IF NOT EXISTS charges_order ON charges (order_no);";

struct gateway {
    gateway_options_t options;
    sqlite3 *db;
    sqlite3_stmt *ask;  /* counts one more request and returns the outcome, if the id is known */
    sqlite3_stmt *book; /* a new charge */
    char reason[256];
};

static uint64_t mix (uint64_t hash, const char *text)
{
    for (; *text != 0; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    return hash;
}

/*  A number in 0..1 that depends on nothing but its arguments.  */
static double roll (uint64_t seed, const char *what, const char *order, uint32_t attempt)
{
    uint64_t hash = mix (mix (0xcbf29ce484222325u ^ seed, what), order) + attempt;
    hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9u;
    hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebu;
    return (double)((hash ^ (hash >> 31)) >> 11) / (double)(1ull << 53);
}

static void set_reason (gateway_t *self, const char *reason)
{
    snprintf (self->reason, sizeof self->reason, "%s", reason);
}

gateway_t *gateway_open (const gateway_options_t *options, char *error, size_t error_size)
{
    gateway_t *self = calloc (1, sizeof *self);
    if (self == NULL) {
        snprintf (error, error_size, "out of memory");
        return NULL;
    }
    self->options = *options;
    if (database_open (&self->db, options->path, SCHEMA) != SQLITE_OK ||
        sqlite3_prepare_v2 (self->db,
                            "UPDATE charges SET asked = asked + 1 WHERE id = ? "
                            "RETURNING outcome",
                            -1, &self->ask, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2 (self->db, "INSERT INTO charges VALUES (?, ?, ?, ?, 1)", -1, &self->book,
                            NULL) != SQLITE_OK) {
        snprintf (error, error_size, "%s: %s", options->path, sqlite3_errmsg (self->db));
        gateway_close (&self);
    }
    return self;
}

void gateway_close (gateway_t **self_p)
{
    gateway_t *self = *self_p;
    if (self == NULL)
        return;
    sqlite3_finalize (self->ask);
    sqlite3_finalize (self->book);
    sqlite3_close (self->db);
    free (self);
    *self_p = NULL;
}

/*  True if the id was asked for before; *answer is then what was answered.  */
static bool asked_before (gateway_t *self, const char *id, gateway_answer_t *answer)
{
    sqlite3_bind_text (self->ask, 1, id, -1, SQLITE_STATIC);
    bool known = sqlite3_step (self->ask) == SQLITE_ROW;
    if (known) {
        bool charged = strcmp ((const char *)sqlite3_column_text (self->ask, 0), "charged") == 0;
        *answer = charged ? GATEWAY_CHARGED : GATEWAY_DECLINED;
        sqlite3_step (self->ask);
    }
    sqlite3_reset (self->ask);
    return known;
}

static bool book (gateway_t *self, const gateway_request_t *request, const char *outcome)
{
    sqlite3_bind_text (self->book, 1, request->id, -1, SQLITE_STATIC);
    sqlite3_bind_text (self->book, 2, request->order, -1, SQLITE_STATIC);
    sqlite3_bind_int64 (self->book, 3, request->amount);
    sqlite3_bind_text (self->book, 4, outcome, -1, SQLITE_STATIC);
    bool done = sqlite3_step (self->book) == SQLITE_DONE;
    sqlite3_reset (self->book);
    return done;
}

static gateway_answer_t decide (gateway_t *self, const gateway_request_t *request)
{
    const gateway_options_t *options = &self->options;
    bool fails =
        roll (options->seed, "fail", request->order, request->attempt) < options->fail_rate;
    bool before = roll (options->seed, "when", request->order, request->attempt) < 0.5;
    set_reason (self, "the gateway does not answer");
    if (fails && before)
        return GATEWAY_UNAVAILABLE;
    gateway_answer_t answer;
    if (!asked_before (self, request->id, &answer)) {
        bool declined = roll (options->seed, "decline", request->order, 0) < options->decline_rate;
        answer = declined ? GATEWAY_DECLINED : GATEWAY_CHARGED;
        if (!book (self, request, declined ? "declined" : "charged"))
            return GATEWAY_UNAVAILABLE;
    }
    return fails ? GATEWAY_UNAVAILABLE : answer;
}

gateway_answer_t gateway_charge (gateway_t *self, const gateway_request_t *request)
{
    if (sqlite3_exec (self->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK) {
        set_reason (self, sqlite3_errmsg (self->db));
        return GATEWAY_UNAVAILABLE;
    }
    gateway_answer_t answer = decide (self, request);
    if (sqlite3_exec (self->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK) {
        set_reason (self, sqlite3_errmsg (self->db));
        sqlite3_exec (self->db, "ROLLBACK", NULL, NULL, NULL);
        return GATEWAY_UNAVAILABLE;
    }
    if (answer == GATEWAY_DECLINED)
        set_reason (self, "the card was declined");
    return answer;
}

const char *gateway_reason (const gateway_t *self)
{
    return self->reason;
}
