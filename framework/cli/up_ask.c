/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/up_ask.h"
#include "cli/options.h"
#include "supervisor/control.h"
#include <stdlib.h>

int bn_up_ask (const char *command, const char *data_dir, const char *request, json_t **answer)
{
    char *text;
    *answer = NULL;
    baton_err_t err = bn_control_ask (data_dir, request, &text);
    if (err == BATON_ERR_UNREACHABLE)
        return bn_failure (command, err,
                           "no `baton up` runs in the data directory %s; --data-dir names another",
                           data_dir);
    if (err)
        return bn_failure (command, err, "%s: %s", data_dir, baton_err_text (err));
    *answer = json_loads (text, 0, NULL);
    free (text);
    if (json_is_true (json_object_get (*answer, "ok")))
        return -1;
    const char *why = json_string_value (json_object_get (*answer, "text"));
    int code = bn_failure (command, BATON_OK, "%s", why ? why : "the answer cannot be read");
    json_decref (*answer);
    *answer = NULL;
    return code;
}
