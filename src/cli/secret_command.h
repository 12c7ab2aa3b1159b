/* secret_command.h - a secret from a program the user named (password managers, OAuth helpers). */
#pragma once

#include "cli/vault.h"

/* Run COMMAND by /bin/sh -c; the first line of its output goes into V. It gets no input, none of
 * our files but standard error, and TIMEOUT_MS; then, and when STOP_FD becomes readable, it and
 * what it started is killed. Errors: cause login, scope mailbox (side is the caller's to set);
 * cause stopped. */
int secret_command_run(
    const char *command, int stop_fd, int timeout_ms, struct vault *v, struct err *e);
