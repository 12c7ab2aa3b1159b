/* follow.c - folders that were renamed since the last pass. Between listing and mapping. One that is
 * missing and one that nobody knows are the same folder when the service says so (an object id), or
 * when they are of one incarnation, no other pair is, and the messages at hand are the same. Then the memory goes with it: a folder
 * renamed at the source is renamed at the destination, one renamed at the destination stays as its
 * user calls it. A destination folder that is missing without a trace was deleted: it is not made
 * again unasked. */
#include "flow/lane.h"

#include <string.h>

struct following {
	struct lane *l;
	const struct connector *connector;
	struct session *session;
	const struct folder_list *list;
	bool at_source;
	/* folders nobody knows, and their instants */
	const struct folder **strange;
	struct cursor *now;
	size_t count;
	struct arena arena;
};

static struct view raw_of(const struct following *f, const struct ledger_folder *m)
{
	return f->at_source ? m->source_raw : m->target_raw;
}

static bool is_known(const struct following *f, const struct folder *folder)
{
	for (const struct ledger_folder *m = ledger_folders(f->l->ledger); m; m = m->next)
		if (view_eq(raw_of(f, m), folder->raw))
			return true;
	return false;
}

/* It was there when we last looked. */
static bool is_missing(const struct following *f, const struct ledger_folder *m)
{
	bool used = f->at_source ? m->cursor.text[0] != 0 : m->target.text[0] != 0;

	return used && raw_of(f, m).len && !folder_list_find(f->list, raw_of(f, m));
}

static int instant_of(
    struct following *f, const struct folder *folder, struct cursor *out, struct err *e)
{
	if (cursor_glance(folder, out))
		return 0;
	if (!f->connector->now(f->session, folder, out, e))
		return 0;
	return e->scope <= ERR_FOLDER ? 0 : -1;
}

static int find_strange(struct following *f, struct err *e)
{
	f->strange = arena_new(&f->arena, f->list->count + 1, sizeof(*f->strange));
	f->now = arena_new(&f->arena, f->list->count + 1, sizeof(*f->now));
	for (size_t i = 0; i < f->list->count; i++) {
		const struct folder *folder = &f->list->folders[i];

		if (!folder->selectable || folder->space != SPACE_PERSONAL || is_known(f, folder))
			continue;
		if (instant_of(f, folder, &f->now[f->count], e))
			return -1;
		f->strange[f->count++] = folder;
	}
	return 0;
}

static bool can_be(const struct following *f, const struct ledger_folder *m, size_t i)
{
	const struct cursor *then = f->at_source ? &m->source : &m->target;
	struct view object = f->at_source ? m->source_object : m->target_object;

	if (object.len && f->strange[i]->object.len)
		return view_eq(object, f->strange[i]->object);
	return cursor_same(&f->now[i], then) && !cursor_went_back(&f->now[i], then);
}

/* The one strange folder that can be it, and that can be nobody else; NULL = none. */
static const struct folder *find_candidate(const struct following *f, const struct ledger_folder *m)
{
	const struct folder *found = NULL;
	size_t at = 0;

	for (size_t i = 0; i < f->count; i++) {
		if (!can_be(f, m, i))
			continue;
		if (found)
			return NULL;
		found = f->strange[i];
		at = i;
	}
	for (const struct ledger_folder *o = ledger_folders(f->l->ledger); found && o; o = o->next)
		if (o != m && is_missing(f, o) && can_be(f, o, at))
			return NULL;
	return found;
}

/* ---- is it? ---- */

struct proof {
	struct view ids[TOPS];
	struct ledger_row rows[TOPS];
	const unsigned char *digests[TOPS]; /* of their headers, as they are at this end */
	size_t count;
	bool other;
};

static int take_proof(void *arg, const struct fact *fact, struct err *e)
{
	struct proof *p = arg;

	(void)e;
	for (size_t i = 0; i < p->count && fact->has_identity; i++)
		if (view_eq(p->ids[i], fact->id))
			p->other |= memcmp(fact->identity.header, p->digests[i],
					sizeof(fact->identity.header)) != 0;
	return 0;
}

