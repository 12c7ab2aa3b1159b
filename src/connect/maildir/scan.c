/* scan.c - what lies in new/ and cur/ of the folder in hand. A directory that changes while it is
 * read may hide a file that is renamed (its flags changed), so it is read again until it held still;
 * new/ comes first, since files wander from there to cur/. Promises: a file that is there all the
 * time is found; two files of one id are counted as a clash and never taken for one. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "connect/maildir/maildir.h"

#define ROUNDS 5
#define PUMP_EVERY 4096u

static int64_t nanoseconds(const struct timespec *t)
{
	return (int64_t)t->tv_sec * MAILDIR_SECOND + t->tv_nsec;
}

int maildir_state(struct maildir *m, struct maildir_state *out, struct err *e)
{
	const struct maildir_box *b = &m->box;
	struct statx cur;
	struct stat st;

	*out = (struct maildir_state){0};
	if (statx(b->cur, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &cur))
		return maildir_failed(m, CAUSE_FOLDER_GONE, "cannot look at", "cur", e);
	out->inode = cur.stx_ino;
	if (cur.stx_mask & STATX_BTIME)
		out->born =
		    (uint64_t)(cur.stx_btime.tv_sec * MAILDIR_SECOND + cur.stx_btime.tv_nsec);
	out->cur = cur.stx_mtime.tv_sec * MAILDIR_SECOND + cur.stx_mtime.tv_nsec;
	if (b->new >= 0 && !fstat(b->new, &st))
		out->new = nanoseconds(&st.st_mtim);
	if (!fstatat(b->dir, "dovecot-keywords", &st, 0)) {
		out->words = nanoseconds(&st.st_mtim);
		out->length = st.st_size;
	}
	return 0;
}

bool maildir_state_same(const struct maildir_state *a, const struct maildir_state *b)
{
	return a->inode == b->inode && a->born == b->born && a->cur == b->cur && a->new == b->new &&
	       a->words == b->words && a->length == b->length;
}

/* ---- reading ---- */

static void add_entry(struct maildir_box *b, const struct dirent *d, bool in_new, unsigned round)
{
	struct maildir_name name;
	struct maildir_entry *entry;
	char id[MAILDIR_ID];

	maildir_name_parse(&name, d->d_name);
	if (!name.unique.len)
		return;
	maildir_name_id(id, name.unique);
	if (b->count == b->size) {
		b->size = b->size * 2 + 64;
		b->entries = mem_grow(b->entries, b->size, sizeof(*b->entries));
	}
	entry = &b->entries[b->count++];
	*entry = (struct maildir_entry){.name = arena_strdup(&b->arena, d->d_name),
	    .seconds = name.seconds,
	    .micros = name.micros,
	    .inode = d->d_ino,
	    .in_new = in_new,
	    .round = (uint8_t)round};
	entry->id =
	    view_is(view_make(entry->name, name.unique.len), id) && !entry->name[name.unique.len]
		? entry->name
		: arena_strdup(&b->arena, id);
}

static bool is_message(const struct dirent *d)
{
	return d->d_name[0] != '.' && d->d_type != DT_DIR;
}

/* Take each name of FD, or only count. */
static int read_dir(
    struct maildir *m, int fd, bool in_new, unsigned round, uint64_t *count, struct err *e)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *d;
	unsigned long seen = 0;
	int failed = !dir;

	errno = dir ? 0 : errno;
	while (!failed && (d = readdir(dir))) {
		if (!is_message(d))
			continue;
		if (count)
			++*count;
		else
			add_entry(&m->box, d, in_new, round);
		if (++seen % PUMP_EVERY == 0 && waitset_pump(m->env.waits, e) < 0)
			return closedir(dir), -1;
		errno = 0;
	}
	failed = errno;
	if (dir)
		closedir(dir);
	errno = failed;
	return failed
		   ? maildir_failed(m, CAUSE_FOLDER_GONE, "cannot read", in_new ? "new" : "cur", e)
		   : 0;
}

static int read_both(struct maildir *m, unsigned round, uint64_t *count, struct err *e)
{
	if (m->box.new >= 0 && read_dir(m, m->box.new, true, round, count, e))
		return -1;
	return read_dir(m, m->box.cur, false, round, count, e);
}

