/* change.c - items changed, moved and removed: mark, place, remove. All of it is renaming and unlinking
 * of files found by their ids. Promises: no rename replaces another file; a move is one rename, so
 * that an item is never in both folders or in none; what is removed is what was asked for. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "connect/maildir/maildir.h"

#define TRIES 4 /* for files that others rename at the same time */

int maildir_rename(int from_dir, const char *from, int to_dir, const char *to)
{
	if (!renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE))
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	/* a file system without that */
	return linkat(from_dir, from, to_dir, to, 0) ? -1 : unlinkat(from_dir, from, 0);
}

static void sync_dir(int fd)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (copy < 0)
		return;
	fsync(copy);
	close(copy);
}

/* ---- mark ---- */

/* The file's name with the flags after MARK. */
static int marked_name(struct maildir *m, const struct maildir_entry *entry,
    const struct mark *mark, char *out, bool *complete)
{
	struct maildir_name name;
	struct flags_table *t = m->env.flags;
	char letters[64];
	uint32_t now;

	maildir_name_parse(&name, entry->name);
	now = maildir_flags_of(m, name.letters);
	*complete = maildir_flags_letters(
	    m, flags_minus(t, flags_union(t, now, mark->add), mark->remove), name.letters, letters);
	return maildir_name_relabel(out, entry->name, letters);
}

/* 0 = done or refused, 1 = it has another name by now, -1. */
static int mark_entry(struct maildir *m, struct maildir_entry *entry, struct mark *mark)
{
	struct maildir_box *b = &m->box;
	char name[MAILDIR_NAME];
	bool complete;

	if (marked_name(m, entry, mark, name, &complete) || !complete) {
		mark->reason = complete ? "the file name would be too long"
					: "the folder has all 26 keywords that a Maildir can have";
		return 0;
	}
	if (!strcmp(name, entry->name) && !entry->in_new) {
		mark->done = true;
		return 0;
	}
	if (maildir_rename(maildir_dir_of(m, entry), entry->name, b->cur, name)) {
		mark->reason = arena_strdup(&m->answers, strerror(errno));
		return errno == ENOENT;
	}
	entry->name = arena_strdup(&b->arena, name);
	entry->in_new = false;
	mark->done = true;
	return 0;
}

static int mark_one(struct maildir *m, struct mark *mark, struct err *e)
{
	struct maildir_entry *entry;
	int again = 1;

	mark->done = mark->gone = false;
	mark->reason = NULL;
	for (int i = 0; again && i < TRIES; i++) {
		if (maildir_look(m, mark->id, &entry, e))
			return -1;
		if (!entry) {
			mark->gone = mark->done = true;
			return 0;
		}
		again = mark_entry(m, entry, mark);
	}
	return 0;
}

int maildir_mark(
    struct session *s, const struct folder *f, struct mark *marks, size_t count, struct err *e)
{
	struct maildir *m = MAILDIR(s);
	uint32_t *added = mem_new(count, sizeof(*added));
	int failed;

	arena_clear(&m->answers);
	for (size_t i = 0; i < count; i++)
		added[i] = marks[i].add;
	failed = maildir_enter(m, f->raw, e) || maildir_keywords_add(m, added, count, e);
	free(added);
	for (size_t i = 0; !failed && i < count; i++)
		failed = waitset_pump(m->env.waits, e) < 0 || mark_one(m, &marks[i], e);
	if (!failed)
		sync_dir(m->box.cur);
	return failed ? -1 : 0;
}

/* ---- place ---- */

/* Where one item lies, read in the folder it comes from. */
struct origin {
	char name[MAILDIR_NAME];
	bool in_new, found;
	uint32_t flags;
};

static int find_origins(struct maildir *m, const struct folder *from, const struct placement *items,
    struct origin *origins, size_t count, struct err *e)
{
	if (maildir_enter(m, from->raw, e) || maildir_keywords_load(m, e))
		return -1;
	for (size_t i = 0; i < count; i++) {
		struct maildir_name name;
		struct maildir_entry *entry;

		if (items[i].done || items[i].gone)
			continue;
		if (maildir_look(m, items[i].id, &entry, e))
			return -1;
		origins[i].found = entry != NULL;
		if (!entry)
			continue;
		snprintf(origins[i].name, sizeof(origins[i].name), "%s", entry->name);
		maildir_name_parse(&name, entry->name);
		origins[i].in_new = entry->in_new;
		origins[i].flags = maildir_flags_of(m, name.letters);
	}
	return 0;
}

/* Directories of the folder that items come from, while the other one is in hand. */
struct way {
	int cur, new;
};

