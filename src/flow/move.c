/* move.c - messages that moved at the source move at the destination too, instead of being sent a
 * second time. Between the look at all folders and the copying of each.
 *
 * One that went from a folder and one that is new in another are the same when size and header digest
 * are, and nothing else in the account that went or is new has both; or when as many of them went
 * from one folder as came to one other. A folder that is not at the source any more has lost all that
 * was in it: of that, too, some may be elsewhere now. Each move is an intent on record in the new folder: it is
 * done, or was not, and both are found out (resolve.c).
 *
 * Promises: an item the destination's user has moved or deleted stays as he left it. */
#include "flow/lane.h"

#include <stdlib.h>
#include <string.h>

#define AT_ONCE 500u /* items of one move command */
#define MOVED 255u   /* in todo.tries: dealt with */

/* One that is new, or one that went. */
struct mover {
	struct folder_job *job;
	size_t at; /* in its todo or vanished */
	uint64_t size, object;
	unsigned char header[16];
	bool known; /* its header is */
};

struct movers {
	struct mover *list;
	size_t count, size;
};

struct pair {
	struct folder_job *from, *to;
	size_t went, came; /* in vanished and todo */
};

struct moving {
	struct lane *l;
	struct folder_job *deserted; /* of folders that are not at the source any more */
	size_t deserted_count;
	struct movers went, came;
	struct pair *pairs;
	size_t pair_count;
	struct arena arena;
	/* whose headers are being read: a part of came, and their ids, sorted */
	struct mover *asked;
	struct view *ids;
	size_t id_count;
};

static void add(struct movers *m, const struct mover *one)
{
	m->list = mem_room(m->list, m->count, &m->size, sizeof(*m->list));
	m->list[m->count++] = *one;
}

/* ---- folders that went ---- */

bool move_is_deserted(const struct lane *l, const struct ledger_folder *m)
{
	return m->cursor.text[0] && m->source_raw.len && ledger_alive(m) &&
	       !folder_list_find(&l->source_folders, m->source_raw) &&
	       folder_list_find(&l->target_folders, m->target_raw);
}

static int take_row(void *arg, const struct ledger_row *row, struct err *e)
{
	(void)e;
	if (!row->gone)
		plan_vanish(arg, row);
	return 0;
}

static bool anything_new(const struct lane *l)
{
	for (size_t i = 0; i < l->job_count; i++)
		if (l->jobs[i].usable && l->jobs[i].looked && l->jobs[i].todo_count)
			return true;
	return false;
}

int move_deserted(
    struct lane *l, struct folder_job **out, size_t *found, struct arena *a, struct err *e)
{
	size_t count = 0;

	for (struct ledger_folder *f = ledger_folders(l->ledger); f; f = f->next)
		count += move_is_deserted(l, f);
	*out = arena_new(a, count + 1, sizeof(**out));
	*found = 0;
	for (struct ledger_folder *f = ledger_folders(l->ledger); f; f = f->next) {
		struct folder_job *job = &(*out)[*found];

		if (!move_is_deserted(l, f))
			continue;
		job->usable = true;
		job->memory = f;
		job->target = *folder_list_find(&l->target_folders, f->target_raw);
		job->name = job->target_name =
		    folder_display(&job->arena, job->target.parts, job->target.depth);
		++*found;
		if (ledger_each_row(l->ledger, f, take_row, job, e))
			return -1;
	}
	return 0;
}

bool move_is_possible(struct lane *l)
{
	for (size_t i = 0; i < l->job_count; i++)
		if (l->jobs[i].vanished_count)
			return true;
	for (const struct ledger_folder *f = ledger_folders(l->ledger); f; f = f->next)
		if (move_is_deserted(l, f))
			return true;
	return false;
}

/* ---- who can have moved ---- */

static bool has_copy(const struct ledger_row *row)
{
	return row->target_id.len && row->size &&
	       (row->state == ROW_STORED || row->state == ROW_ADOPTED || row->state == ROW_FOUND);
}

static int by_size(const void *a, const void *b)
{
	const struct mover *x = a, *y = b;

	return (x->size > y->size) - (x->size < y->size);
}

static void add_went(struct moving *m, struct folder_job *job)
{
	for (size_t k = 0; job->usable && k < job->vanished_count; k++) {
		struct mover one = {
		    job, k, job->vanished[k].size, job->vanished[k].object, {0}, true};

		memcpy(one.header, job->vanished[k].digest, sizeof(one.header));
		if (has_copy(&job->vanished[k]))
			add(&m->went, &one);
	}
}

static void find_went(struct moving *m)
{
	for (size_t i = 0; i < m->l->job_count; i++)
		add_went(m, &m->l->jobs[i]);
	for (size_t i = 0; i < m->deserted_count; i++)
		add_went(m, &m->deserted[i]);
	if (m->went.count)
		qsort(m->went.list, m->went.count, sizeof(*m->went.list), by_size);
}

