/* move.c - items out of an IMAP folder: to another one by UID MOVE (RFC 6851), else by UID COPY and
 * UID EXPUNGE (RFC 4315); or for good. Beside facts.c. Promises: nothing but the given UIDs is ever
 * expunged (no EXPUNGE, no CLOSE), a \Deleted that did no good is taken away again, and new ids are told
 * only where COPYUID fits what was asked. Each batch is looked at before, because moving what is not
 * there is no error. Does not: know whether UIDs still mean what the caller knew (UIDVALIDITY), but
 * where the folder's now was asked in this session. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connect/imap/imap.h"

#define BATCH 1000u /* UIDs a command */

struct moved {
	uint32_t uid, new_uid;  /* new_uid 0 = not told */
	bool was_here;          /* seen before anything was done */
	bool was_deleted;       /* \Deleted then: stays so if nothing comes of it */
	bool here, deleted;     /* the same when looked at last */
	bool chosen;            /* concerned by the next commands */
	struct placement *item; /* NULL: to be removed */
};

/* A run of the sorted ids whose set fits into one command. */
struct batch {
	struct imap *im;
	const struct folder *to;
	struct moved *all;
	size_t count;
	struct buf set;
	bool told, lies; /* COPYUID came; and does not fit */
};

/* ---- sets ---- */

static int compare_moved(const void *a, const void *b)
{
	const struct moved *x = a, *y = b;

	return (x->uid > y->uid) - (x->uid < y->uid);
}

static struct moved *find(const struct batch *b, uint64_t uid)
{
	struct moved key = {.uid = (uint32_t)uid};

	return uid > UINT32_MAX ? NULL
				: bsearch(&key, b->all, b->count, sizeof(key), compare_moved);
}

/* The set of the chosen ones from FIRST on, as far as it fits; returns where to go on. */
static size_t chosen_set(struct batch *b, size_t first)
{
	struct imap_set set;
	size_t i = first;

	buf_clear(&b->set);
	imap_set_start(&set, &b->set);
	for (; i < b->count; i++)
		if (b->all[i].chosen && imap_set_add(&set, b->all[i].uid))
			break;
	imap_set_finish(&set);
	return i;
}

static void choose(struct batch *b, bool (*wanted)(const struct batch *b, const struct moved *m))
{
	for (size_t i = 0; i < b->count; i++)
		b->all[i].chosen = wanted(b, &b->all[i]);
}

static bool is_any(const struct batch *b, const struct moved *m)
{
	(void)b;
	return m->uid > 0;
}

static bool was_here(const struct batch *b, const struct moved *m)
{
	(void)b;
	return m->was_here;
}

/* VERB SET REST for all chosen ones. */
static int run_chosen(struct batch *b, const char *verb, const char *rest,
    const struct imap_taker *taker, struct err *e)
{
	for (size_t i = 0; i < b->count;) {
		struct imap_command c;

		i = chosen_set(b, i);
		if (!b->set.len)
			return 0;
		imap_command_start(b->im, &c, verb);
		imap_command_add(&c, "%s%s", b->set.data, rest);
		if (imap_run(b->im, &c, taker, e))
			return -1;
	}
	return 0;
}

/* ---- looking ---- */

static int take_look(void *arg, const struct imap_response *r, struct err *e)
{
	const struct imap_node *first = r->args ? r->args->child : NULL;
	const struct imap_node *flags = imap_node_value(first, "FLAGS");
	struct moved *m;
	uint64_t uid;

	(void)e;
	if ((!view_is_nocase(r->name, "FETCH") && !view_is_nocase(r->name, "UIDFETCH")) ||
	    imap_node_number(imap_node_value(first, "UID"), &uid) || !(m = find(arg, uid)))
		return 0;
	m->here = true;
	m->deleted = false;
	for (const struct imap_node *n = flags ? flags->child : NULL; n; n = n->next)
		m->deleted = m->deleted || view_is_nocase(imap_node_text(n), "\\Deleted");
	return 0;
}

/* Which of them are there? */
static int look(struct batch *b, struct err *e)
{
	for (size_t i = 0; i < b->count; i++)
		b->all[i].here = false;
	choose(b, is_any);
	return run_chosen(b, "UID FETCH", " (UID FLAGS)",
	    &(struct imap_taker){.response = take_look, .arg = b}, e);
}

