/* originals.c - files of messages as the source had them. Called by the engine through flow.h's keep, before
 * the repaired message is put. Promises: a file with its name is whole, whatever dies; nothing is
 * overwritten or followed. Does not: remove anything but its own unfinished file. */
#include "fleet/originals.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int originals_open(int *fd, const char *dir, struct err *e)
{
	if (mkdir(dir, 0700) && errno != EEXIST)
		return err_set(e, CAUSE_USAGE, ERR_RUN,
		    "cannot make the directory %s for --keep-originals: %s", dir, strerror(errno));
	*fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*fd < 0)
		return err_set(e, CAUSE_USAGE, ERR_RUN,
		    "cannot open the directory %s for --keep-originals: %s", dir, strerror(errno));
	return 0;
}

static int write_all(int fd, struct view v)
{
	while (v.len) {
		ssize_t n = write(fd, v.data, v.len);

		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0)
			v = view_make(v.data + n, v.len - (size_t)n);
	}
	return 0;
}

static bool is_there(int dir, const char *name, size_t len)
{
	struct stat st;

	return !fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode) &&
	       (size_t)st.st_size == len;
}

/* Under another name first, which an interrupted run may have left. */
static int write_file(int dir, const char *name, struct view bytes)
{
	char unfinished[48];
	int fd, failed;

	snprintf(unfinished, sizeof(unfinished), ".%s.new", name);
	if (unlinkat(dir, unfinished, 0) && errno != ENOENT)
		return -1;
	fd = openat(dir, unfinished, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	failed = write_all(fd, bytes) || fsync(fd);
	failed = close(fd) || failed;
	failed = failed || renameat(dir, unfinished, dir, name) || fsync(dir);
	if (failed) {
		int saved = errno;

		unlinkat(dir, unfinished, 0);
		errno = saved;
	}
	return failed ? -1 : 0;
}

int originals_keep(int fd, struct view bytes, char name[static 40], struct err *e)
{
	unsigned char digest[16];
	char hex[33];

	crypto_generichash(
	    digest, sizeof(digest), (const unsigned char *)bytes.data, bytes.len, NULL, 0);
	hex_encode(hex, digest, sizeof(digest));
	snprintf(name, 40, "%s.eml", hex);
	if (is_there(fd, name, bytes.len) || !write_file(fd, name, bytes))
		return 0;
	return err_set(e, CAUSE_STATE, ERR_ITEM,
	    "not repaired, because the original could not be kept as %s: %s", name,
	    strerror(errno));
}
