/* store.c - messages into a Maildir. A window's messages are written into tmp/, made durable together,
 * renamed into cur/ one after the other, and then the directory is made durable: only then receipts
 * are told. Nothing is ever half visible. On disk lines end with LF, as everybody expects; a message
 * whose bytes would not come back so is kept as it is, and its name says that (name.c).
 *
 * Puts are keyed: the name holds a digest of the source's mailbox, folder and item and of the header.
 * What is there under its key is not stored a second time, whoever forgot that it was.
 *
 * Disk full is no fault of the items: none of the window is there, and they may be put again. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "connect/maildir/maildir.h"

#define MICROS 1000000u

/* One message on its way. */
struct storing {
	struct window_item *item;
	int fd;     /* in tmp/; -1 = not written, or closed */
	bool shown; /* it is in cur/ */
	char tmp[MAILDIR_NAME], name[MAILDIR_NAME];
	unsigned char key[MAILDIR_KEY];
	uint64_t seconds, micros;
};

struct store {
	struct maildir *m;
	struct window *w;
	struct storing *all;
	size_t count;
	bool full; /* the disk is */
};

/* ---- keys and names ---- */

static void add_key_part(crypto_generichash_state *h, struct view v)
{
	uint64_t len = v.len;

	crypto_generichash_update(h, (const unsigned char *)&len, sizeof(len));
	crypto_generichash_update(h, (const unsigned char *)v.data, v.len);
}

static void make_key(const struct store *s, const struct window_item *item, unsigned char *out)
{
	const struct identity *i = &item->identity;
	crypto_generichash_state h;

	crypto_generichash_init(&h, NULL, 0, MAILDIR_KEY);
	add_key_part(&h, view_of(s->m->env.origin));
	add_key_part(&h, s->w->folder->raw);
	add_key_part(&h, item->id);
	add_key_part(&h, view_make(i->header, sizeof(i->header)));
	add_key_part(&h, view_make(&i->size, sizeof(i->size)));
	crypto_generichash_final(&h, out, MAILDIR_KEY);
}

/* A later instant for each name: they sort as they were put. */
static void next_instant(struct maildir *m, struct storing *to)
{
	uint64_t now = (uint64_t)clock_wall();

	if (now > m->named_seconds) {
		m->named_seconds = now;
		m->named_micros = 0;
	} else if (++m->named_micros == MICROS) {
		m->named_seconds++;
		m->named_micros = 0;
	}
	to->seconds = m->named_seconds;
	to->micros = m->named_micros;
}

/* ---- what is there already ---- */

static int by_key(const void *a, const void *b)
{
	return memcmp(((const struct maildir_stored *)a)->key,
	    ((const struct maildir_stored *)b)->key, MAILDIR_KEY);
}

static int learn_keys(struct maildir *m, struct err *e)
{
	struct maildir_box *b = &m->box;

	if (b->keyed)
		return 0;
	if (maildir_scan(m, e))
		return -1;
	b->keys = mem_new(b->count, sizeof(*b->keys));
	for (size_t i = 0; i < b->count; i++) {
		struct maildir_stored *k = &b->keys[b->key_count];
		struct maildir_name name;

		maildir_name_parse(&name, b->entries[i].name);
		if (!name.ours)
			continue;
		memcpy(k->key, name.key, MAILDIR_KEY);
		k->id = arena_strdup(&b->key_arena, b->entries[i].id);
		b->key_count++;
		if (name.seconds > m->named_seconds ||
		    (name.seconds == m->named_seconds && name.micros > m->named_micros)) {
			m->named_seconds = name.seconds;
			m->named_micros = name.micros;
		}
	}
	qsort(b->keys, b->key_count, sizeof(*b->keys), by_key);
	b->keyed = true;
	return 0;
}

