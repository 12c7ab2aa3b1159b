/* read.c - messages out of files: want only notes, next reads. Large ones are read twice, once to know
 * their size on the wire, once to give them. The folder is never changed: what lies in new/ stays
 * there. A file that was renamed meanwhile is found again by its id. Links, pipes and the like are
 * not read, and named. Does not: interpret a message. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "connect/maildir/maildir.h"

/* ---- one file ---- */

static int stream_read(struct item_stream *s, struct view *out, struct err *e);

int maildir_reader_open(
    struct maildir_reader **out, struct maildir *m, const struct maildir_entry *entry)
{
	int fd = openat(maildir_dir_of(m, entry), entry->name,
	    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct maildir_reader *r;
	struct maildir_name name;
	struct stat st;

	if (fd < 0)
		return 1;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		errno = EINVAL;
		return 1;
	}
	maildir_name_parse(&name, entry->name);
	r = NEW(struct maildir_reader);
	r->stream.read = stream_read;
	r->m = m;
	r->fd = fd;
	r->raw = name.raw;
	r->st = st;
	buf_init(&r->wire, 2 * MAILDIR_PIECE);
	*out = r;
	return 0;
}

void maildir_reader_close(struct maildir_reader **r)
{
	struct maildir_reader *old = *r;

	*r = NULL;
	if (!old)
		return;
	close(old->fd);
	buf_free(&old->wire);
	free(old);
}

static ssize_t read_piece(struct maildir_reader *r)
{
	ssize_t n;

	do
		n = read(r->fd, r->piece, sizeof(r->piece));
	while (n < 0 && errno == EINTR);
	if (n > 0)
		r->m->stats.bytes_in += (uint64_t)n;
	return n;
}

int maildir_reader_next(struct maildir_reader *r, struct view *out)
{
	ssize_t n = read_piece(r);

	if (n <= 0)
		return (int)n;
	*out = view_make(r->piece, (size_t)n);
	if (r->raw)
		return 1;
	buf_clear(&r->wire);
	maildir_lines_to_wire(&r->wire, *out, &r->cr); /* it has room for every piece */
	*out = buf_view(&r->wire);
	return 1;
}

int maildir_reader_measure(struct maildir_reader *r, uint64_t *size)
{
	struct maildir_lines lines = {0};
	struct err ignored;
	ssize_t n;

	while ((n = read_piece(r)) > 0) {
		maildir_lines_feed(&lines, view_make(r->piece, (size_t)n));
		if (waitset_pump(r->m->env.waits, &ignored) < 0)
			break; /* the next wait says so again */
	}
	if (n < 0 || lseek(r->fd, 0, SEEK_SET) < 0)
		return -1;
	*size = lines.bytes + (r->raw ? 0 : lines.bare);
	return 0;
}

/* A file that is not as long as it was when it was measured must not be finished elsewhere. */
static int stream_read(struct item_stream *s, struct view *out, struct err *e)
{
	struct maildir_reader *r = (struct maildir_reader *)s;
	int more = 0;

	if (waitset_pump(r->m->env.waits, e) < 0)
		return -1;
	errno = EIO;
	if (r->left && (more = maildir_reader_next(r, out)) == 1 && out->len <= r->left) {
		r->left -= out->len;
		return 1;
	}
	if (!r->left)
		return 0;
	maildir_failed(r->m, CAUSE_FOLDER_GONE, "a message changed while it was read in", "", e);
	return -1;
}

/* ---- items ---- */

static void set_state(struct window *w, struct window_item *item, enum item_state state,
    enum cause cause, const char *reason)
{
	item->state = state;
	item->cause = cause;
	item->reason = arena_strdup(&w->arena, reason);
}

static void set_unreadable(struct window *w, struct window_item *item, const char *name)
{
	const char *why = errno == ELOOP    ? "it is a symbolic link, which is not followed"
			  : errno == EINVAL ? "it is no file"
					    : strerror(errno);

	item->reason = arena_printf(&w->arena, "cannot read %s: %s", name, why);
	set_state(w, item, ITEM_UNREADABLE, CAUSE_UNREADABLE, item->reason);
}

