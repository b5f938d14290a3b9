/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/connect.h"
#include "client/link.h"

int bn_connect_check (const char *command, const bn_connect_options_t *options)
{
    if (bn_link_endpoint_valid (options->endpoint))
        return -1;
    return bn_usage_error (command, "'%s' is no endpoint, as " BN_DEFAULT_ENDPOINT " is one",
                           options->endpoint);
}

int bn_connect (bn_admin_t **admin, const char *command, const bn_connect_options_t *options)
{
    bn_admin_options_t admin_options = {.endpoint = options->endpoint,
                                        .name = command,
                                        .timeout_ms = (uint32_t)options->timeout_s * 1000};
    int code = bn_connect_check (command, options);
    if (code >= 0)
        return code;
    baton_err_t err = bn_admin_new (admin, &admin_options);
    return err ? bn_failure (command, err, "%s: %s", options->endpoint, baton_err_text (err)) : -1;
}
