/* lock.c - one controller a destination account. Who holds it stands in the lock file, or, for another
 * state directory, is told by the kernel (SO_PEERCRED of the listening socket) and /proc.
 * Promises: a lock of a dead process is no lock. */
#include "fleet/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"

struct lock {
	int file, name;
	char path[4096];
};

static void digest_name(char out[33], const char *identity)
{
	unsigned char digest[16];

	crypto_generichash(
	    digest, sizeof(digest), (const unsigned char *)identity, strlen(identity), NULL, 0);
	hex_encode(out, digest, sizeof(digest));
}

static int held(struct err *e, const char *identity, const char *holder)
{
	return err_set(e, CAUSE_LOCKED, ERR_RUN, "another godwit is copying to %s: %s", identity,
	    holder[0] ? holder : "it did not say who it is");
}

static int take_file(struct lock *l, const char *identity, const char *self, struct err *e)
{
	char holder[300] = "";
	ssize_t n;

	l->file = open(l->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (l->file < 0)
		return err_set(e, CAUSE_STATE, ERR_RUN, "cannot write the lock file %s: %s",
		    l->path, strerror(errno));
	if (flock(l->file, LOCK_EX | LOCK_NB)) {
		n = read(l->file, holder, sizeof(holder) - 1);
		holder[n < 0 ? 0 : n] = '\0';
		return held(e, identity, holder);
	}
	if (ftruncate(l->file, 0) || pwrite(l->file, self, strlen(self), 0) < 0)
		return err_set(e, CAUSE_STATE, ERR_RUN, "cannot write the lock file %s: %s",
		    l->path, strerror(errno));
	return 0;
}

static int abstract_socket(struct sockaddr_un *at, socklen_t *len, const char *identity)
{
	char digest[33];
	int n;

	digest_name(digest, identity);
	*at = (struct sockaddr_un){.sun_family = AF_UNIX};
	n = snprintf(at->sun_path + 1, sizeof(at->sun_path) - 1, "godwit/%s", digest);
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

/* Its command line holds no secrets: those are not taken as arguments. */
static void describe_process(pid_t pid, char *out, size_t size)
{
	char path[64], line[200] = "";
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, line, sizeof(line) - 1);
		close(fd);
	}
	for (ssize_t i = 0; i + 1 < n; i++)
		line[i] = line[i] ? line[i] : ' ';
	snprintf(out, size, "process %d, %s", (int)pid, line);
}

static void find_holder(const struct sockaddr_un *at, socklen_t len, char *out, size_t size)
{
	struct ucred who;
	socklen_t who_len = sizeof(who);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	out[0] = '\0';
	if (fd < 0)
		return;
	if (!connect(fd, (const struct sockaddr *)at, len) &&
	    !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &who_len))
		describe_process(who.pid, out, size);
	close(fd);
}

static int take_name(struct lock *l, const char *identity, struct err *e)
{
	struct sockaddr_un at;
	socklen_t len;
	char holder[300];

	l->name = abstract_socket(&at, &len, identity);
	if (l->name < 0)
		return err_set(
		    e, CAUSE_STATE, ERR_RUN, "no socket for the lock: %s", strerror(errno));
	if (!bind(l->name, (struct sockaddr *)&at, len) && !listen(l->name, 1))
		return 0;
	if (errno != EADDRINUSE)
		return err_set(
		    e, CAUSE_STATE, ERR_RUN, "cannot take the lock: %s", strerror(errno));
	find_holder(&at, len, holder, sizeof(holder));
	return held(e, identity, holder);
}

int lock_take(
    struct lock **out, const char *state_dir, const char *identity, const char *self, struct err *e)
{
	struct lock *l = NEW(struct lock);
	char digest[33];

	l->file = l->name = -1;
	digest_name(digest, identity);
	snprintf(l->path, sizeof(l->path), "%s/lock-%s", state_dir, digest);
	if (take_file(l, identity, self, e) || take_name(l, identity, e)) {
		lock_release(&l);
		return -1;
	}
	*out = l;
	return 0;
}

/* The file stays: removing it would let two take two different files of one name. */
void lock_release(struct lock **lock)
{
	struct lock *old = *lock;

	*lock = NULL;
	if (!old)
		return;
	if (old->name >= 0)
		close(old->name);
	if (old->file >= 0)
		close(old->file);
	free(old);
}