/* All of it into the window's buffer. -1 = errno. */
static int read_body(struct maildir_reader *r, struct window *w, struct window_item *item)
{
	struct view piece;
	int more = 1;

	item->offset = w->body.len;
	while ((more = maildir_reader_next(r, &piece)) == 1)
		if (buf_add_view(&w->body, piece)) {
			w->body.len = item->offset;
			item->state = ITEM_AGAIN;
			return lseek(r->fd, 0, SEEK_SET) < 0 ||
				       maildir_reader_measure(r, &item->size)
				   ? -1
				   : 0;
		}
	item->len = w->body.len - item->offset;
	item->state = ITEM_READ;
	return more;
}

/* Its size is known exactly from here on. */
static int begin_stream(struct maildir *m, struct maildir_reader **r, struct window *w)
{
	struct window_item *item = &w->items[0];
	uint64_t max = m->env.max_item;

	if (maildir_reader_measure(*r, &item->size))
		return -1;
	if (max && item->size > max) {
		item->reason = arena_printf(&w->arena,
		    "%" PRIu64 " bytes, more than the limit of %" PRIu64, item->size, max);
		set_state(w, item, ITEM_UNREADABLE, CAUSE_TOO_BIG, item->reason);
		return 0;
	}
	item->state = ITEM_STREAM;
	(*r)->left = (*r)->stream.size = item->size;
	w->stream = &(*r)->stream;
	m->stream = *r;
	*r = NULL;
	return 0;
}

static void read_item(struct maildir *m, struct window *w, struct window_item *item,
    const struct maildir_entry *entry)
{
	struct maildir_reader *r AUTO(maildir_reader_close) = NULL;
	int failed;

	errno = 0;
	if (maildir_reader_open(&r, m, entry)) {
		set_unreadable(w, item, entry->name);
		return;
	}
	if (!r->st.st_size) {
		set_state(w, item, ITEM_UNREADABLE, CAUSE_EMPTY, "the file has no content");
		return;
	}
	failed = w->alone ? begin_stream(m, &r, w) : read_body(r, w, item);
	if (failed)
		set_unreadable(w, item, entry->name);
	else if (item->state == ITEM_READ && !item->len)
		set_state(w, item, ITEM_UNREADABLE, CAUSE_EMPTY, "the file has no content");
}

/* Renamed between looking and opening: looked for again, a few times. */
static int fetch_item(struct maildir *m, struct window *w, struct window_item *item, struct err *e)
{
	struct maildir_entry *entry;

	for (int tries = 0; tries < 4; tries++) {
		if (maildir_look(m, item->id, &entry, e))
			return -1;
		if (!entry) {
			item->state = ITEM_GONE;
			return 0;
		}
		read_item(m, w, item, entry);
		if (item->state != ITEM_UNREADABLE || errno != ENOENT)
			return 0;
	}
	return 0;
}

/* ---- the pipeline ---- */

int maildir_want(struct session *s, struct window *w, struct err *e)
{
	struct cursor now;

	assert(w->count && (!w->alone || w->count == 1));
	for (size_t i = 0; i < w->count; i++)
		w->items[i].state = ITEM_WANTED;
	maildir_queue_add(&MAILDIR(s)->wanted, w);
	if (!w->known || !w->known->text[0])
		return 0;
	if (maildir_now(s, w->folder, &now, e))
		return -1;
	return cursor_same(&now, w->known)
		   ? 0
		   : err_set(e, CAUSE_FOLDER_RESET, ERR_FOLDER,
			 "the folder is not the one whose messages were listed");
}

int maildir_next(struct session *s, struct window **out, struct err *e)
{
	struct maildir *m = MAILDIR(s);
	struct window *w = m->wanted.first;

	*out = NULL;
	maildir_reader_close(&m->stream);
	if (!w)
		return 0;
	if (maildir_enter(m, w->folder->raw, e))
		return -1;
	for (size_t i = 0; i < w->count; i++)
		if (waitset_pump(m->env.waits, e) < 0 || fetch_item(m, w, &w->items[i], e))
			return -1;
	*out = maildir_queue_pop(&m->wanted);
	return 0;
}