/* Its highest items, by their ids at this end. */
static int choose_proofs(
    struct following *f, const struct ledger_folder *m, struct proof *p, struct err *e)
{
	size_t count;

	if (ledger_tops(f->l->ledger, m, p->rows, &count, &f->arena, e))
		return -1;
	for (size_t i = 0; i < count; i++) {
		const struct ledger_row *row = &p->rows[i];

		p->ids[p->count] = f->at_source ? row->source_id : row->target_id;
		p->digests[p->count] = f->at_source ? row->digest : ledger_sent_digest(row);
		p->count += p->ids[p->count].len > 0;
	}
	return 0;
}

/* UIDVALIDITY may come from a clock: of two folders made in one second it is the same. */
static int prove(
    struct following *f, const struct ledger_folder *m, const struct folder **found, struct err *e)
{
	struct proof p = {.count = 0};
	struct changes_ask ask = {.identity = true, .ids = p.ids};
	struct fact_sink sink = {take_proof, &p};
	struct changes_told told;

	if (choose_proofs(f, m, &p, e))
		return -1;
	ask.count = p.count;
	if (p.count && f->connector->changes(f->session, *found, &ask, &sink, &told, e))
		return e->scope <= ERR_FOLDER ? (*found = NULL, 0) : -1;
	*found = p.other ? NULL : *found;
	return 0;
}

/* What M is called now; *out = NULL: it has gone. */
static int find_new_name(
    struct following *f, const struct ledger_folder *m, const struct folder **out, struct err *e)
{
	struct view object = f->at_source ? m->source_object : m->target_object;

	*out = find_candidate(f, m);
	return *out && !(object.len && (*out)->object.len) ? prove(f, m, out, e) : 0;
}

/* ---- the source's ---- */

static int follow_source(struct following *f, struct ledger_folder *m, struct err *e)
{
	const struct folder *found;

	if (find_new_name(f, m, &found, e))
		return -1;
	if (found) {
		m->renamed = true; /* not on record until the destination's folder is renamed */
		ledger_rename_folder(f->l->ledger, m, found->raw);
	}
	return 0;
}

/* ---- the destination's ---- */

static int follow_target(struct following *f, struct ledger_folder *m, struct err *e)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	const struct folder *found;

	if (find_new_name(f, m, &found, e))
		return -1;
	if (!found) {
		m->lost = !f->l->options->recreate;
		return 0;
	}
	m->renamed = false; /* its user has named it */
	lane_note(f->l, "the destination's folder %s is called %s now",
	    folder_display(&scratch, m->target_parts, m->target_depth),
	    folder_display(&scratch, found->parts, found->depth));
	if (f->l->options->dry_run)
		return 0;
	return ledger_set_target(f->l->ledger, m, found->parts, found->depth, found->raw, e);
}

static int follow(struct following *f,
    int (*one)(struct following *f, struct ledger_folder *m, struct err *e), struct err *e)
{
	struct ledger_folder *first = ledger_folders(f->l->ledger), *m = first;
	int failed = 0;

	while (m && !is_missing(f, m))
		m = m->next;
	if (m) {
		failed = find_strange(f, e);
		for (m = first; m && !failed; m = m->next)
			if (is_missing(f, m))
				failed = one(f, m, e);
	}
	arena_free(&f->arena);
	return failed;
}

int follow_folders(struct lane *l, struct err *e)
{
	struct following source = {.l = l,
	    .connector = l->from,
	    .session = l->source,
	    .list = &l->source_folders,
	    .at_source = true};
	struct following target = {
	    .l = l, .connector = l->to, .session = l->destination, .list = &l->target_folders};

	for (struct ledger_folder *m = ledger_folders(l->ledger); m; m = m->next)
		m->lost = false;
	return follow(&source, follow_source, e) || follow(&target, follow_target, e) ? -1 : 0;
}
