/* SPDX-License-Identifier: MPL-2.0 */
#include "wire/node_message.h"
#include "base/assert.h"
#include "wire/layout.h"
#include "wire/topic.h"
#include <stdio.h>
#include <string.h>

#define NODE_PROTOCOL_VERSION 1
#define HEADER_BYTES          4
#define ANY_U32(t, m)         BN_U32 (t, m, 0, UINT32_MAX)
#define NOTE(t, m)            BN_TEXT (t, m, BN_NODE_NOTE_BYTES_MAX, BN_CHECK_NONE)
#define LONG_TEXT(t, m)       BN_TEXT (t, m, BN_NODE_WORD_BYTES_MAX, BN_CHECK_NONE)
#define NAME(t, m)            BN_TEXT (t, m, BATON_NAME_BYTES_MAX, BN_CHECK_ACTOR)

static const bn_layout_t s_instance = BN_LAYOUT (
    bn_node_instance_t, "instance", BN_U32 (bn_node_instance_t, slot, 1, BN_NODE_INSTANCES_MAX),
    BN_U64 (bn_node_instance_t, incarnation), BN_U32 (bn_node_instance_t, pid, 0, INT32_MAX),
    BN_U32 (bn_node_instance_t, state, 0, BN_NODE_STATES - 1), BN_BOOL (bn_node_instance_t, ready),
    BN_BOOL (bn_node_instance_t, current), ANY_U32 (bn_node_instance_t, restarts),
    BN_U64 (bn_node_instance_t, age_ms), NOTE (bn_node_instance_t, status),
    NOTE (bn_node_instance_t, reason));

static const bn_layout_t s_service = BN_LAYOUT (
    bn_node_service_t, "service", NAME (bn_node_service_t, name),
    ANY_U32 (bn_node_service_t, wanted), BN_BOOL (bn_node_service_t, rolling),
    BN_LIST (bn_node_service_t, instances, instance_count, 0, BN_NODE_INSTANCES_MAX, s_instance));

static const bn_layout_t s_word =
    BN_LAYOUT (bn_node_word_t, "word", LONG_TEXT (bn_node_word_t, text));

static const bn_layout_t s_task = BN_LAYOUT (
    bn_node_task_t, "task", NAME (bn_node_task_t, name),
    BN_LIST (bn_node_task_t, words, word_count, 1, BN_NODE_WORDS_MAX, s_word),
    BN_LIST (bn_node_task_t, variables, variable_count, 0, BN_NODE_VARIABLES_MAX, s_word),
    LONG_TEXT (bn_node_task_t, directory),
    BN_U32 (bn_node_task_t, instances, 0, BN_NODE_INSTANCES_MAX),
    BN_U32 (bn_node_task_t, restart, 0, 2), ANY_U32 (bn_node_task_t, stop_timeout_ms),
    ANY_U32 (bn_node_task_t, backoff_max_ms), ANY_U32 (bn_node_task_t, intensity),
    ANY_U32 (bn_node_task_t, intensity_period_ms), ANY_U32 (bn_node_task_t, watchdog_ms),
    BN_U64 (bn_node_task_t, rounds), BN_U64 (bn_node_task_t, revivals));

static const bn_layout_t s_report = BN_LAYOUT (
    bn_node_report_t, "REPORT", NAME (bn_node_report_t, host),
    BN_U64 (bn_node_report_t, incarnation), NOTE (bn_node_report_t, version),
    BN_U64 (bn_node_report_t, revision), NOTE (bn_node_report_t, trouble),
    BN_LIST (bn_node_report_t, services, service_count, 0, BN_NODE_SERVICES_MAX, s_service));

static const bn_layout_t s_leave = BN_LAYOUT (
    bn_node_leave_t, "LEAVE", NAME (bn_node_leave_t, host), BN_U64 (bn_node_leave_t, incarnation));

static const bn_layout_t s_part = BN_LAYOUT (
    bn_node_part_t, "PART", BN_U64 (bn_node_part_t, revision), BN_U64 (bn_node_part_t, incarnation),
    BN_TEXT (bn_node_part_t, endpoint, BN_ENDPOINT_BYTES_MAX, BN_CHECK_NONE),
    BN_LIST (bn_node_part_t, tasks, task_count, 0, BN_NODE_TASKS_MAX, s_task));

static const bn_layout_t s_heard = {.name = "HEARD"};

static const bn_layout_t s_refused =
    BN_LAYOUT (bn_node_refused_t, "REFUSED", NOTE (bn_node_refused_t, why));

static const bn_layout_t *s_layout (uint32_t type)
{
    switch (type) {
    case BN_NODE_REPORT:
        return &s_report;
    case BN_NODE_LEAVE:
        return &s_leave;
    case BN_NODE_PART:
        return &s_part;
    case BN_NODE_HEARD:
        return &s_heard;
    case BN_NODE_REFUSED:
        return &s_refused;
    default:
        return NULL;
    }
}