static int look_before(struct batch *b, struct err *e)
{
	if (look(b, e))
		return -1;
	for (size_t i = 0; i < b->count; i++)
		b->all[i].was_here = b->all[i].here, b->all[i].was_deleted = b->all[i].deleted;
	return 0;
}

/* ---- removing ---- */

static bool is_marked(const struct batch *b, const struct moved *m)
{
	(void)b;
	return m->chosen && !m->was_deleted;
}

/* The chosen ones are to stay after all. */
static int spare_chosen(struct batch *b, struct err *e)
{
	struct err refusal;

	choose(b, is_marked);
	if (!run_chosen(b, "UID STORE", " -FLAGS.SILENT (\\Deleted)", NULL, &refusal))
		return 0;
	if (refusal.scope == ERR_FOLDER)
		return 0; /* no right to: that it was refused is said anyway */
	*e = refusal;
	return -1;
}

static bool is_left(const struct batch *b, const struct moved *m)
{
	(void)b;
	return m->chosen && m->here;
}

/* Servers that say OK and keep it (labels, retention). */
static int check_removed(struct batch *b, struct err *e)
{
	struct imap_taker taker = {.response = take_look, .arg = b};
	bool left = false;

	for (size_t i = 0; i < b->count; i++)
		b->all[i].here = false;
	if (run_chosen(b, "UID FETCH", " (UID FLAGS)", &taker, e))
		return -1;
	choose(b, is_left);
	for (size_t i = 0; i < b->count; i++)
		left = left || b->all[i].chosen;
	if (!left)
		return 0;
	err_set(e, CAUSE_REFUSED, ERR_FOLDER,
	    "%s took the order to remove messages, but they are still there", b->im->at->host);
	if (e)
		e->side = b->im->at->side;
	return -1;
}

/* The chosen ones, which are there, go for good. -1 of scope folder: they stay as they were. */
static int remove_chosen(struct batch *b, struct err *e)
{
	struct err refusal;

	if (!run_chosen(b, "UID STORE", " +FLAGS.SILENT (\\Deleted)", NULL, &refusal) &&
	    !run_chosen(b, "UID EXPUNGE", "", NULL, &refusal) && !check_removed(b, &refusal))
		return 0;
	if (refusal.scope == ERR_FOLDER && spare_chosen(b, e))
		return -1;
	*e = refusal;
	return -1;
}

/* ---- COPYUID ---- */

static bool next_uid(struct imap_set_walk *walk, uint32_t *uid, bool *lies)
{
	int found = imap_set_next(walk, uid);

	if (found < 0 || walk->step < 0) /* "9:7" says nothing about the order */
		*lies = true;
	return found == 1;
}

/* [COPYUID uidvalidity 3:5 90:92]: by position (RFC 4315 §3). */
static void take_copyuid(struct batch *b, const struct imap_response *r)
{
	struct imap *im = b->im;
	struct imap_set_walk from, to;
	uint32_t uid, new_uid;
	uint64_t uidvalidity;

	if (!view_is_nocase(r->code, "COPYUID"))
		return;
	b->told = true;
	if (imap_node_number(r->code_args, &uidvalidity) ||
	    (view_eq(buf_view(&im->now_raw), b->to->raw) && uidvalidity != im->now_uidvalidity))
		b->lies = true;
	from = imap_set_walk(imap_node_text(imap_node_at(r->code_args, 1)));
	to = imap_set_walk(imap_node_text(imap_node_at(r->code_args, 2)));
	while (!b->lies) {
		bool one = next_uid(&from, &uid, &b->lies);
		struct moved *m;

		if (one != next_uid(&to, &new_uid, &b->lies))
			b->lies = true;
		if (!one || b->lies)
			return;
		m = find(b, uid);
		if (!m || m->new_uid) /* not asked for, or told twice */
			b->lies = true;
		else
			m->new_uid = new_uid;
	}
}

static int take_untagged(void *arg, const struct imap_response *r, struct err *e)
{
	(void)e;
	take_copyuid(arg, r);
	return 0;
}

