/* lock.h - one controller a destination account (DESIGN §4). Two locks, because each sees what the
 * other does not: a file in the state directory (also from containers that share it), and a name in
 * this machine's abstract sockets (also from another state directory). Both go with the process. */
#pragma once

#include "base/error.h"

struct lock;

/* IDENTITY: whose account (endpoint identity). SELF: one line that tells others who holds it.
 * Errors: cause locked, naming the holder by what it said of itself; cause state. */
int lock_take(struct lock **out, const char *state_dir, const char *identity, const char *self,
    struct err *e);
void lock_release(struct lock **lock);