bool bn_node_host_valid (const char *name, size_t size)
{
    return size <= BN_NODE_HOST_BYTES_MAX && bn_actor_name_valid (name, size);
}

static baton_err_t s_fail (char what[256], baton_err_t err, const char *text)
{
    if (what)
        snprintf (what, 256, "%s", text);
    return err;
}

/*  ---- what no single field can tell ---- */

static bool s_same (const bn_text_t *one, const bn_text_t *other)
{
    return one->size == other->size && !memcmp (one->text, other->text, one->size);
}

static void s_check_report (const bn_node_report_t *report, bn_mp_t *mp)
{
    uint32_t instances = 0;
    if (!bn_node_host_valid (report->host.text, report->host.size))
        bn_mp_fail (mp, BATON_ERR_NAME, "host");
    for (uint32_t i = 0; i < report->service_count; i++) {
        instances += report->services[i].instance_count;
        for (uint32_t k = 0; k < i; k++)
            if (s_same (&report->services[i].name, &report->services[k].name))
                bn_mp_fail (mp, BATON_ERR_MALFORMED, "a service comes twice");
    }
    if (instances > BN_NODE_INSTANCES_MAX)
        bn_mp_fail (mp, BATON_ERR_LIMIT, "more than 256 instances");
}

static void s_check_part (const bn_node_part_t *part, bn_mp_t *mp)
{
    for (uint32_t i = 0; i < part->task_count; i++)
        for (uint32_t k = 0; k < i; k++)
            if (s_same (&part->tasks[i].name, &part->tasks[k].name))
                bn_mp_fail (mp, BATON_ERR_MALFORMED, "a service comes twice");
}

/*  ---- decoding, encoding ---- */

baton_err_t bn_node_message_decode (bn_node_message_t *message, const void *bytes, size_t size,
                                    char what[256])
{
    const uint8_t *head = bytes;
    memset (message, 0, sizeof (*message));
    if (size < HEADER_BYTES || head[0] != 'B' || head[1] != 'N')
        return s_fail (what, BATON_ERR_MALFORMED, "the message does not start with BN");
    if (size > BN_NODE_MESSAGE_BYTES_MAX)
        return s_fail (what, BATON_ERR_TOO_LARGE, "the message is longer than 1 MiB");
    if (head[2] != NODE_PROTOCOL_VERSION) {
        if (what)
            snprintf (what, 256, "version %u of the protocol of nodes, known is %u", head[2],
                      NODE_PROTOCOL_VERSION);
        return BATON_ERR_VERSION;
    }
    const bn_layout_t *layout = s_layout (head[3]);
    if (!layout) {
        if (what)
            snprintf (what, 256, "message type 0x%02x", head[3]);
        return BATON_ERR_UNKNOWN_TYPE;
    }
    bn_mp_t mp;
    bn_mp_init (&mp, head + HEADER_BYTES, size - HEADER_BYTES);
    if (bn_mp_array (&mp, UINT32_MAX, "not an array") != layout->field_count)
        bn_mp_fail (&mp, BATON_ERR_MALFORMED, "wrong number of fields");
    bn_layout_read (layout, &mp, &message->report);
    bn_mp_end (&mp);
    message->type = head[3];
    if (bn_mp_ok (&mp) && message->type == BN_NODE_REPORT)
        s_check_report (&message->report, &mp);
    else if (bn_mp_ok (&mp) && message->type == BN_NODE_PART)
        s_check_part (&message->part, &mp);
    else if (bn_mp_ok (&mp) && message->type == BN_NODE_LEAVE &&
             !bn_node_host_valid (message->leave.host.text, message->leave.host.size))
        bn_mp_fail (&mp, BATON_ERR_NAME, "host");
    baton_err_t err = bn_layout_error (&mp, layout->name, what);
    if (err)
        bn_node_message_fini (message);
    return err;
}

void bn_node_message_fini (bn_node_message_t *message)
{
    const bn_layout_t *layout = s_layout (message->type);
    if (layout)
        bn_layout_fini (layout, &message->report);
    memset (message, 0, sizeof (*message));
}

bn_blob_t *bn_node_message_encode (const bn_node_message_t *message)
{
    const bn_layout_t *layout = s_layout (message->type);
    bn_assert (layout);
    const uint8_t header[HEADER_BYTES] = {'B', 'N', NODE_PROTOCOL_VERSION, (uint8_t)message->type};
    bn_buffer_t buffer;
    bn_buffer_init (&buffer, BN_NODE_MESSAGE_BYTES_MAX);
    bn_buffer_append (&buffer, header, sizeof (header));
    msgpack_packer packer = bn_mp_packer (&buffer);
    msgpack_pack_array (&packer, layout->field_count);
    bn_layout_write (layout, &packer, &message->report);
    bn_blob_t *blob = bn_buffer_take (&buffer);
    bn_buffer_fini (&buffer);
    return blob;
}
