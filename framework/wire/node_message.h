/* SPDX-License-Identifier: MPL-2.0 */

/*  node_message.h - what `baton up` and the nodes of its system say to each other.
 *
 *  A message is one frame: 'B' 'N' version type, then one MessagePack array, positional.
 *  docs/protocol.md, section 13, is the contract.
 *
 *  DESIGN. A node says all there is to say, each time: who it is, what it runs, how that is. `up`
 *  answers with the whole of what it should run, or, if it runs that already, that it was heard.
 *  So there is no session, nothing to resume and no difference between joining, going on and
 *  coming back; a lost message is repaired by the next one. Rejected: messages about changes, which
 *  need an order, acknowledgements and a way to start over.
 *
 *  Decoding checks everything, as message.h: counts, lengths, names, UTF-8, exact ends. A decoded
 *  message borrows its texts from the frame.  */
#ifndef BN_NODE_MESSAGE_H
#define BN_NODE_MESSAGE_H

#include "wire/message.h"

#define BN_NODE_HOST_BYTES_MAX    32
#define BN_NODE_SERVICES_MAX      128   /* in a report: also those that are still stopping */
#define BN_NODE_INSTANCES_MAX     256   /* of one service */
#define BN_NODE_TASKS_MAX         64    /* services in a part */
#define BN_NODE_WORDS_MAX         64    /* of a command */
#define BN_NODE_VARIABLES_MAX     32    /* of a service */
#define BN_NODE_WORD_BYTES_MAX    32768 /* a word, a variable, a directory */
#define BN_NODE_NOTE_BYTES_MAX    255   /* a text for people */
#define BN_NODE_MESSAGE_BYTES_MAX (1024 * 1024)

typedef enum {
    BN_NODE_REPORT = 0x01,
    BN_NODE_LEAVE = 0x02,
    BN_NODE_PART = 0x81,
    BN_NODE_HEARD = 0x82,
    BN_NODE_REFUSED = 0x83
} bn_node_message_type_t;

typedef struct {
    uint32_t slot;         /* 1, 2, ... */
    uint64_t incarnation;  /* of its process, as in BATON_INCARNATION; 0: never had one */
    uint32_t pid;          /* 0: does not run */
    uint32_t state;        /* BN_NODE_STATES: waiting, running, stopping, parked, done */
    bool ready;
    bool current;          /* not to be replaced any more */
    uint32_t restarts;
    uint64_t age_ms;
    bn_text_t status;      /* what it says of itself */
    bn_text_t reason;      /* how it ended last */
} bn_node_instance_t;

#define BN_NODE_STATES 5

typedef struct {
    bn_text_t name;
    uint32_t wanted;
    bool rolling;          /* instances are being replaced */
    bn_node_instance_t *instances; /* owned array */
    uint32_t instance_count;
} bn_node_service_t;

typedef struct {           /* node to up */
    bn_text_t host;        /* the name of the node */
    uint64_t incarnation;  /* random, one per process */
    bn_text_t version;     /* of baton */
    uint64_t revision;     /* of the part that it was told last; 0: none yet */
    bn_text_t trouble;     /* why it could not do what that part says; "": it could */
    bn_node_service_t *services; /* owned array */
    uint32_t service_count;
} bn_node_report_t;

typedef struct {           /* node to up: everything of mine has ended; farewell */
    bn_text_t host;
    uint64_t incarnation;
} bn_node_leave_t;

typedef struct {
    bn_text_t text;
} bn_node_word_t;

typedef struct {           /* a service that a node is to run */
    bn_text_t name;
    bn_node_word_t *words; /* owned array; the command */
    uint32_t word_count;
    bn_node_word_t *variables; /* owned array; NAME=value */
    uint32_t variable_count;
    bn_text_t directory;   /* "": the node's */
    uint32_t instances;
    uint32_t restart;      /* 0 permanent, 1 transient, 2 temporary */
    uint32_t stop_timeout_ms;
    uint32_t backoff_max_ms;
    uint32_t intensity;
    uint32_t intensity_period_ms;
    uint32_t watchdog_ms;
    uint64_t rounds;       /* how often all instances were told to be replaced */
    uint64_t revivals;     /* how often those that are parked were told to start again */
} bn_node_task_t;

typedef struct {           /* up to node: all that it is to run */
    uint64_t revision;     /* a hash of what follows: the same part has the same one */
    uint64_t incarnation;  /* of up: rounds and revivals count since it was started */
    bn_text_t endpoint;    /* of the orchestrator; host 0.0.0.0 or *: the one that was joined */
    bn_node_task_t *tasks; /* owned array */
    uint32_t task_count;
} bn_node_part_t;

typedef struct {
    bn_text_t why;
} bn_node_refused_t;

typedef struct {
    bn_node_message_type_t type;
    union {
        bn_node_report_t report;
        bn_node_leave_t leave;
        bn_node_part_t part;
        bn_node_refused_t refused;
    };
} bn_node_message_t;

/*  what (256 bytes, may be NULL) gets what is wrong. Errors: MALFORMED, VERSION (with the type set
 *  to 0), UNKNOWN_TYPE, TOO_LARGE, NAME, MEMORY; there is nothing to free then.  */
baton_err_t bn_node_message_decode (bn_node_message_t *message, const void *bytes, size_t size,
                                    char what[256]);
void bn_node_message_fini (bn_node_message_t *message);
/*  NULL: no memory, or longer than BN_NODE_MESSAGE_BYTES_MAX.  */
bn_blob_t *bn_node_message_encode (const bn_node_message_t *message);

/*  True for the name of a host: letters, digits, '-' and '_', at most BN_NODE_HOST_BYTES_MAX.  */
bool bn_node_host_valid (const char *name, size_t size);

#endif
