/* signals.h - the stop bell: how the user, the system or a closed terminal asks for an end. */
#pragma once

#include "base/error.h"

/* From now on SIGINT, SIGTERM and SIGHUP ring the bell; a second SIGINT or SIGTERM ends the process
 * at once with exit code 130. Those that were ignored already (nohup) stay so; SIGPIPE is
 * ignored. Returns the bell: readable once it rang, for
 * good (nobody reads from it). One bell a process. -1: *e is filled. */
int signals_open(struct err *e);
/* Ring it from inside (nobody reads our output any more). */
void signals_ring(void);
/* A signal has come (not: signals_ring). */
bool signals_came(void);
/* The signals end the process again, as by default; the bell is closed. */
void signals_close(void);
