/* SPDX-License-Identifier: MPL-2.0 */
#include "node_samples.h"

#define T(text)                                                                                    \
    {                                                                                              \
        text, sizeof (text) - 1                                                                    \
    }

static bn_node_instance_t s_instances[] = {
    {.slot = 1,
     .incarnation = UINT64_MAX,
     .pid = 4711,
     .state = 1,
     .ready = true,
     .current = true,
     .restarts = 2,
     .age_ms = 5000,
     .status = T ("7 partitions")},
    {.slot = 256, .state = 3, .reason = T ("ended: exit code 1 (3 times in 60 s)")}};

static bn_node_service_t s_services[] = {{.name = T ("payment"),
                                          .wanted = 2,
                                          .rolling = true,
                                          .instances = s_instances,
                                          .instance_count = 2},
                                         {.name = T ("ledger")}};

static bn_node_word_t s_words[] = {{T ("./payment")}, {T ("--name")}, {T ("a b")}, {T ("")}};
static bn_node_word_t s_variables[] = {{T ("LEVEL=d\xc3\xa9")}};

static bn_node_task_t s_tasks[] = {{.name = T ("payment"),
                                    .words = s_words,
                                    .word_count = 4,
                                    .variables = s_variables,
                                    .variable_count = 1,
                                    .directory = T ("/srv"),
                                    .instances = 3,
                                    .restart = 2,
                                    .stop_timeout_ms = 1,
                                    .backoff_max_ms = 2,
                                    .intensity = 3,
                                    .intensity_period_ms = 4,
                                    .watchdog_ms = 5,
                                    .rounds = 6,
                                    .revivals = 7}};

const bn_node_message_t g_node_samples[] = {
    {.type = BN_NODE_REPORT,
     .report = {.host = T ("host-a"),
                .incarnation = 12,
                .version = T ("0.1.0"),
                .revision = 34,
                .trouble = T ("no"),
                .services = s_services,
                .service_count = 2}},
    {.type = BN_NODE_LEAVE, .leave = {.host = T ("b"), .incarnation = 1}},
    {.type = BN_NODE_PART,
     .part = {.revision = 1,
              .incarnation = 2,
              .endpoint = T ("tcp://0.0.0.0:7711"),
              .tasks = s_tasks,
              .task_count = 1}},
    {.type = BN_NODE_HEARD},
    {.type = BN_NODE_REFUSED, .refused = {.why = T ("the name is taken")}}};

const size_t g_node_sample_count = sizeof (g_node_samples) / sizeof (g_node_samples[0]);
