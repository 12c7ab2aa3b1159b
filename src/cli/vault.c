/* vault.c - where secrets lie while the program runs.
 * Promises: wiped before it is given back; out of swap where the system lets us, out of core
 * dumps, and zeros in every forked process, so that a worker holds no secret it did not ask for.
 * Does not: obtain secrets. */
#include "cli/vault.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

int vault_open(struct vault *v, struct err *e)
{
	void *data =
	    mmap(NULL, VAULT_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (data == MAP_FAILED)
		return err_set(
		    e, CAUSE_BUG, ERR_RUN, "no memory for a secret: %s", strerror(errno));
	/* each of these may be denied by a limit or an old kernel; the program works without */
	mlock(data, VAULT_SIZE);
	madvise(data, VAULT_SIZE, MADV_DONTDUMP);
	madvise(data, VAULT_SIZE, MADV_WIPEONFORK);
	*v = (struct vault){.data = data};
	return 0;
}

void vault_free(struct vault *v)
{
	if (!v->data)
		return;
	explicit_bzero(v->data, VAULT_SIZE);
	munmap(v->data, VAULT_SIZE);
	*v = (struct vault){0};
}

int vault_keep_line(struct vault *v, const char *where, struct err *e)
{
	char *end = memchr(v->data, '\n', v->len);
	size_t len = end ? (size_t)(end - v->data) : v->len;

	if (!end && v->len == VAULT_SIZE)
		return err_set(e, CAUSE_USAGE, ERR_RUN,
		    "%s holds more than a secret can be long (%d bytes)", where, VAULT_SIZE);
	if (len && v->data[len - 1] == '\r')
		len--;
	explicit_bzero(v->data + len, VAULT_SIZE - len);
	v->len = len;
	if (!len)
		return err_set(e, CAUSE_USAGE, ERR_RUN,
		    "%s gave an empty secret; its first line must be the password or token", where);
	if (memchr(v->data, '\0', len))
		return err_set(
		    e, CAUSE_USAGE, ERR_RUN, "%s gave a secret with a NUL byte in it", where);
	return 0;
}
