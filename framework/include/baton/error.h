/* SPDX-License-Identifier: MPL-2.0 */

/*  error.h - what can go wrong, with a name, a number and whether trying again helps.
 *
 *  Codes say what the world did: peers, disks, memory, limits. The numbers are part of the wire
 *  protocol (the ERROR reply carries them) and never change their meaning; new ones are added.
 *
 *  Thread rule: every function here may be called from any thread.
 */
#ifndef BATON_ERROR_H
#define BATON_ERROR_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(BATON_STATIC)
#define BATON_API
#else
#define BATON_API __attribute__ ((visibility ("default")))
#endif

/*  X (NAME, number, retriable, text)  */
#define BATON_ERRORS(X)                                                                            \
    X (MEMORY, 1, true, "out of memory")                                                           \
    X (ARGUMENT, 2, false, "an argument is missing or out of range")                               \
    X (AGAIN, 3, true, "the in-flight limit is reached; nothing was accepted")                     \
    X (TIMEOUT, 4, true, "the time allowed has passed")                                            \
    X (CLOSED, 5, false, "the object is closing or closed")                                        \
    X (UNREACHABLE, 6, true, "no orchestrator answers at the endpoint")                            \
    X (INTERNAL, 7, false, "an internal invariant does not hold")                                  \
    X (SYSTEM, 8, false, "the operating system refused")                                           \
    X (MALFORMED, 20, false, "the message is malformed")                                           \
    X (VERSION, 21, false, "the protocol version is not supported")                                \
    X (UNKNOWN_TYPE, 22, false, "the message type is unknown")                                     \
    X (TOO_LARGE, 23, false, "a size limit is exceeded")                                           \
    X (TOO_DEEP, 24, false, "the data is nested too deeply")                                       \
    X (TOPIC, 25, false, "the topic or pattern is not valid")                                      \
    X (KEY, 26, false, "the key is not valid or is in the wrong partition")                        \
    X (NAME, 27, false, "the name is not valid")                                                   \
    X (PARTITION, 28, false, "the partition does not exist")                                       \
    X (NO_SESSION, 40, true, "the connection has no session; say HELLO (and JOIN) first")          \
    X (SEQUENCE, 41, false, "the producer sequence is not the expected one")                       \
    X (FENCED, 42, false, "a newer generation or incarnation has taken over")                      \
    X (NOT_OWNER, 43, false, "the partition is not assigned to this instance")                     \
    X (OFFSET, 44, false, "the offset is unknown, already settled, or not yet delivered")          \
    X (LIMIT, 45, true, "a count limit is reached; wait until it drains")                          \
    X (CONFLICT, 46, false, "it contradicts what is registered")                                   \
    X (NOT_FOUND, 47, false, "there is no such thing")                                             \
    X (IO, 60, false, "the disk failed")                                                           \
    X (DISK_FULL, 61, true, "the disk is full; nothing was accepted")                              \
    X (LOCKED, 62, false, "another process owns the data directory")                               \
    X (ROT, 63, false, "receipted data is damaged")                                                \
    X (FORMAT, 64, false, "the data was written by a newer version")                               \
    X (PERMISSION, 65, false, "permission denied")                                                 \
    X (CONFIG, 66, false, "the configuration is not valid")                                        \
    X (ADDRESS, 67, false, "the endpoint cannot be bound")                                         \
    X (UNREADABLE, 68, true, "the journal cannot be read at the moment")

typedef enum {
    BATON_OK = 0,
#define BATON_ERROR_ENUM(name, number, retriable, text) BATON_ERR_##name = number,
    BATON_ERRORS (BATON_ERROR_ENUM)
#undef BATON_ERROR_ENUM
} baton_err_t;

/*  The name of a code, as in "DISK_FULL"; "OK" for 0, "UNKNOWN" for a number that is no code.
 *  Borrowed, static.  */
BATON_API const char *baton_err_name (baton_err_t err);

/*  One line for a person. Borrowed, static.  */
BATON_API const char *baton_err_text (baton_err_t err);

/*  True if the same call may succeed later without anybody changing it.  */
BATON_API bool baton_err_retriable (baton_err_t err);

#ifdef __cplusplus
}
#endif
#endif
