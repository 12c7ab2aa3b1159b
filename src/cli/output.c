/* output.c - bytes out of the program: to the terminal, a pipe, the report file.
 * Promises: all or an error; interrupted and half-done writes go on, also where somebody made our
 * standard output non-blocking. Does not: buffer. */
#include "cli/output.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

int output_write(int fd, struct view v)
{
	while (v.len) {
		ssize_t n = write(fd, v.data, v.len);
		if (n >= 0) {
			v = view_make(v.data + n, v.len - (size_t)n);
		} else if (errno == EAGAIN) {
			struct pollfd room = {.fd = fd, .events = POLLOUT};
			poll(&room, 1, 1000);
		} else if (errno != EINTR) {
			return -1;
		}
	}
	return 0;
}
