/* SPDX-License-Identifier: MPL-2.0 */

/*  lab_report.h - the verdict of a drill, for people and as JSON.  */
#ifndef BN_LAB_REPORT_H
#define BN_LAB_REPORT_H

#include "lab/lab.h"
#include <jansson.h>
#include <stdio.h>

void bn_lab_report_print (const bn_lab_result_t *result, FILE *out);
json_t *bn_lab_report_json (const char *drill, const bn_lab_result_t *result); /* NULL: no memory */

#endif
