/* originals.h - a directory that keeps messages as the source had them, where other bytes are stored for them
 * (--keep-originals). For the worker, which has the bytes: it opens the directory before it hears the first
 * byte of a server, and touches nothing outside of it. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

/* Opens DIR, made with mode 0700 where missing. -1: cause usage. The caller closes *FD. */
int originals_open(int *fd, const char *dir, struct err *e);
/* Durable when it answers 0. NAME (40 bytes): digest and ".eml"; the same bytes have the same name and are
 * kept once. Mode 0600. -1: cause state, scope item. */
int originals_keep(int fd, struct view bytes, char name[static 40], struct err *e);
