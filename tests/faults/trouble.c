/* trouble.c - preloaded into godwit by the fault tests: one call of the system goes wrong.
 *
 *     GODWIT_TROUBLE=disk:N:HOW:DIR     the Nth change of what lies below DIR: a file written, synced,
 *                                       trimmed, made, renamed, linked or taken away
 *     GODWIT_TROUBLE=memory:N:HOW:      the Nth allocation of a forked process, which is the worker
 *
 * HOW: "once", "on" (this and all behind it fail), "kill" (SIGKILL in its place), "killed" (behind it).
 * GODWIT_TROUBLE_ERROR is the errno, as a number. When it strikes the file GODWIT_TROUBLE_MARK is
 * made, so that the test knows. Does not: count reads, or what is written through a mapping. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static struct {
	bool disk, memory, on, kill, killed;
	bool in_worker;
	unsigned long at, count;
	int error;
	char below[PATH_MAX];
	const char *mark;
} trouble;

static void enter_child(void)
{
	trouble.in_worker = true;
	if (trouble.memory)
		trouble.count = 0;
}

__attribute__((constructor)) static void read_wish(void)
{
	const char *wish = getenv("GODWIT_TROUBLE"), *error = getenv("GODWIT_TROUBLE_ERROR");
	char kind[8] = "", how[8] = "";

	if (!wish ||
	    sscanf(wish, "%7[^:]:%lu:%7[^:]:%4095s", kind, &trouble.at, how, trouble.below) < 3)
		return;
	trouble.on = !strcmp(how, "on");
	trouble.kill = !strcmp(how, "kill");
	trouble.killed = !strcmp(how, "killed");
	trouble.error = error ? atoi(error) : EIO;
	trouble.mark = getenv("GODWIT_TROUBLE_MARK");
	pthread_atfork(NULL, NULL, enter_child);
	trouble.disk = !strcmp(kind, "disk");
	trouble.memory = !strcmp(kind, "memory");
}

static void leave_mark(void)
{
	long fd = trouble.mark ? syscall(SYS_open, trouble.mark, O_CREAT | O_WRONLY, 0600) : -1;

	if (fd >= 0)
		syscall(SYS_close, fd);
}

/* Does this call go wrong? */
static bool strikes(void)
{
	trouble.count++;
	if (trouble.count < trouble.at || (trouble.count > trouble.at && !trouble.on))
		return false;
	leave_mark();
	if (trouble.kill)
		kill(getpid(), SIGKILL);
	return true;
}

/* ---- the disk ---- */

static bool is_below(const char *path)
{
	size_t len = strlen(trouble.below);

	return !strncmp(path, trouble.below, len) && (path[len] == '/' || !path[len]);
}

static bool fd_is_below(int fd)
{
	char link[64], path[PATH_MAX];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	path[len > 0 ? len : 0] = '\0';
	return is_below(path);
}

static bool name_is_below(int dir, const char *name)
{
	return name[0] == '/' ? is_below(name) : dir != AT_FDCWD && fd_is_below(dir);
}

/* CALL in place of the system's, where it is OURS: failing, or ending the process behind it. */
#define CHANGE(type, ours, call)                                                                   \
	do {                                                                                       \
		bool now = trouble.disk && (ours) && strikes();                                    \
		type result;                                                                       \
		if (now && !trouble.killed) {                                                      \
			errno = trouble.error;                                                     \
			return -1;                                                                 \
		}                                                                                  \
		result = (type)(call);                                                             \
		if (now)                                                                           \
			kill(getpid(), SIGKILL);                                                   \
		return result;                                                                     \
	} while (0)

ssize_t write(int fd, const void *data, size_t len)
{
	CHANGE(ssize_t, fd_is_below(fd), syscall(SYS_write, fd, data, len));
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
	CHANGE(ssize_t, fd_is_below(fd), syscall(SYS_pwrite64, fd, data, len, at));
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at)
{
	CHANGE(ssize_t, fd_is_below(fd), syscall(SYS_pwrite64, fd, data, len, at));
}

int fsync(int fd)
{
	CHANGE(int, fd_is_below(fd), syscall(SYS_fsync, fd));
}

int fdatasync(int fd)
{
	CHANGE(int, fd_is_below(fd), syscall(SYS_fdatasync, fd));
}

int ftruncate(int fd, off_t size)
{
	CHANGE(int, fd_is_below(fd), syscall(SYS_ftruncate, fd, size));
}

int ftruncate64(int fd, off64_t size)
{
	CHANGE(int, fd_is_below(fd), syscall(SYS_ftruncate, fd, size));
}

int renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
	CHANGE(int, name_is_below(to, new), syscall(SYS_renameat2, from, old, to, new, flags));
}

int renameat(int from, const char *old, int to, const char *new)
{
	return renameat2(from, old, to, new, 0);
}

int rename(const char *old, const char *new)
{
	return renameat2(AT_FDCWD, old, AT_FDCWD, new, 0);
}

int linkat(int from, const char *old, int to, const char *new, int flags)
{
	CHANGE(int, name_is_below(to, new), syscall(SYS_linkat, from, old, to, new, flags));
}

int unlinkat(int dir, const char *name, int flags)
{
	CHANGE(int, name_is_below(dir, name), syscall(SYS_unlinkat, dir, name, flags));
}

int unlink(const char *name)
{
	return unlinkat(AT_FDCWD, name, 0);
}

int mkdirat(int dir, const char *name, mode_t mode)
{
	CHANGE(int, name_is_below(dir, name), syscall(SYS_mkdirat, dir, name, mode));
}

int mkdir(const char *name, mode_t mode)
{
	return mkdirat(AT_FDCWD, name, mode);
}

static int make_file(int dir, const char *name, int flags, mode_t mode)
{
	CHANGE(int, (flags & O_CREAT) && name_is_below(dir, name),
	    syscall(SYS_openat, dir, name, flags, mode));
}

static mode_t mode_of(int flags, va_list args)
{
	return flags & (O_CREAT | __O_TMPFILE) ? va_arg(args, mode_t) : 0;
}

#define OPEN(dir)                                                                                  \
	do {                                                                                       \
		va_list args;                                                                      \
		mode_t mode;                                                                       \
		va_start(args, flags);                                                             \
		mode = mode_of(flags, args);                                                       \
		va_end(args);                                                                      \
		return make_file(dir, name, flags, mode);                                          \
	} while (0)

int open(const char *name, int flags, ...)
{
	OPEN(AT_FDCWD);
}

int open64(const char *name, int flags, ...)
{
	OPEN(AT_FDCWD);
}

int openat(int dir, const char *name, int flags, ...)
{
	OPEN(dir);
}

int openat64(int dir, const char *name, int flags, ...)
{
	OPEN(dir);
}

/* ---- memory ---- */

static bool is_exhausted(void)
{
	if (!trouble.memory || !trouble.in_worker || !strikes())
		return false;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	return is_exhausted() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return is_exhausted() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	return is_exhausted() ? NULL : __libc_realloc(old, size);
}

void *reallocarray(void *old, size_t count, size_t size)
{
	if (size && count > SIZE_MAX / size)
		return NULL;
	return is_exhausted() ? NULL : __libc_realloc(old, count * size);
}
