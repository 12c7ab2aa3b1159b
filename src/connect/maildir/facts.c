/* facts.c - what a folder holds and what changed: now, changes. A cursor is
 *
 *   INODE-BORN  INSTANT  STATE
 *
 * of cur/: which directory it is (one that was deleted and made again is another); the later mtime
 * of new/ and cur/ in nanoseconds; and a digest of all mtimes, "-" where the last change is so
 * fresh that another one could have the same time. Equal states mean that nothing changed. There
 * is no log of changes: where the state differs, everything is told.
 *
 * What is new is told by ctime, which a file gets when it is renamed into its folder, by the clock
 * of the same file system that made INSTANT; with a margin for clocks that are set back. So a file
 * whose flags changed is told as well.
 *
 * Sizes are those on the wire. At a source they come cheap, from W= in the name or else (an estimate)
 * from the disk; at the destination, where they are compared, they are exact. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connect/maildir/maildir.h"
#include "model/identity.h"

#define SETTLED_S 3 /* file systems count in up to 2 s */
#define MARGIN_S 60
#define PUMP_EVERY 64u
#define LOOKS 3 /* for what was renamed while it was told */

/* ---- cursors ---- */

static int64_t instant_of(const struct maildir_state *st)
{
	return st->cur > st->new ? st->cur : st->new;
}

static bool is_settled(const struct maildir_state *st)
{
	int64_t last = instant_of(st) > st->words ? instant_of(st) : st->words;

	return clock_wall() - last / MAILDIR_SECOND >= SETTLED_S;
}

void maildir_cursor_print(struct cursor *out, const struct maildir_state *st, bool glance)
{
	const int64_t all[] = {st->cur, st->new, st->words, st->length};
	unsigned char digest[crypto_generichash_BYTES_MIN];
	char text[2 * sizeof(digest) + 1] = "-";

	crypto_generichash(
	    digest, sizeof(digest), (const unsigned char *)all, sizeof(all), NULL, 0);
	if (glance && is_settled(st))
		hex_encode(text, digest, sizeof(digest) / 2);
	snprintf(out->text, sizeof(out->text), "%" PRIx64 "-%" PRIx64 " %" PRId64 " %s", st->inode,
	    st->born, instant_of(st), text);
}

/* The instant in a cursor, and whether its state is that of NOW. -1 = no cursor of ours. */
static int parse_cursor(
    const struct cursor *c, const struct cursor *now, int64_t *instant, bool *same)
{
	const char *at = strchr(c->text, ' ');
	uint64_t n;
	size_t len;

	if (!at)
		return -1;
	len = strcspn(++at, " ");
	if (view_number(view_make(at, len), &n) || n > INT64_MAX || at[len] != ' ')
		return -1;
	*instant = (int64_t)n;
	*same = strcmp(at + len + 1, "-") != 0 && !strcmp(c->text, now->text);
	return 0;
}

int maildir_now(struct session *s, const struct folder *f, struct cursor *out, struct err *e)
{
	struct maildir *m = MAILDIR(s);
	struct maildir_state st;

	if (waitset_pump(m->env.waits, e) < 0 || maildir_enter(m, f->raw, e) ||
	    maildir_state(m, &st, e))
		return -1;
	maildir_cursor_print(out, &st, false);
	return 0;
}

/* ---- facts ---- */

struct sweep {
	struct maildir *m;
	const struct changes_ask *ask;
	const struct fact_sink *sink;
	bool only_since;
	int64_t since; /* seconds: what has an older ctime is left out */
	bool exact;    /* sizes must be */
	uint64_t told, looked_at;
	struct view *vanished; /* ids to be looked for once more */
	size_t vanished_count;
	struct arena arena;
};

/* Feed the reader of identities with the header, or with all of it. */
static int digest_file(const struct sweep *w, struct maildir_reader *file, struct fact *fact)
{
	struct identity_reader *r AUTO(identity_free) = NULL;
	bool whole = w->ask->digest;
	struct view piece;
	int more = 1;

	identity_start(&r);
	while (
	    (whole || !identity_header_done(r)) && (more = maildir_reader_next(file, &piece)) == 1)
		identity_feed(r, piece);
	if (more < 0)
		return -1;
	identity_finish(r, !whole, &fact->identity);
	fact->has_identity = true;
	if (whole)
		fact->size = fact->identity.size;
	return 0;
}

static bool size_from_name(const struct maildir_name *name, const struct stat *st, uint64_t *size)
{
	uint64_t disk = (uint64_t)st->st_size;

	*size = disk;
	if (name->raw)
		return true;
	if (!name->has_wire_size || (name->has_size && name->size != disk) ||
	    name->wire_size < disk || name->wire_size > 2 * disk)
		return false;
	*size = name->wire_size;
	return true;
}

/* What only reading the file tells. What cannot be read has been told as far as it is known. */
static void look_inside(
    const struct sweep *w, const struct maildir_entry *entry, bool size_known, struct fact *fact)
{
	struct maildir_reader *file AUTO(maildir_reader_close) = NULL;
	bool bodies = w->ask->identity || w->ask->digest;

	if ((!bodies && (size_known || !w->exact)) || maildir_reader_open(&file, w->m, entry))
		return;
	if (!size_known && !w->ask->digest)
		maildir_reader_measure(file, &fact->size);
	if (bodies)
		digest_file(w, file, fact);
}

