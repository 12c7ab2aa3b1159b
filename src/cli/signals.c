/* signals.c - the stop bell, an eventfd that a signal handler rings. Every wait of the program
 * watches it, which is how Ctrl-C gets everywhere.
 * Promises: the first signal only asks, the second quits, even where the program hangs. Signals
 * within 300 ms of the first are the same wish: timeout(1) signals its child twice, and so do
 * shells. SIGHUP never quits at once: a closing terminal sends it as often as it likes.
 * Does not: print. A handler can reach nothing but static memory, hence the one static below. */
#include "cli/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define SAME_WISH_MS 300

static struct {
	int fd;
	volatile sig_atomic_t came;
	volatile int64_t first_ms;
} bell = {.fd = -1};

static const int asking[] = {SIGINT, SIGTERM, SIGHUP};

/* Not clock_ms: this one is allowed in a handler. */
static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void signals_ring(void)
{
	ssize_t ignored = write(bell.fd, &(uint64_t){1}, sizeof(uint64_t));
	(void)ignored;
}

static void on_signal(int number)
{
	int saved = errno;

	if (!bell.came) {
		bell.came = 1;
		bell.first_ms = now_ms();
		signals_ring();
	} else if (number != SIGHUP && now_ms() - bell.first_ms >= SAME_WISH_MS) {
		_exit(130);
	}
	errno = saved;
}

int signals_open(struct err *e)
{
	struct sigaction ask = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct sigaction ignore = {.sa_handler = SIG_IGN}, old;

	assert(bell.fd < 0);
	bell.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (bell.fd < 0) {
		err_set(e, CAUSE_BUG, ERR_RUN, "cannot make an eventfd: %s", strerror(errno));
		return -1;
	}
	bell.came = 0;
	sigfillset(&ask.sa_mask);
	for (size_t i = 0; i < COUNT_OF(asking); i++) {
		/* what nohup(1) or the shell had ignored stays ignored */
		if (sigaction(asking[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaction(asking[i], &ask, NULL);
	}
	sigaction(SIGPIPE, &ignore, NULL);
	return bell.fd;
}

bool signals_came(void)
{
	return bell.came;
}

void signals_close(void)
{
	struct sigaction plain = {.sa_handler = SIG_DFL}, old;

	if (bell.fd < 0)
		return;
	for (size_t i = 0; i < COUNT_OF(asking); i++)
		if (sigaction(asking[i], NULL, &old) == 0 && old.sa_handler == on_signal)
			sigaction(asking[i], &plain, NULL);
	close(bell.fd);
	bell.fd = -1;
}
