/* worker.h - one mailbox, one process (DESIGN §4). */
#pragma once

#include <sys/types.h>

#include "fleet/fleet.h"

#define LINES_MAX (2 * LANES_MAX)
/* An opener's line behind each lane's, or one line alone. */
#define LANES_OF(lines) (((lines) + 1) / 2)

/* Fork a worker for this job. Only a copy has a store at the controller's end. *PID and the controller's
 * ends of COUNT socketpairs are the caller's: one; or one a lane, and behind those one a lane for whoever
 * opens its source. What concerns the whole job passes over the first. The worker never returns from here; it ends when it is done, on SIGTERM in order, and when the
 * controller goes. */
int worker_start(pid_t *pid, int *fds, size_t count, enum job_kind job,
    const struct copy_options *options, struct err *e);

/* Test hook, from the environment: GODWIT_TEST_STOP="worker:N" ends the worker by SIGKILL at its Nth
 * ledger step, with what has left it by then; "durable:N" too, when all it wrote is durable;
 * "controller:N" the controller, at its Nth frame. Returns N, 0 where ROLE is not meant.
 * GODWIT_TEST_STREAM=BYTES makes streams of smaller messages, GODWIT_TEST_LANES lets helpers connect also
 * where they do not pay. */
unsigned long worker_stop_step(const char *role);
