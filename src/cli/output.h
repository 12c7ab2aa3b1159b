/* output.h - bytes out of the program. */
#pragma once

#include "base/buf.h"

/* Write all of V to FD, waiting where it must. 0, or -1 with errno (EPIPE: nobody reads). */
int output_write(int fd, struct view v);
