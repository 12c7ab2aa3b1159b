/* prompt.c - asks for a password on a terminal.
 * Promises: the answer is not shown, and the terminal is left as it was found, also when a signal
 * ends the question (the stop bell is watched; keys that would stop or kill us without giving us
 * the chance, Ctrl-Z and Ctrl-\, are off meanwhile). Does not: choose the terminal. */
#include "cli/prompt.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli/output.h"

struct quiet_terminal {
	int fd;
	bool changed;
	struct termios saved;
};

static void terminal_restore(struct quiet_terminal *t)
{
	if (t->changed)
		tcsetattr(t->fd, TCSAFLUSH, &t->saved);
	t->changed = false;
}

static int terminal_hush(struct quiet_terminal *t)
{
	struct termios quiet;

	if (tcgetattr(t->fd, &t->saved) < 0)
		return -1;
	quiet = t->saved;
	quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
	quiet.c_lflag |= ICANON | ISIG;
	quiet.c_cc[VSUSP] = _POSIX_VDISABLE;
	quiet.c_cc[VQUIT] = _POSIX_VDISABLE;
	t->changed = tcsetattr(t->fd, TCSAFLUSH, &quiet) == 0;
	return t->changed ? 0 : -1;
}

/* One line of a terminal in canonical mode comes in one read. */
static int read_line(int tty, int stop_fd, struct vault *v, struct err *e)
{
	struct pollfd fds[] = {{.fd = tty, .events = POLLIN}, {.fd = stop_fd, .events = POLLIN}};
	ssize_t n;

	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return err_set(e, CAUSE_BUG, ERR_RUN, "poll: %s", strerror(errno));
		if (fds[1].revents)
			return err_stopped(e);
		n = fds[0].revents ? read(tty, v->data, VAULT_SIZE) : -1;
		if (n >= 0)
			break;
		if (fds[0].revents && errno != EINTR && errno != EAGAIN)
			return err_set(e, CAUSE_USAGE, ERR_RUN,
			    "cannot read the password from the terminal: %s", strerror(errno));
	}
	v->len = (size_t)n;
	return vault_keep_line(v, "the terminal", e);
}

int prompt_ask(int tty, int stop_fd, const char *question, struct vault *v, struct err *e)
{
	AUTO(terminal_restore) struct quiet_terminal terminal = {.fd = tty};
	int result;

	if (terminal_hush(&terminal) < 0)
		return err_set(e, CAUSE_USAGE, ERR_RUN,
		    "cannot turn off the terminal's echo to ask for a password: %s",
		    strerror(errno));
	output_write(tty, view_of(question));
	result = read_line(tty, stop_fd, v, e);
	output_write(tty, view_of("\n"));
	return result;
}