/* New items of a size that went. */
static void find_came(struct moving *m)
{
	for (size_t i = 0; i < m->l->job_count; i++) {
		struct folder_job *job = &m->l->jobs[i];

		for (size_t k = 0; job->usable && job->looked && k < job->todo_count; k++) {
			struct mover one = {
			    job, k, job->todo[k].size, job->todo[k].object, {0}, false};

			if (!job->todo[k].was &&
			    bsearch(&one, m->went.list, m->went.count, sizeof(one), by_size))
				add(&m->came, &one);
		}
	}
}

/* ---- which is which ---- */

/* Where the source names its messages, their headers need not be read. */
static void know_objects(struct moving *m)
{
	for (size_t i = 0; i < m->came.count; i++) {
		struct mover *came = &m->came.list[i], *first, *went;

		first = came->object
			    ? bsearch(came, m->went.list, m->went.count, sizeof(*came), by_size)
			    : NULL;
		while (first && first > m->went.list && first[-1].size == came->size)
			first--;
		for (went = first; went && went < m->went.list + m->went.count &&
				   went->size == came->size && !came->known;
		     went++)
			if (went->object == came->object) {
				memcpy(came->header, went->header, sizeof(came->header));
				came->known = true;
			}
	}
}

static int by_place(const void *a, const void *b)
{
	const struct mover *x = a, *y = b;

	if (x->job != y->job)
		return (x->job > y->job) - (x->job < y->job);
	return view_cmp(x->job->todo[x->at].id, y->job->todo[y->at].id);
}

static int take_header(void *arg, const struct fact *fact, struct err *e)
{
	struct moving *m = arg;
	const struct view *id =
	    bsearch(&fact->id, m->ids, m->id_count, sizeof(*m->ids), view_cmp_sort);
	struct mover *one = id ? &m->asked[id - m->ids] : NULL;

	(void)e;
	if (!one || !fact->has_identity)
		return 0;
	memcpy(one->header, fact->identity.header, sizeof(one->header));
	one->known = true;
	return 0;
}

static int read_headers(struct moving *m, struct err *e)
{
	struct fact_sink sink = {take_header, m};
	struct changes_told told;

	m->ids = arena_new(&m->arena, m->came.count + 1, sizeof(*m->ids));
	qsort(m->came.list, m->came.count, sizeof(*m->came.list), by_place);
	for (size_t i = 0; i < m->came.count;) {
		struct changes_ask ask = {.identity = true, .ids = m->ids};
		struct folder_job *job = m->came.list[i].job;
		bool unknown = false;

		m->asked = &m->came.list[i];
		for (m->id_count = 0; i < m->came.count && m->came.list[i].job == job; i++) {
			m->ids[m->id_count++] = job->todo[m->came.list[i].at].id;
			unknown = unknown || !m->came.list[i].known;
		}
		ask.count = m->id_count;
		if (unknown &&
		    m->l->from->changes(m->l->source, job->source, &ask, &sink, &told, e))
			return -1;
	}
	return 0;
}

/* ---- pairs ---- */

static int by_kind(const void *a, const void *b)
{
	const struct mover *x = a, *y = b;
	int order = memcmp(x->header, y->header, sizeof(x->header));

	if (order || x->size != y->size)
		return order ? order : by_size(a, b);
	return x->job != y->job ? (x->job > y->job) - (x->job < y->job)
				: (x->at > y->at) - (x->at < y->at);
}

static bool same_kind(const struct mover *a, const struct mover *b)
{
	return a->size == b->size && !memcmp(a->header, b->header, sizeof(a->header));
}

/* How many of one kind from FIRST on; *ONE_PLACE: all in one folder. */
static size_t run_of(const struct movers *m, size_t first, bool *one_place)
{
	size_t end = first;

	*one_place = true;
	for (; end < m->count && same_kind(&m->list[end], &m->list[first]); end++)
		*one_place = *one_place && m->list[end].job == m->list[first].job;
	return end - first;
}

static void pair_run(struct moving *m, size_t went, size_t came, size_t count)
{
	for (size_t i = 0; i < count; i++)
		m->pairs[m->pair_count++] =
		    (struct pair){m->went.list[went + i].job, m->came.list[came + i].job,
			m->went.list[went + i].at, m->came.list[came + i].at};
}