/* *ID = under which it is there; empty = it is not. */
static int find_stored(struct maildir *m, const unsigned char *key, struct view *id, struct err *e)
{
	struct maildir_box *b = &m->box;
	const struct maildir_stored *k;
	struct maildir_entry *entry = NULL;
	struct maildir_stored wanted = {0};

	*id = (struct view){0};
	memcpy(wanted.key, key, MAILDIR_KEY);
	k = bsearch(&wanted, b->keys, b->key_count, sizeof(wanted), by_key);
	if (k && maildir_look(m, view_of(k->id), &entry, e))
		return -1;
	if (entry)
		*id = view_of(k->id);
	return 0;
}

/* What an interrupted run left behind in tmp/; ours, and nobody else works here (the lock). */
static void sweep_tmp(struct maildir *m)
{
	struct maildir_box *b = &m->box;
	int copy = b->swept ? -1 : openat(b->tmp, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *d;

	b->swept = true;
	while (dir && (d = readdir(dir))) {
		struct maildir_name name;

		maildir_name_parse(&name, d->d_name);
		if (name.ours)
			unlinkat(b->tmp, d->d_name, 0);
	}
	if (dir)
		closedir(dir);
}

static int prepare(struct maildir *m, const struct folder *f, struct err *e)
{
	struct maildir_box *b = &m->box;

	if (maildir_enter(m, f->raw, e) || learn_keys(m, e))
		return -1;
	if (b->tmp < 0 && !mkdirat(b->dir, "tmp", 0700)) {
		b->tmp = openat(b->dir, "tmp", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (b->tmp >= 0)
			maildir_give_away(b->tmp, &b->owner);
	}
	if (b->tmp < 0)
		return maildir_failed(m, CAUSE_FOLDER_GONE, "cannot use", "tmp", e);
	sweep_tmp(m);
	return 0;
}

/* ---- writing one ---- */

/* From the wire to the disk: converted as long as it will come back the same. */
struct writing {
	struct maildir *m;
	struct storing *to;
	struct maildir_lines lines;
	struct buf disk;
	bool raw, cr;
	char piece[MAILDIR_PIECE];
};

static int open_tmp(struct maildir *m, struct storing *to)
{
	char hex[2 * MAILDIR_KEY + 1];

	next_instant(m, to);
	hex_encode(hex, to->key, sizeof(to->key));
	snprintf(to->tmp, sizeof(to->tmp), "%" PRIu64 ".M%06" PRIu64 "Q%s.godwit", to->seconds,
	    to->micros, hex);
	to->fd = openat(m->box.tmp, to->tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (to->fd >= 0)
		maildir_give_away(to->fd, &m->box.owner);
	return to->fd < 0 ? -1 : 0;
}

static void drop_tmp(const struct maildir *m, struct storing *to)
{
	if (to->fd < 0)
		return;
	unlinkat(m->box.tmp, to->tmp, 0);
	close(to->fd);
	to->fd = -1;
}

/* All the bytes written so far into FROM, as they were, into the new file. */
static int restore(struct writing *x, const struct storing *from)
{
	off_t at = 0;
	ssize_t n;
	bool cr = false;

	while ((n = pread(from->fd, x->piece, sizeof(x->piece), at)) > 0) {
		buf_clear(&x->disk);
		maildir_lines_to_wire(&x->disk, view_make(x->piece, (size_t)n), &cr);
		if (maildir_write(x->to->fd, buf_view(&x->disk)))
			return -1;
		at += n;
	}
	return n < 0 || (x->cr && maildir_write(x->to->fd, view_of("\r"))) ? -1 : 0;
}

/* It turns out that it cannot be converted: begun anew with the bytes as they are. */
static int turn_raw(struct writing *x)
{
	struct storing begun = *x->to;
	int failed;

	x->raw = true;
	failed = open_tmp(x->m, x->to) || restore(x, &begun);
	drop_tmp(x->m, &begun);
	return failed ? -1 : 0;
}

static int write_piece(struct writing *x, struct view piece)
{
	maildir_lines_feed(&x->lines, piece);
	if (!x->raw && !maildir_lines_plain(&x->lines) && turn_raw(x))
		return -1;
	x->m->stats.bytes_out += piece.len;
	if (x->raw)
		return maildir_write(x->to->fd, piece);
	buf_clear(&x->disk);
	return maildir_lines_to_disk(&x->disk, piece, &x->cr) ||
		       maildir_write(x->to->fd, buf_view(&x->disk))
		   ? -1
		   : 0;
}

static int write_view(struct writing *x, struct view body)
{
	while (body.len) {
		size_t len = body.len < MAILDIR_PIECE ? body.len : MAILDIR_PIECE;

		if (write_piece(x, view_make(body.data, len)))
			return -1;
		body = view_make(body.data + len, body.len - len);
	}
	return 0;
}

/* Pieces may be of any size. -1 = errno, -2 = the source failed. */
static int write_stream(struct writing *x, struct item_stream *stream, struct err *e)
{
	struct view piece;
	int more;

	while ((more = stream->read(stream, &piece, e)) == 1)
		if (write_view(x, piece))
			return -1;
	return more < 0 ? -2 : 0;
}

/* The last CR, the date, and the name it will have. */
static int finish_file(struct writing *x)
{
	const struct window_item *item = x->to->item;
	struct storing *to = x->to;
	const struct timespec times[] = {{.tv_nsec = UTIME_NOW}, {.tv_sec = item->date.instant}};
	char base[MAILDIR_NAME], letters[64];
	struct stat st;

	if (!x->raw && x->cr && maildir_write(to->fd, view_of("\r")))
		return -1;
	if ((item->date.known && futimens(to->fd, times)) || fstat(to->fd, &st))
		return -1;
	maildir_name_print(base, to->seconds, to->micros, to->key, x->raw, (uint64_t)st.st_size,
	    x->lines.bytes + x->lines.bare);
	maildir_flags_letters(x->m, item->flags, (struct view){0}, letters);
	sync_file_range(to->fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* begins; fsync waits */
	return maildir_name_relabel(to->name, base, letters);
}

/* 0, -1 = errno, -2 = the source failed. */
static int write_item(struct store *s, struct storing *to, struct err *e)
{
	struct writing *x = NEW(struct writing);
	const struct window_item *item = to->item;
	struct view body = {0};
	struct maildir_lines lines = {0};
	int failed;

	x->m = s->m;
	x->to = to;
	buf_init(&x->disk, 2 * MAILDIR_PIECE + 2);
	if (item->state == ITEM_READ) {
		body = buf_view(&s->w->body);
		body = view_make(item->len ? body.data + item->offset : body.data, item->len);
		maildir_lines_feed(&lines, body);
		x->raw = !maildir_lines_plain(&lines);
	}
	failed = open_tmp(s->m, to);
	if (!failed)
		failed = item->state == ITEM_READ ? write_view(x, body)
						  : write_stream(x, s->w->stream, e);
	if (!failed)
		failed = finish_file(x);
	buf_free(&x->disk);
	free(x);
	return failed;
}

/* ---- the window ---- */

static int drain(struct item_stream *stream, struct err *e)
{
	struct view ignored;
	int more;

	while ((more = stream->read(stream, &ignored, e)) == 1)
		;
	return more;
}

/* Disk full is kept in mind; anything else is an error. */
static int store_failed(struct store *s, const char *where, struct err *e)
{
	s->full = maildir_is_full(errno);
	return s->full ? 0 : maildir_failed(s->m, CAUSE_FOLDER_GONE, "cannot write into", where, e);
}

static int store_item(struct store *s, struct storing *to, struct err *e)
{
	struct window_item *item = to->item;
	struct view there;
	int failed;

	make_key(s, item, to->key);
	if (waitset_pump(s->m->env.waits, e) < 0 || find_stored(s->m, to->key, &there, e))
		return -1;
	if (there.len) {
		if (item->state == ITEM_STREAM && drain(s->w->stream, e))
			return -1;
		item->state = ITEM_STORED;
		item->stored_id = arena_copy(&s->w->arena, there);
		return 0;
	}
	failed = write_item(s, to, e);
	return failed == -1 ? store_failed(s, "tmp", e) : failed;
}

static int sync_all(struct store *s, struct err *e)
{
	for (size_t i = 0; i < s->count && !s->full; i++)
		if (s->all[i].fd >= 0 && (waitset_pump(s->m->env.waits, e) < 0 ||
					     (fsync(s->all[i].fd) && store_failed(s, "tmp", e))))
			return -1;
	return 0;
}

/* Now they are in the folder, but told only when that is durable. */
static int show_all(struct store *s, struct err *e)
{
	struct maildir_box *b = &s->m->box;
	size_t shown = 0;

	for (; shown < s->count && !s->full; shown++) {
		struct storing *one = &s->all[shown];

		if (one->fd < 0)
			continue;
		if (maildir_rename(b->tmp, one->tmp, b->cur, one->name)) {
			if (store_failed(s, "cur", e))
				return -1;
			break;
		}
		close(one->fd);
		one->fd = -1;
		one->shown = true;
	}
	return fsync(b->cur) ? maildir_failed(s->m, CAUSE_FOLDER_GONE, "cannot write", "cur", e)
			     : 0;
}

static void tell_stored(struct store *s)
{
	for (size_t i = 0; i < s->count; i++) {
		const struct storing *one = &s->all[i];
		struct window_item *item = one->item;
		struct maildir_name name;
		char id[MAILDIR_ID];

		if (one->shown) {
			maildir_name_parse(&name, one->name);
			maildir_name_id(id, name.unique);
			item->state = ITEM_STORED;
			item->stored_id = view_of(arena_strdup(&s->w->arena, id));
		} else if (item->state != ITEM_STORED) {
			item->state = ITEM_AGAIN;
			item->cause = CAUSE_QUOTA;
			item->reason = "the disk is full, or the quota of its user used up";
			s->w->hold = CAUSE_QUOTA;
		}
	}
}

static bool can_put(const struct window_item *item)
{
	return item->state == ITEM_READ || item->state == ITEM_STREAM;
}

static int store_all(struct store *s, struct err *e)
{
	uint32_t *flags = mem_new(s->count, sizeof(*flags));
	int failed;

	for (size_t i = 0; i < s->count; i++)
		flags[i] = s->all[i].item->flags;
	failed = maildir_keywords_add(s->m, flags, s->count, e);
	free(flags);
	for (size_t i = 0; !failed && !s->full && i < s->count; i++)
		failed = store_item(s, &s->all[i], e);
	if (failed || sync_all(s, e) || show_all(s, e))
		return -1;
	return 0;
}

/* The session is of no more use for these: nobody is told what became of them. */
static void set_unknown(struct store *s)
{
	for (size_t i = 0; i < s->w->count; i++)
		if (can_put(&s->w->items[i]))
			s->w->items[i].state = ITEM_UNKNOWN;
}

int maildir_put(struct session *session, const struct folder *f, struct window *w, struct err *e)
{
	struct store s = {.m = MAILDIR(session), .w = w};
	int failed;

	maildir_queue_add(&s.m->put, w);
	w->hold = CAUSE_NONE;
	w->split = false;
	w->wait_s = 0;
	s.all = mem_new(w->count, sizeof(*s.all));
	for (size_t i = 0; i < w->count; i++)
		if (can_put(&w->items[i]))
			s.all[s.count++] = (struct storing){.item = &w->items[i], .fd = -1};
	failed = prepare(s.m, f, e) || store_all(&s, e);
	for (size_t i = 0; i < s.count; i++)
		drop_tmp(s.m, &s.all[i]);
	if (failed)
		set_unknown(&s);
	else
		tell_stored(&s);
	free(s.all);
	return failed ? -1 : 0;
}

/* All that was put is answered already. */
int maildir_settle(struct session *s, size_t max, struct window **w, struct err *e)
{
	(void)max;
	(void)e;
	*w = maildir_queue_pop(&MAILDIR(s)->put);
	return 0;
}