/* 0 = told or left out, 1 = it is not there under that name, -1. */
static int tell(struct sweep *w, const struct maildir_entry *entry, struct err *e)
{
	struct fact fact = {.id = view_of(entry->id)};
	struct maildir_name name;
	struct stat st;
	bool size_known;

	if (w->looked_at++ % PUMP_EVERY == 0 && waitset_pump(w->m->env.waits, e) < 0)
		return -1;
	if (!w->ask->only_ids) {
		if (fstatat(maildir_dir_of(w->m, entry), entry->name, &st, AT_SYMLINK_NOFOLLOW))
			return 1;
		if (w->only_since && st.st_ctim.tv_sec < w->since)
			return 0;
		maildir_name_parse(&name, entry->name);
		size_known = size_from_name(&name, &st, &fact.size);
		fact.date = (struct date){.instant = st.st_mtim.tv_sec, .known = true};
		fact.flags = maildir_flags_of(w->m, name.letters);
		look_inside(w, entry, size_known, &fact);
	}
	w->told++;
	return w->sink->take(w->sink->arg, &fact, e);
}

/* Tell, or note it for another look. */
static int tell_or_note(struct sweep *w, const struct maildir_entry *entry, struct err *e)
{
	int result = tell(w, entry, e);

	if (result == 1)
		w->vanished[w->vanished_count++] = arena_copy(&w->arena, view_of(entry->id));
	return result < 0 ? -1 : 0;
}

/* Those that were renamed meanwhile are told now; those that have gone are gone. */
static int tell_vanished(struct sweep *w, struct err *e)
{
	for (int look = 0; look < LOOKS && w->vanished_count; look++) {
		size_t count = w->vanished_count;

		if (maildir_scan(w->m, e) || maildir_keywords_load(w->m, e))
			return -1;
		w->vanished_count = 0;
		for (size_t i = 0; i < count; i++) {
			const struct maildir_entry *entry = maildir_find(w->m, w->vanished[i]);

			if (entry && tell_or_note(w, entry, e))
				return -1;
		}
	}
	return 0;
}

static int tell_ids(struct sweep *w, struct err *e)
{
	const struct changes_ask *ask = w->ask;

	w->vanished = arena_new(&w->arena, ask->count, sizeof(*w->vanished));
	for (size_t i = 0; i < ask->count; i++) {
		const struct maildir_entry *entry = maildir_find(w->m, ask->ids[i]);

		if (entry && tell_or_note(w, entry, e))
			return -1;
	}
	return tell_vanished(w, e);
}

static int tell_all(struct sweep *w, struct err *e)
{
	const struct maildir_box *b = &w->m->box;

	w->vanished = arena_new(&w->arena, b->count, sizeof(*w->vanished));
	for (size_t i = 0; i < b->count; i++)
		if (tell_or_note(w, &b->entries[i], e))
			return -1;
	return tell_vanished(w, e);
}

/* What a sweep since a cursor must tell. False when nothing can have changed. */
static bool plan_sweep(struct sweep *w, struct changes_told *told)
{
	const struct cursor *since = w->ask->since;
	int64_t instant;
	bool same;

	told->complete = true;
	if (!since || !since->text[0] || w->ask->only_ids)
		return true;
	if (!cursor_same(since, &told->cursor) ||
	    parse_cursor(since, &told->cursor, &instant, &same)) {
		told->reset = true;
		return true;
	}
	if (w->ask->only_new) {
		told->complete = false;
		w->only_since = true;
		w->since = instant / MAILDIR_SECOND - MARGIN_S;
		return true;
	}
	told->complete = !same;
	told->gone_told = same; /* none */
	return !same;
}

static int sweep(struct sweep *w, struct changes_told *told, struct err *e)
{
	struct maildir *m = w->m;

	if (w->ask->count)
		return maildir_scan(m, e) || tell_ids(w, e) ? -1 : 0;
	if (!plan_sweep(w, told))
		return maildir_count(m, &told->total, e);
	if (maildir_scan(m, e) || tell_all(w, e))
		return -1;
	told->complete = told->complete && !m->box.torn;
	told->total = (told->complete ? w->told : m->box.count) + m->box.clashes;
	return 0;
}

int maildir_changes(struct session *s, const struct folder *f, const struct changes_ask *ask,
    const struct fact_sink *sink, struct changes_told *told, struct err *e)
{
	struct maildir *m = MAILDIR(s);
	struct sweep w = {.m = m, .ask = ask, .sink = sink};
	struct maildir_state st;
	int failed;

	*told = (struct changes_told){0};
	w.exact = m->at->side == ERR_DESTINATION || ask->identity;
	if (maildir_enter(m, f->raw, e) || maildir_state(m, &st, e))
		return -1;
	maildir_cursor_print(&told->cursor, &st, true);
	if (maildir_keywords_load(m, e))
		return -1;
	failed = sweep(&w, told, e);
	arena_free(&w.arena);
	return failed;
}