static void find_pairs(struct moving *m)
{
	size_t w = 0, c = 0;

	m->pairs = arena_new(&m->arena, m->came.count + 1, sizeof(*m->pairs));
	qsort(m->went.list, m->went.count, sizeof(*m->went.list), by_kind);
	qsort(m->came.list, m->came.count, sizeof(*m->came.list), by_kind);
	while (w < m->went.count && c < m->came.count) {
		bool from_one, to_one;
		size_t gone = run_of(&m->went, w, &from_one), new = run_of(&m->came, c, &to_one);
		int order = memcmp(m->went.list[w].header, m->came.list[c].header, 16);

		if (!order)
			order = by_size(&m->went.list[w], &m->came.list[c]);
		if (!order && gone == new &&from_one &&to_one && m->came.list[c].known &&
		    m->went.list[w].job != m->came.list[c].job)
			pair_run(m, w, c, gone);
		w += order <= 0 ? gone : 0;
		c += order >= 0 ? new : 0;
	}
}

/* ---- moving ---- */

static int by_folders(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;

	if (x->to != y->to)
		return (x->to > y->to) - (x->to < y->to);
	if (x->from != y->from)
		return (x->from > y->from) - (x->from < y->from);
	return (x->came > y->came) - (x->came < y->came);
}

static struct window *window_of(struct moving *m, const struct pair *pairs, size_t count)
{
	struct window *w = ARENA_NEW(&m->arena, struct window);

	w->items = arena_new(&m->arena, count, sizeof(*w->items));
	w->count = count;
	for (size_t i = 0; i < count; i++) {
		const struct todo *t = &pairs[i].to->todo[pairs[i].came];
		const struct ledger_row *row = &pairs[i].from->vanished[pairs[i].went];
		struct window_item *item = &w->items[i];

		*item = (struct window_item){.id = t->id,
		    .size = t->size,
		    .object = t->object,
		    .date = t->date,
		    .date_told = t->date,
		    .flags = row->target_base,
		    .flags_told = row->source_base,
		    .state = ITEM_READ,
		    .msgid = "",
		    .reason = ""};
		memcpy(item->identity.header, ledger_sent_digest(row), sizeof(row->digest));
		memcpy(item->header_told, row->digest, sizeof(row->digest));
		if (ledger_is_repaired(row)) /* its size there was not kept */
			item->repair = row->reason;
		else
			item->identity.size = t->size;
	}
	return w;
}

/* What became of one: the window's item tells the ledger. */
static void judge(struct moving *m, const struct placement *p, struct window_item *item)
{
	if (p->done) {
		item->state = ITEM_STORED;
		item->stored_id = arena_copy(&m->arena, p->new_id);
	} else {
		item->state = ITEM_AGAIN; /* its intent is closed; sent or left alone, see record */
	}
}

static void note_placed(struct folder_job *job, struct view id)
{
	job->placed =
	    mem_room(job->placed, job->placed_count, &job->placed_size, sizeof(*job->placed));
	job->placed[job->placed_count++] = arena_copy(&job->arena, id);
}

bool move_was_placed(const struct folder_job *job, struct view id)
{
	for (size_t i = 0; i < job->placed_count; i++)
		if (view_eq(job->placed[i], id))
			return true;
	return false;
}

/* The copy is there under the new id: what else is due for it. */
static void follow_up(struct moving *m, const struct pair *pair, const struct window_item *item)
{
	struct folder_job *job = pair->to;
	const struct todo *t = &job->todo[pair->came];
	struct ledger_row row = pair->from->vanished[pair->went];
	struct expectation x = {.source_id = item->id,
	    .target_id = item->stored_id,
	    .flags = row.target_base,
	    .flags_told = FLAGS_NONE,
	    .msgid = "",
	    .uncounted = true,
	    .earlier = true};

	row.source_id = item->id;
	row.target_id = item->stored_id;
	row.gone = false;
	m->l->summary->items_moved++;
	if (!item->stored_id.len) {
		note_placed(job, item->id);
		plan_keep_fact(job, t);
		return;
	}
	check_expect(job, &x);
	if (t->flags != row.source_base)
		plan_change(job, &row, t->flags);
}

/* Rows follow: the old one goes, the new one is as the old one was. */
static int record(struct moving *m, const struct pair *pair, const struct placement *p,
    struct window_item *item, struct err *e)
{
	struct ledger *ledger = m->l->ledger;
	struct ledger_row *row = &pair->from->vanished[pair->went];
	struct ledger_row moved = *row;

	if (!p->done && !p->gone)
		return 0; /* refused: it is sent */
	if (p->gone) {
		m->l->summary->items_left++;
		if (ledger_refuse(ledger, pair->to->memory, item, ROW_LEFT, e))
			return -1;
	} else if (row->state == ROW_FOUND && item->stored_id.len) {
		moved.source_id = item->id;
		moved.target_id = item->stored_id;
		moved.gone = false;
		if (ledger_put(ledger, pair->to->memory, &moved, ROW_STORED, e))
			return -1;
	}
	if (p->reason ? ledger_gone(ledger, pair->from->memory, row, true, e) /* it is in both */
		      : ledger_forget(ledger, pair->from->memory, row, e))
		return -1;
	if (p->done)
		follow_up(m, pair, item);
	row->state = 0; /* dealt with: see drop_moved */
	pair->to->todo[pair->came].tries = MOVED;
	return 0;
}

