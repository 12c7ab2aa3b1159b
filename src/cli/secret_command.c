/* secret_command.c - runs the program that gives a password or token and takes its first line.
 * Promises: it cannot hang us (time limit, stop bell), inherits none of our connections, and only
 * an exit status of 0 counts. A helper it leaves in the background (an agent) may live on.
 * Does not: keep the answer longer than the caller's vault does. */
#include "cli/secret_command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

struct running {
	pid_t pid; /* its process group too; 0 = reaped */
	int out;   /* reading end of its standard output, -1 at the end */
	int pidfd;
	int status;
};

static void running_end(struct running *r)
{
	if (r->pid) {
		kill(-r->pid, SIGKILL);
		waitpid(r->pid, NULL, 0);
	}
	if (r->out >= 0)
		close(r->out);
	if (r->pidfd >= 0)
		close(r->pidfd);
}

/* A fresh process group, signals as a program expects them. */
static void fill_attributes(posix_spawnattr_t *a)
{
	sigset_t none, all;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(a, &none);
	posix_spawnattr_setsigdefault(a, &all);
	posix_spawnattr_setpgroup(a, 0);
	posix_spawnattr_setflags(
	    a, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int spawn(struct running *r, const char *command, int out)
{
	char shell[] = "sh", option[] = "-c", *text = mem_strdup(command);
	char *argv[] = {shell, option, text, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int failed;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out, 1);
	posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	posix_spawnattr_init(&attributes);
	fill_attributes(&attributes);
	failed = posix_spawn(&r->pid, "/bin/sh", &actions, &attributes, argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	free(text);
	if (failed)
		r->pid = 0;
	return failed;
}

static int start(struct running *r, const char *command)
{
	int ends[2], failed;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return errno;
	r->out = ends[0];
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	failed = spawn(r, command, ends[1]);
	close(ends[1]);
	if (failed)
		return failed;
	r->pidfd = pidfd_open(r->pid, 0);
	return r->pidfd < 0 ? errno : 0;
}

/* Take what is there; what does not fit is dropped (only the first line counts). */
static void drain(struct running *r, struct vault *v)
{
	char spill[512];

	while (r->out >= 0) {
		bool room = v->len < VAULT_SIZE;
		ssize_t n = room ? read(r->out, v->data + v->len, VAULT_SIZE - v->len)
				 : read(r->out, spill, sizeof(spill));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			close(r->out);
			r->out = -1;
		} else if (room) {
			v->len += (size_t)n;
		} else {
			explicit_bzero(spill, sizeof(spill));
		}
	}
}

static int fail_login(struct err *e, const char *what)
{
	return err_set(e, CAUSE_LOGIN, ERR_MAILBOX, "the password command %s", what);
}

/* Until the shell itself has ended: whoever it left behind may keep the pipe open for ever. */
static int follow(struct running *r, int stop_fd, int64_t deadline, struct vault *v, struct err *e)
{
	for (;;) {
		struct pollfd fds[] = {{.fd = r->pidfd, .events = POLLIN},
		    {.fd = r->out, .events = POLLIN}, {.fd = stop_fd, .events = POLLIN}};
		int64_t left = deadline - clock_ms();

		if (left <= 0)
			return fail_login(e, "did not end in time and was killed");
		if (poll(fds, COUNT_OF(fds), (int)left) < 0)
			continue; /* EINTR: look again */
		if (fds[2].revents)
			return err_stopped(e);
		if (fds[1].revents)
			drain(r, v);
		if (!fds[0].revents)
			continue;
		drain(r, v);
		waitpid(r->pid, &r->status, 0);
		r->pid = 0;
		return 0;
	}
}

static int judge(int status, struct vault *v, struct err *e)
{
	char what[80];

	if (WIFSIGNALED(status))
		snprintf(what, sizeof(what), "was ended by signal %d", WTERMSIG(status));
	else
		snprintf(what, sizeof(what), "failed with exit status %d", WEXITSTATUS(status));
	if (status)
		return fail_login(e, what);
	if (vault_keep_line(v, "the password command", e) == 0)
		return 0;
	if (e) {
		e->cause = CAUSE_LOGIN;
		e->scope = ERR_MAILBOX;
	}
	return -1;
}

int secret_command_run(
    const char *command, int stop_fd, int timeout_ms, struct vault *v, struct err *e)
{
	AUTO(running_end) struct running r = {.out = -1, .pidfd = -1};
	int failed = start(&r, command);

	v->len = 0;
	if (failed) {
		fail_login(e, "could not be started");
		err_detail(e, "%s", strerror(failed));
		return -1;
	}
	if (follow(&r, stop_fd, clock_ms() + timeout_ms, v, e) < 0)
		return -1;
	return judge(r.status, v, e);
}
