/* session.c - a Maildir opened, and the folder in hand: descriptors of its directories, so that a
 * path is looked up once and a folder that was replaced meanwhile is noticed. Below the connector's
 * other rooms. Does not: make anything (folders.c), read directories (scan.c). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "connect/maildir/maildir.h"

#define RAW_MAX 8000u

/* ---- windows lent ---- */

void maildir_queue_add(struct maildir_queue *q, struct window *w)
{
	w->next = NULL;
	*q->last = w;
	q->last = &w->next;
}

struct window *maildir_queue_pop(struct maildir_queue *q)
{
	struct window *w = q->first;

	if (w && !(q->first = w->next))
		q->last = &q->first;
	return w;
}

/* ---- errors ---- */

bool maildir_is_full(int error)
{
	return error == ENOSPC || error == EDQUOT;
}

int maildir_failed(
    const struct maildir *m, enum cause cause, const char *what, const char *name, struct err *e)
{
	int error = errno;
	bool full = maildir_is_full(error);
	const struct buf *raw = &m->box.raw;
	bool below = raw->len && strcmp(raw->data, MAILDIR_ROOT) != 0;

	err_set(e, full ? CAUSE_QUOTA : cause, full ? ERR_MAILBOX : ERR_FOLDER, "%s %s%s%s%s%s: %s",
	    what, m->at->path, below ? "/" : "", below ? raw->data : "", *name ? "/" : "", name,
	    strerror(error));
	if (e)
		e->side = m->at->side;
	return -1;
}

int maildir_write(int fd, struct view bytes)
{
	while (bytes.len) {
		ssize_t n = write(fd, bytes.data, bytes.len);

		if (n < 0 && errno != EINTR)
			return -1;
		n = n < 0 ? 0 : n;
		bytes = view_make(bytes.data + n, bytes.len - (size_t)n);
	}
	return 0;
}

void maildir_give_away(int fd, const struct stat *owner)
{
	struct stat st;

	if (fstat(fd, &st))
		return;
	fchmod(fd, owner->st_mode & (S_ISDIR(st.st_mode) ? 0777 : 0666));
	if (st.st_uid != owner->st_uid && !geteuid() && fchown(fd, owner->st_uid, owner->st_gid))
		log_debug("cannot give a file to user %u", (unsigned)owner->st_uid);
}

/* ---- the folder in hand ---- */

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void reset(struct maildir_box *b)
{
	*b = (struct maildir_box){.dir = -1, .cur = -1, .new = -1, .tmp = -1};
	buf_init(&b->raw, RAW_MAX);
}

void maildir_leave(struct maildir *m)
{
	struct maildir_box *b = &m->box;

	close_fd(&b->dir);
	close_fd(&b->cur);
	close_fd(&b->new);
	close_fd(&b->tmp);
	buf_free(&b->raw);
	free(b->entries);
	free(b->by_id);
	free(b->keys);
	arena_free(&b->key_arena);
	arena_free(&b->arena);
	arena_free(&b->keywords.arena);
	reset(b);
}

static int open_below(int dir, const char *name)
{
	return openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
}

/* Is what we hold still what lies under its name? */
static bool is_same_folder(const struct maildir *m, struct view raw)
{
	const struct maildir_box *b = &m->box;
	struct stat held, there;
	int dir, found;

	if (b->cur < 0 || !view_eq(buf_view(&b->raw), raw))
		return false;
	dir = openat(m->root, b->raw.data, O_PATH | O_DIRECTORY | O_CLOEXEC);
	found = dir >= 0 && !fstatat(dir, "cur", &there, AT_SYMLINK_NOFOLLOW) &&
		!fstat(b->cur, &held) && held.st_ino == there.st_ino && held.st_dev == there.st_dev;
	if (found && b->new < 0)
		found = fstatat(dir, "new", &there, AT_SYMLINK_NOFOLLOW) != 0;
	close_fd(&dir);
	return found;
}

/* new/ may be missing at a source: then nothing is new. */
static int open_folder(struct maildir *m)
{
	struct maildir_box *b = &m->box;

	b->dir = openat(m->root, b->raw.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b->dir < 0 || fstat(b->dir, &b->owner) || (b->cur = open_below(b->dir, "cur")) < 0)
		return -1;
	b->new = open_below(b->dir, "new");
	if (b->new < 0 && errno != ENOENT)
		return -1;
	b->tmp = open_below(b->dir, "tmp");
	return 0;
}