int maildir_count(struct maildir *m, uint64_t *out, struct err *e)
{
	*out = 0;
	return read_both(m, 0, out, e);
}

/* ---- making one list of it ---- */

/* One id after the other, the last round first. */
static int by_id_and_round(const void *a, const void *b)
{
	const struct maildir_entry *x = a, *y = b;
	int order = strcmp(x->id, y->id);

	return order ? order : (x->round < y->round) - (x->round > y->round);
}

static int by_order(const void *a, const void *b)
{
	const struct maildir_entry *x = a, *y = b;

	if (x->seconds != y->seconds)
		return x->seconds < y->seconds ? -1 : 1;
	if (x->micros != y->micros)
		return x->micros < y->micros ? -1 : 1;
	return strcmp(x->id, y->id);
}

static int by_id(const void *a, const void *b)
{
	return strcmp(
	    (*(struct maildir_entry *const *)a)->id, (*(struct maildir_entry *const *)b)->id);
}

int maildir_dir_of(const struct maildir *m, const struct maildir_entry *entry)
{
	return entry->in_new ? m->box.new : m->box.cur;
}

static bool is_there(const struct maildir *m, const struct maildir_entry *entry)
{
	struct stat st;

	return !fstatat(maildir_dir_of(m, entry), entry->name, &st, AT_SYMLINK_NOFOLLOW);
}

/* Of each id one entry; what an earlier round saw and the last one did not must still be there. */
static void merge(struct maildir *m, unsigned last)
{
	struct maildir_box *b = &m->box;
	size_t kept = 0;

	qsort(b->entries, b->count, sizeof(*b->entries), by_id_and_round);
	b->clashes = 0;
	for (size_t i = 0; i < b->count; i++) {
		const struct maildir_entry *entry = &b->entries[i],
					   *before = kept ? &b->entries[kept - 1] : NULL;

		if (before && !strcmp(entry->id, before->id)) {
			b->clashes +=
			    entry->round == before->round && entry->inode != before->inode;
			continue;
		}
		if (entry->round == last || is_there(m, entry))
			b->entries[kept++] = *entry;
	}
	b->count = kept;
	qsort(b->entries, b->count, sizeof(*b->entries), by_order);
	b->by_id = mem_grow(b->by_id, b->count, sizeof(struct maildir_entry *));
	for (size_t i = 0; i < b->count; i++)
		b->by_id[i] = &b->entries[i];
	qsort(b->by_id, b->count, sizeof(struct maildir_entry *), by_id);
}

int maildir_scan(struct maildir *m, struct err *e)
{
	struct maildir_box *b = &m->box;
	struct maildir_state before, after;
	unsigned round = 0;

	b->scanned = false;
	b->count = 0;
	arena_clear(&b->arena);
	if (maildir_state(m, &before, e))
		return -1;
	b->scan = before;
	for (;; round++) {
		if (read_both(m, round, NULL, e) || maildir_state(m, &after, e))
			return -1;
		b->torn = !maildir_state_same(&before, &after);
		if (!b->torn || round + 1 == ROUNDS)
			break;
		before = after;
	}
	if (b->count || b->by_id)
		merge(m, round);
	b->scanned = true;
	return 0;
}

struct maildir_entry *maildir_find(struct maildir *m, struct view id)
{
	char text[MAILDIR_ID];
	struct maildir_entry key = {.id = text}, *at = &key, **found;

	if (id.len >= sizeof(text) || memchr(id.data, '\0', id.len))
		return NULL;
	memcpy(text, id.data, id.len);
	text[id.len] = '\0';
	found = m->box.count ? bsearch(&at, m->box.by_id, m->box.count,
				   sizeof(struct maildir_entry *), by_id)
			     : NULL;
	return found ? *found : NULL;
}

int maildir_look(struct maildir *m, struct view id, struct maildir_entry **out, struct err *e)
{
	struct maildir_state now;

	if (m->box.scanned && (*out = maildir_find(m, id)) && is_there(m, *out))
		return 0;
	*out = NULL;
	if (maildir_state(m, &now, e))
		return -1;
	if (m->box.scanned && maildir_state_same(&now, &m->box.scan) && !m->box.torn)
		return 0;
	if (maildir_scan(m, e))
		return -1;
	*out = maildir_find(m, id);
	return 0;
}