static void close_way(struct way *w)
{
	if (w->cur >= 0)
		close(w->cur);
	if (w->new >= 0)
		close(w->new);
}

static void place_one(
    struct maildir *m, const struct way *way, const struct origin *origin, struct placement *item)
{
	char name[MAILDIR_NAME], letters[64];
	struct maildir_name parsed;

	maildir_name_parse(&parsed, origin->name);
	maildir_flags_letters(m, origin->flags, (struct view){0}, letters);
	if (maildir_name_relabel(name, origin->name, letters)) {
		item->reason = "the file name would be too long";
		return;
	}
	if (maildir_find(m, item->id)) {
		item->reason = "the folder has another file of that name";
		return;
	}
	if (maildir_rename(origin->in_new ? way->new : way->cur, origin->name, m->box.cur, name)) {
		item->reason = errno == ENOENT ? NULL : arena_strdup(&m->answers, strerror(errno));
		return; /* with no reason: renamed meanwhile, tried again */
	}
	item->done = true;
	item->new_id = arena_copy(&m->answers, item->id);
}

static int place_found(struct maildir *m, const struct folder *to, const struct way *way,
    struct placement *items, const struct origin *origins, size_t count, struct err *e)
{
	uint32_t *flags = mem_new(count, sizeof(*flags));
	int failed;

	for (size_t i = 0; i < count; i++)
		flags[i] = origins[i].found ? origins[i].flags : FLAGS_NONE;
	failed = maildir_enter(m, to->raw, e) || maildir_keywords_add(m, flags, count, e) ||
		 maildir_scan(m, e);
	free(flags);
	for (size_t i = 0; !failed && i < count; i++) {
		if (origins[i].found)
			place_one(m, way, &origins[i], &items[i]);
		else if (!items[i].done)
			items[i].gone = true;
	}
	if (!failed) {
		sync_dir(m->box.cur); /* there before it is gone here */
		sync_dir(way->cur);
	}
	return failed ? -1 : 0;
}

static bool is_open(const struct placement *item)
{
	return !item->done && !item->gone && !item->reason;
}

static int place_round(struct maildir *m, const struct folder *from, const struct folder *to,
    struct placement *items, size_t count, struct err *e)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	struct origin *origins = arena_new(&scratch, count, sizeof(*origins));
	struct way way AUTO(close_way) = {-1, -1};

	if (find_origins(m, from, items, origins, count, e))
		return -1;
	way.cur = fcntl(m->box.cur, F_DUPFD_CLOEXEC, 0);
	way.new = m->box.new < 0 ? -1 : fcntl(m->box.new, F_DUPFD_CLOEXEC, 0);
	return place_found(m, to, &way, items, origins, count, e);
}

int maildir_place(struct session *s, const struct folder *from, const struct folder *to,
    struct placement *items, size_t count, struct err *e)
{
	struct maildir *m = MAILDIR(s);
	bool open = true;

	arena_clear(&m->answers);
	for (size_t i = 0; i < count; i++) {
		items[i].done = items[i].gone = false;
		items[i].new_id = (struct view){0};
		items[i].reason = NULL;
	}
	for (int round = 0; open && round < TRIES; round++) {
		if (waitset_pump(m->env.waits, e) < 0 || place_round(m, from, to, items, count, e))
			return -1;
		open = false;
		for (size_t i = 0; i < count; i++)
			open = open || is_open(&items[i]);
	}
	for (size_t i = 0; i < count; i++)
		if (is_open(&items[i]))
			items[i].reason = "it is renamed all the time";
	return 0;
}

/* ---- remove ---- */

static int remove_one(struct maildir *m, struct view id, struct err *e)
{
	struct maildir_entry *entry;

	for (int i = 0; i < TRIES; i++) {
		if (maildir_look(m, id, &entry, e))
			return -1;
		if (!entry || !unlinkat(maildir_dir_of(m, entry), entry->name, 0))
			return 0;
		if (errno != ENOENT)
			break;
	}
	return maildir_failed(m, CAUSE_FOLDER_GONE, "cannot remove", entry->name, e);
}

int maildir_remove(
    struct session *s, const struct folder *f, const struct view *ids, size_t count, struct err *e)
{
	struct maildir *m = MAILDIR(s);

	if (maildir_enter(m, f->raw, e) || maildir_scan(m, e))
		return -1;
	for (size_t i = 0; i < count; i++)
		if (waitset_pump(m->env.waits, e) < 0 || remove_one(m, ids[i], e))
			return -1;
	sync_dir(m->box.cur);
	return 0;
}