/* The ids there must still mean what they meant: the wrong message would move. After that of TO, so
 * that the session has this one in mind. */
static int check_origin(struct lane *l, struct folder_job *from, struct err *e)
{
	struct cursor now;

	return l->to->now(l->destination, &from->target, &now, e) ||
		       check_same_target(l, from, &now, e)
		   ? -1
		   : 0;
}

static int move_run(struct moving *m, const struct pair *pairs, size_t count, struct err *e)
{
	struct lane *l = m->l;
	struct folder_job *to = pairs[0].to, *from = pairs[0].from;
	struct placement *places = arena_new(&m->arena, count, sizeof(*places));
	struct window *w = window_of(m, pairs, count);
	struct err refusal;

	for (size_t i = 0; i < count; i++)
		places[i].id = from->vanished[pairs[i].went].target_id;
	if (copy_floor(l, to, e))
		return -1;
	if (check_origin(
		l, from, e)) /* nobody can recognise what is in a deserted one: it is sent */
		return e->scope <= ERR_FOLDER && !from->source ? 0 : -1;
	if (ledger_intend(l->ledger, to->memory, w, INTENT_PLACED, &to->floor, e) ||
	    ledger_durable(l->ledger, w->ticket, e))
		return -1;
	if (l->to->place(l->destination, &from->target, &to->target, places, count, &refusal)) {
		if (refusal.scope != ERR_FOLDER) {
			*e = refusal;
			return -1;
		}
		for (size_t i = 0; i < count; i++)
			places[i] = (struct placement){.id = places[i].id};
	}
	for (size_t i = 0; i < count; i++)
		judge(m, &places[i], &w->items[i]);
	if (ledger_receive(l->ledger, to->memory, w, e))
		return -1;
	for (size_t i = 0; i < count; i++)
		if (record(m, &pairs[i], &places[i], &w->items[i], e))
			return -1;
	return 0;
}

static int move_pairs(struct moving *m, struct err *e)
{
	if (m->pair_count)
		qsort(m->pairs, m->pair_count, sizeof(*m->pairs), by_folders);
	for (size_t at = 0, end; at < m->pair_count; at = end) {
		for (end = at; end < m->pair_count && end - at < AT_ONCE; end++)
			if (m->pairs[end].to != m->pairs[at].to ||
			    m->pairs[end].from != m->pairs[at].from)
				break;
		if (move_run(m, m->pairs + at, end - at, e))
			return -1;
	}
	return 0;
}

/* What moved is not to be sent, and has not gone. */
static void drop_moved(struct folder_job *job)
{
	size_t kept = 0;

	for (size_t i = 0; i < job->todo_count; i++)
		if (job->todo[i].tries != MOVED)
			job->todo[kept++] = job->todo[i];
	job->todo_count = kept;
	kept = 0;
	for (size_t i = 0; i < job->vanished_count; i++)
		if (job->vanished[i].state)
			job->vanished[kept++] = job->vanished[i];
	job->vanished_count = kept;
}

/* What is told of them is as if it were done. */
static void pretend(struct moving *m)
{
	for (size_t i = 0; i < m->pair_count; i++) {
		m->pairs[i].from->vanished[m->pairs[i].went].state = 0;
		m->l->pretended += !m->pairs[i].from->source;
		m->pairs[i].to->todo[m->pairs[i].came].tries = MOVED;
	}
}

static int run(struct moving *m, struct err *e)
{
	struct lane *l = m->l;

	if (!anything_new(l))
		return 0;
	if (move_deserted(l, &m->deserted, &m->deserted_count, &m->arena, e))
		return -1;
	find_went(m);
	if (!m->went.count || !l->to->place)
		return 0;
	find_came(m);
	know_objects(m);
	if (!m->came.count || read_headers(m, e))
		return m->came.count ? -1 : 0;
	find_pairs(m);
	l->summary->planned_moves += m->pair_count;
	if (!l->options->dry_run)
		return move_pairs(m, e);
	pretend(m);
	return 0;
}

int move_items(struct lane *l, struct err *e)
{
	struct moving m = {.l = l};
	int failed = run(&m, e);

	for (size_t i = 0; i < l->job_count; i++)
		drop_moved(&l->jobs[i]);
	for (size_t i = 0; i < m.deserted_count; i++)
		folders_job_free(&m.deserted[i]);
	free(m.went.list);
	free(m.came.list);
	arena_free(&m.arena);
	return failed;
}
