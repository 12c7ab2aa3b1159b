/* early.c - what changed in several folders, asked in one flight before the first of them is planned, and kept
 * until plan.c takes it. Beside flow.c. Promises: a folder that tells much, or other than was expected, is
 * asked by itself as ever. */
#include <stdlib.h>

#include "flow/lane.h"

/* What is kept is small, and nobody waits long for it. */
#define FACTS_MAX 8192u /* of all folders */
#define NEW_MAX 1000u   /* new ones of one that is known, as its listing tells */
#define FIRST_MAX 4096u /* of all that are not */
#define OBJECT_MAX 255u /* bytes of an object id (RFC 8474 §4.1) */

struct early {
	struct changes_ask ask;
	struct fact_sink sink;
	struct changes_told told;
	struct fact *facts;
	size_t count, size;
	const char **flags; /* the facts': in the asking lane's table, which lives longer */
	size_t flags_size;
	const struct flags_table *table;
	size_t *kept; /* of all */
	struct arena arena;
	bool too_many;
};

static int keep(void *arg, const struct fact *fact, struct err *e)
{
	struct early *y = arg;
	struct fact *copy;

	(void)e;
	if (!y->too_many && (*y->kept == FACTS_MAX || fact->object.len > OBJECT_MAX)) {
		y->too_many = true;
		*y->kept -= y->count; /* it is asked again: the room is for others */
	}
	if (y->too_many)
		return 0;
	++*y->kept;
	y->facts = mem_room(y->facts, y->count, &y->size, sizeof(*y->facts));
	y->flags = mem_room(y->flags, y->count, &y->flags_size, sizeof(*y->flags));
	y->flags[y->count] = flags_text(y->table, fact->flags);
	copy = &y->facts[y->count++];
	*copy = *fact;
	copy->id = arena_copy(&y->arena, fact->id);
	copy->object = arena_copy(&y->arena, fact->object);
	return 0;
}

void early_forget(struct folder_job *job)
{
	struct early *y = job->early;

	if (!y)
		return;
	arena_free(&y->arena);
	free(y->facts);
	free(y->flags);
	free(y);
	job->early = NULL;
}

/* Nothing else will be asked of it before. */
static bool is_ready(const struct lane *l, const struct folder_job *job)
{
	const struct ledger_folder *m = job->memory;

	return job->usable && !job->looked && !job->early && !m->open && !m->owed &&
	       !m->floor.text[0] && !plan_is_idle(l, job) && !reconcile_is_needed(l, job);
}

/* FIRST: what others that nothing is known of will tell already. */
static bool tells_little(const struct folder_job *job, uint64_t *first)
{
	const struct ledger_folder *m = job->memory;
	uint64_t told = job->source->messages;

	if (m->cursor.text[0])
		return told < ledger_alive(m) + NEW_MAX;
	if (!told || !job->source->glance_cursor || told + *first > FIRST_MAX)
		return false;
	*first += told;
	return true;
}

int early_ask(struct lane *l, struct err *e)
{
	struct asking *list = mem_new(l->job_count + 1, sizeof(*list));
	struct folder_job **jobs = mem_new(l->job_count + 1, sizeof(struct folder_job *));
	size_t count = 0, kept = 0;
	uint64_t first = 0;
	int failed = 0;

	for (size_t i = 0; l->from->changes_all && i < l->job_count; i++) {
		struct folder_job *job = &l->jobs[i];
		struct early *y;

		if (!is_ready(l, job) || !tells_little(job, &first))
			continue;
		y = job->early = NEW(struct early);
		y->ask = plan_ask(job);
		y->kept = &kept;
		y->table = l->flags;
		y->sink = (struct fact_sink){keep, y};
		jobs[count] = job;
		list[count++] =
		    (struct asking){.folder = job->source, .ask = &y->ask, .sink = &y->sink};
	}
	if (count > 1)
		failed = l->from->changes_all(l->source, list, count, e);
	for (size_t i = 0; i < count; i++) {
		jobs[i]->early->told = list[i].told;
		if (failed || !list[i].done || jobs[i]->early->too_many)
			early_forget(jobs[i]);
	}
	free(list);
	free(jobs);
	return failed ? -1 : 0;
}

int early_tell(struct lane *l, struct folder_job *job, const struct fact_sink *sink,
    struct changes_told *told, struct err *e)
{
	const struct early *y = job->early;
	int failed = 0;

	for (size_t i = 0; !failed && i < y->count; i++) {
		y->facts[i].flags = flags_intern(l->flags, view_of(y->flags[i]));
		failed = sink->take(sink->arg, &y->facts[i], e);
	}
	*told = y->told;
	early_forget(job);
	return failed ? -1 : 0;
}
