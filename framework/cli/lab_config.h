/* SPDX-License-Identifier: MPL-2.0 */

/*  lab_config.h - the files of `baton lab`: a system, which is the file of `baton up`, and a drill.
 *
 *  Where the file says on which host an actor runs (host, hosts), it runs there: the lab makes a
 *  host for each name. Else its instances are spread, each actor beginning on another host.  */
#ifndef BN_LAB_CONFIG_H
#define BN_LAB_CONFIG_H

#include "cli/up_config.h"
#include "lab/lab.h"

typedef struct {
    bn_zpl_t *zpl;   /* owned; the plan borrows from it */
    zconfig_t *top;  /* owned */
    bn_zpl_t *other; /* owned; the file that a drill's system is in, or NULL */
    bn_lab_plan_t plan;
    bn_lab_drill_t drill;
    char about[512]; /* of a drill */
    uint32_t hosts;  /* at least those that the file names */
    uint64_t disk_bytes;
    void *datas[BN_LAB_STREAMS_MAX]; /* owned; of the streams */
} bn_lab_config_t;

/*  Reads and checks a system for so many hosts (0: for as many as it names); `detail` (512 bytes)
 *  gets FILE:LINE and what is wrong. Free with bn_lab_config_fini, also after an error. Errors: as
 *  bn_up_config_load.  */
baton_err_t bn_lab_config_system (bn_lab_config_t *self, const char *path, uint32_t hosts,
                                  char detail[512]);
/*  The same for a drill. hosts: 0, or instead of what it says. scale: of all times in its load and
 *  its steps; not of what is expected.  */
baton_err_t bn_lab_config_drill (bn_lab_config_t *self, const char *path, uint32_t hosts,
                                 double scale, char detail[512]);
/*  The line `about` of a drill only. CONFIG if it is none.  */
baton_err_t bn_lab_config_about (const char *path, char about[512]);
void bn_lab_config_fini (bn_lab_config_t *self);

#endif
