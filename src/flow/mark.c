/* mark.c - flags that changed at the source since they were last carried over. Behind the windows of
 * copy.c. The three-way rule of DESIGN §7: only the source's changes travel, and only where the
 * destination still shows what we wrote; what its user changed there stays. */
#include "flow/lane.h"

#include <stdlib.h>
#include <string.h>

struct marking {
	struct lane *l;
	struct folder_job *job;
	struct mark *marks; /* one a change; what travels */
	uint32_t *shown;    /* what the destination shows now */
	bool *here;
};

static int by_target(const void *a, const void *b)
{
	return view_cmp(
	    ((const struct change *)a)->row.target_id, ((const struct change *)b)->row.target_id);
}

static int take_shown(void *arg, const struct fact *fact, struct err *e)
{
	struct marking *m = arg;
	struct change key = {.row.target_id = fact->id};
	struct change *c =
	    bsearch(&key, m->job->changes, m->job->change_count, sizeof(key), by_target);

	(void)e;
	if (c) {
		m->shown[c - m->job->changes] = fact->flags;
		m->here[c - m->job->changes] = true;
	}
	return 0;
}

static int look(struct marking *m, struct err *e)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	struct view *ids = arena_new(&scratch, m->job->change_count, sizeof(*ids));
	struct changes_ask ask = {
	    .ids = ids, .count = m->job->change_count, .marks_follow = !m->l->options->dry_run};
	struct fact_sink sink = {take_shown, m};
	struct changes_told told;

	for (size_t i = 0; i < m->job->change_count; i++)
		ids[i] = m->job->changes[i].row.target_id;
	if (m->l->to->changes(m->l->destination, &m->job->target, &ask, &sink, &told, e))
		return -1;
	return check_same_target(m->l, m->job, &told.cursor, e);
}

/* What travels: added at the source and not taken away at the destination since, and the reverse. */
static void decide(struct marking *m, size_t i)
{
	struct flags_table *t = m->l->flags;
	const struct change *c = &m->job->changes[i];
	uint32_t added = flags_minus(t, c->flags, c->row.source_base);
	uint32_t removed = flags_minus(t, c->row.source_base, c->flags);
	uint32_t taken_away = flags_minus(t, c->row.target_base, m->shown[i]);
	uint32_t put_there = flags_minus(t, m->shown[i], c->row.target_base);

	m->marks[i] = (struct mark){.id = c->row.target_id,
	    .add = flags_minus(t, flags_minus(t, added, taken_away), m->shown[i]),
	    .remove = flags_common(t, flags_minus(t, removed, put_there), m->shown[i])};
}

static int record(struct marking *m, size_t i, struct err *e)
{
	struct flags_table *t = m->l->flags;
	struct change *c = &m->job->changes[i];
	const struct mark *mark = &m->marks[i];

	if (mark->done && m->here[i])
		c->row.target_base =
		    flags_minus(t, flags_union(t, m->shown[i], mark->add), mark->remove);
	else if (m->here[i])
		c->row.target_base = m->shown[i];
	c->row.source_base = c->flags;
	m->l->summary->marks += mark->done && (mark->add || mark->remove);
	return ledger_rebase(m->l->ledger, m->job->memory, &c->row, e);
}

/* Send those marks that say something and are not done yet. */
static int send_marks(struct marking *m, struct err *e)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	size_t count = m->job->change_count, sent = 0;
	struct mark *list = arena_new(&scratch, count, sizeof(*list));
	size_t *at = arena_new(&scratch, count, sizeof(*at));

	for (size_t i = 0; i < count; i++)
		if (m->here[i] && !m->marks[i].done && (m->marks[i].add || m->marks[i].remove)) {
			at[sent] = i;
			list[sent++] = m->marks[i];
		}
	if (sent && m->l->to->mark(m->l->destination, &m->job->target, list, sent, e))
		return -1;
	for (size_t i = 0; i < sent; i++) {
		struct mark *mark = &m->marks[at[i]];
		const struct change *c = &m->job->changes[at[i]];

		*mark = list[i];
		if (!mark->done)
			lane_exception(m->l, m->job, CAUSE_FLAGS, c->row.source_id, "",
			    "the change to \"%s\" was refused: %s",
			    flags_text(m->l->flags, c->flags), mark->reason);
	}
	return 0;
}

/* A keyword that is refused shall not keep \Seen from travelling. */
static void leave_keywords(struct marking *m)
{
	for (size_t i = 0; i < m->job->change_count; i++) {
		struct mark *mark = &m->marks[i];

		if (mark->done)
			continue;
		if (!flags_has_keywords(m->l->flags, mark->add) &&
		    !flags_has_keywords(m->l->flags, mark->remove))
			mark->add = mark->remove = FLAGS_NONE; /* refused as they are */
		mark->add = flags_only_system(m->l->flags, mark->add);
		mark->remove = flags_only_system(m->l->flags, mark->remove);
	}
}

/* What would travel. */
static int count_marks(struct marking *m)
{
	for (size_t i = 0; i < m->job->change_count; i++)
		m->l->summary->planned_marks +=
		    m->here[i] && (m->marks[i].add || m->marks[i].remove);
	return 0;
}

static int mark_all(struct marking *m, struct err *e)
{
	if (look(m, e))
		return -1;
	for (size_t i = 0; i < m->job->change_count; i++)
		decide(m, i);
	if (m->l->options->dry_run)
		return count_marks(m);
	if (send_marks(m, e))
		return -1;
	leave_keywords(m);
	if (send_marks(m, e))
		return -1;
	for (size_t i = 0; i < m->job->change_count; i++)
		if (record(m, i, e))
			return -1;
	return 0;
}

int mark_folder(struct lane *l, struct folder_job *job, struct err *e)
{
	size_t count = job->change_count;
	struct marking m = {.l = l, .job = job};
	struct arena scratch AUTO(arena_free) = ARENA_INIT;

	if (!count || !l->to->mark)
		return 0;
	qsort(job->changes, count, sizeof(*job->changes), by_target);
	m.marks = arena_new(&scratch, count, sizeof(*m.marks));
	m.shown = arena_new(&scratch, count, sizeof(*m.shown));
	m.here = arena_new(&scratch, count, sizeof(*m.here));
	return mark_all(&m, e);
}