static int compare_uids(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Two items cannot become one. */
static bool has_twins(const struct batch *b)
{
	uint32_t uids[BATCH];
	size_t count = 0;

	for (size_t i = 0; i < b->count; i++)
		if (b->all[i].new_uid)
			uids[count++] = b->all[i].new_uid;
	if (count)
		qsort(uids, count, sizeof(*uids), compare_uids);
	for (size_t i = 1; i < count; i++)
		if (uids[i] == uids[i - 1])
			return true;
	return false;
}

/* ---- placing ---- */

/* UID MOVE or UID COPY of the whole batch. */
static int transfer(struct batch *b, const char *verb, struct err *e)
{
	struct imap_command c;
	int failed;

	choose(b, is_any);
	chosen_set(b, 0); /* fits: see take_batch */
	imap_command_start(b->im, &c, verb);
	imap_command_add(&c, "%s", b->set.data);
	imap_command_add_string(b->im, &c, b->to->raw);
	failed = imap_run(b->im, &c, &(struct imap_taker){.response = take_untagged, .arg = b}, e);
	if (!failed)
		take_copyuid(b, &b->im->reader.response);
	b->lies = b->lies || has_twins(b);
	if (b->lies) {
		b->told = false;
		for (size_t i = 0; i < b->count; i++)
			b->all[i].new_uid = 0;
	}
	return failed;
}

static void set_done(struct imap *im, struct moved *m)
{
	m->item->done = true;
	if (m->new_uid)
		m->item->new_id = view_of(arena_printf(&im->mark_arena, "%" PRIu32, m->new_uid));
}

static void set_reason(struct imap *im, struct moved *m, const char *words)
{
	m->item->reason = arena_strdup(&im->mark_arena, words);
}

/* What is not there any more without having been told was moved by us, or by somebody else. */
static void judge_moved(struct batch *b, struct moved *m, const char *words)
{
	if (m->new_uid || (m->was_here && !m->here && !b->told))
		set_done(b->im, m);
	else if (m->was_here && m->here)
		set_reason(b->im, m, words);
	else
		m->item->gone = true;
}

/* Refused, it may have moved some of them all the same (RFC 6851 §3.3). */
static int move_batch(struct batch *b, struct err *e)
{
	struct err refusal;
	int failed = transfer(b, "UID MOVE", &refusal);
	bool unclear = false;

	if (failed && refusal.scope != ERR_FOLDER) {
		*e = refusal;
		return -1;
	}
	for (size_t i = 0; i < b->count; i++)
		unclear = unclear || (b->all[i].was_here && !b->all[i].new_uid);
	if (unclear && look(b, e))
		return -1;
	for (size_t i = 0; i < b->count; i++)
		judge_moved(b, &b->all[i], failed ? refusal.text : "the server did not move it");
	return 0;
}

/* What was not copied must not be removed. */
static bool is_copied(const struct batch *b, const struct moved *m)
{
	return m->was_here && (m->new_uid || !b->told);
}

/* What became of the batch by COPY, which is all or nothing (RFC 3501 §6.4.7). KEPT: why those that
 * are still here could not be removed, NULL = they could. */
static void judge_copied(struct batch *b, const char *kept)
{
	for (size_t i = 0; i < b->count; i++) {
		struct moved *m = &b->all[i];

		if (is_copied(b, m))
			set_done(b->im, m);
		else if (m->was_here)
			set_reason(b->im, m, "the server did not copy it");
		else
			m->item->gone = true;
		if (kept && m->item->done && m->here)
			set_reason(b->im, m, kept);
	}
}

static void judge_refused(struct batch *b, const char *words)
{
	for (size_t i = 0; i < b->count; i++)
		if (b->all[i].was_here)
			set_reason(b->im, &b->all[i], words);
		else
			b->all[i].item->gone = true;
}

static int copy_batch(struct batch *b, struct err *e)
{
	char kept[500];
	struct err refusal;

	if (transfer(b, "UID COPY", &refusal)) {
		if (refusal.scope == ERR_FOLDER)
			return judge_refused(b, refusal.text), 0;
		*e = refusal;
		return -1;
	}
	choose(b, is_copied);
	if (!remove_chosen(b, &refusal))
		return judge_copied(b, NULL), 0;
	if (refusal.scope != ERR_FOLDER) {
		*e = refusal;
		return -1;
	}
	if (look(b, e))
		return -1;
	snprintf(kept, sizeof(kept), "it was copied, but could not be removed: %s", refusal.text);
	judge_copied(b, kept);
	return 0;
}

/* ---- batches ---- */

/* At most BATCH items from FIRST on, whose set fits; returns how many. */
static size_t take_batch(struct batch *b, struct moved *all, size_t count)
{
	b->all = all;
	b->count = count < BATCH ? count : BATCH;
	b->told = b->lies = false;
	choose(b, is_any);
	return b->count = chosen_set(b, 0);
}

static int each_batch(struct batch *b, struct moved *all, size_t count,
    int (*run)(struct batch *b, struct err *e), struct err *e)
{
	for (size_t first = 0; first < count; first += b->count) {
		take_batch(b, all + first, count - first);
		if (look_before(b, e) || run(b, e))
			return -1;
	}
	return 0;
}

static int remove_batch(struct batch *b, struct err *e)
{
	choose(b, was_here);
	return remove_chosen(b, e);
}

static int cannot(const struct imap *im, struct err *e, enum cause cause, const char *what)
{
	err_set(e, cause, ERR_FOLDER, "%s: %s", im->at->host, what);
	if (e)
		e->side = im->at->side;
	return -1;
}

static int open_folder(struct imap *im, const struct folder *f, struct err *e)
{
	if (imap_select(im, f->raw, true, false, e))
		return -1;
	if (view_eq(buf_view(&im->now_raw), f->raw) && im->now_uidvalidity != im->uidvalidity)
		return cannot(im, e, CAUSE_FOLDER_RESET,
		    "the folder's UIDVALIDITY changed since it was looked at");
	return 0;
}

int imap_place(struct session *s, const struct folder *from, const struct folder *to,
    struct placement *items, size_t count, struct err *e)
{
	struct imap *im = IMAP(s);
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	struct moved *all = arena_new(&scratch, count, sizeof(*all));
	struct batch b = {.im = im, .to = to, .set = BUF_INIT(IMAP_SET_MAX)};
	size_t known = 0;
	uint64_t uid;
	int failed;

	arena_clear(&im->mark_arena);
	if (!imap_has(im, CAP_MOVE) && !imap_has(im, CAP_UIDPLUS))
		return cannot(im, e, CAUSE_REFUSED, "cannot move without MOVE or UIDPLUS");
	if (open_folder(im, from, e))
		return -1;
	for (size_t i = 0; i < count; i++) {
		items[i].done = false;
		items[i].new_id = (struct view){0};
		items[i].reason = NULL;
		items[i].gone = view_number(items[i].id, &uid) || !uid || uid > UINT32_MAX;
		if (!items[i].gone)
			all[known++] = (struct moved){.uid = (uint32_t)uid, .item = &items[i]};
	}
	qsort(all, known, sizeof(*all), compare_moved);
	failed = each_batch(&b, all, known, imap_has(im, CAP_MOVE) ? move_batch : copy_batch, e);
	buf_free(&b.set);
	return failed ? -1 : imap_unselect(im, e);
}

int imap_remove(
    struct session *s, const struct folder *f, const struct view *ids, size_t count, struct err *e)
{
	struct imap *im = IMAP(s);
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	struct moved *all = arena_new(&scratch, count, sizeof(*all));
	struct batch b = {.im = im, .set = BUF_INIT(IMAP_SET_MAX)};
	size_t known = 0;
	uint64_t uid;
	int failed;

	if (!imap_has(im, CAP_UIDPLUS))
		return cannot(
		    im, e, CAUSE_REFUSED, "cannot remove single messages without UIDPLUS");
	if (open_folder(im, f, e))
		return -1;
	for (size_t i = 0; i < count; i++)
		if (!view_number(ids[i], &uid) && uid && uid <= UINT32_MAX)
			all[known++].uid = (uint32_t)uid;
	qsort(all, known, sizeof(*all), compare_moved);
	failed = each_batch(&b, all, known, remove_batch, e);
	buf_free(&b.set);
	return failed ? -1 : imap_unselect(im, e);
}
