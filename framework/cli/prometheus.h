/* SPDX-License-Identifier: MPL-2.0 */

/*  prometheus.h - a sample of the status in Prometheus's text format, version 0.0.4. Pure.  */
#ifndef BN_CLI_PROMETHEUS_H
#define BN_CLI_PROMETHEUS_H

#include "base/buffer.h"
#include <jansson.h>

#define BN_PROMETHEUS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/*  Appends all metrics; what does not fit sets text->failed. sample: with its ages (sample.h);
 *  NULL: the orchestrator does not answer, and baton_up is all there is to say. seconds: how long
 *  the answer took.  */
void bn_prometheus_put (bn_buffer_t *text, const json_t *sample, double seconds);

#endif