int maildir_enter(struct maildir *m, struct view raw, struct err *e)
{
	m->stats.commands++;
	if (is_same_folder(m, raw))
		return 0;
	maildir_leave(m);
	if (m->root < 0 || memchr(raw.data, '\0', raw.len) || buf_add_view(&m->box.raw, raw)) {
		errno = ENOENT;
		return maildir_failed(m, CAUSE_FOLDER_GONE, "there is no", "", e);
	}
	if (!open_folder(m))
		return 0;
	maildir_failed(m, CAUSE_FOLDER_GONE, "cannot open the folder", "", e);
	maildir_leave(m);
	return -1;
}

/* ---- the session ---- */

static int refuse(const struct maildir *m, const char *why, struct err *e)
{
	err_set(e, CAUSE_USAGE, ERR_RUN, "%s: the Maildir %s %s",
	    m->at->side == ERR_DESTINATION ? "destination" : "source", m->at->path, why);
	if (e)
		e->side = m->at->side;
	return -1;
}

/* Or one that we began to make and did not end. */
static bool is_empty_directory(int fd)
{
	static const char *const ours[] = {".", "..", "tmp", "new", "cur"};
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *entry;
	bool known = dir != NULL;

	while (known && (entry = readdir(dir))) {
		known = false;
		for (size_t i = 0; i < COUNT_OF(ours); i++)
			known = known || !strcmp(entry->d_name, ours[i]);
	}
	if (dir)
		closedir(dir);
	return known;
}

/* What is there, and what may be done with it. */
static int look_around(struct maildir *m, struct err *e)
{
	enum endpoint_layout found;
	struct stat st;

	m->root = open(m->at->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->root < 0 && (errno != ENOENT || m->at->side != ERR_DESTINATION))
		return refuse(m,
		    errno == ENOENT    ? "is not there"
		    : errno == ENOTDIR ? "is no directory"
		    : errno == EACCES  ? "may not be read by this user"
				       : "cannot be opened",
		    e);
	m->unmade = m->root < 0;
	if (m->unmade)
		return 0;
	if (maildir_detect(m, &found, e))
		return -1;
	m->unmade = !found && (fstatat(m->root, "cur", &st, 0) || !S_ISDIR(st.st_mode));
	if (m->at->side != ERR_DESTINATION && m->unmade)
		return refuse(m, "is no Maildir: it has neither \"cur\" nor folders", e);
	if (m->unmade && !is_empty_directory(m->root))
		return refuse(m,
		    "is no Maildir, and not empty; name a new or empty directory, or a Maildir", e);
	if (m->layout == LAYOUT_DETECT)
		m->layout = found;
	return 0;
}

int maildir_open(
    struct session **s, const struct endpoint *at, const struct connect_env *env, struct err *e)
{
	struct maildir *m = NEW(struct maildir);
	struct session *session = &m->session;

	m->at = at;
	m->env = *env;
	m->layout = at->layout;
	m->root = -1;
	m->wanted.last = &m->wanted.first;
	m->put.last = &m->put.first;
	reset(&m->box);
	if (look_around(m, e)) {
		maildir_close(&session, NULL);
		return -1;
	}
	if (m->layout == LAYOUT_DETECT)
		m->layout = LAYOUT_MAILDIRPP;
	m->delimiter = m->layout == LAYOUT_FS ? '/' : '.';
	snprintf(m->software, sizeof(m->software), "Maildir (%s)",
	    m->layout == LAYOUT_FS ? "fs" : "maildir++");
	session->caps = (struct session_caps){.ids_told = true,
	    .streams = true,
	    .moves = true,
	    .names.delimiter = m->delimiter,
	    .software = m->software};
	log_debug("%s: %s", at->path, m->software);
	*s = session;
	return 0;
}

void maildir_close(struct session **s, struct session_stats *out)
{
	struct maildir *m = MAILDIR(*s);

	*s = NULL;
	if (!m)
		return;
	assert(!m->wanted.first && !m->put.first);
	if (out)
		*out = m->stats;
	maildir_reader_close(&m->stream);
	maildir_leave(m);
	close_fd(&m->root);
	arena_free(&m->answers);
	free(m);
}
