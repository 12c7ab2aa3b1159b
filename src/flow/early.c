/* early.c - what there is to tell of several source folders, asked in one flight while the destination's folders
 * are made, and kept until plan.c takes it. Beside folders.c. Promises: a folder that tells much, or other than
 * was expected, is asked by itself as ever. */
#include <stdlib.h>

#include "flow/lane.h"

/* What is kept is small, and nobody waits long for it. */
#define FACTS_MAX 8192u /* of all folders */
#define NEW_MAX 1000u   /* new ones of one that is known, as its listing tells */
#define FIRST_MAX 4096u /* of all that are not */
#define OBJECT_MAX 255u /* bytes of an object id (RFC 8474 §4.1) */

struct early {
	struct flight *flight;
	struct changes_ask ask;
	struct fact_sink sink;
	struct changes_told told;
	struct fact *facts;
	size_t count, size;
	const char **flags; /* the facts': in the asking lane's table, which lives longer */
	size_t flags_size;
	struct arena arena;
	bool too_many;
};

struct flight {
	const struct flags_table *flags;
	struct asking *list;
	struct early **told; /* beside the list; NULL = taken, or nothing */
	size_t count;
	size_t kept;    /* facts of all */
	uint64_t first; /* messages of folders that nothing is known of */
};

static void drop_facts(struct early *y)
{
	arena_free(&y->arena);
	free(y->facts);
	free(y->flags);
	y->facts = NULL;
	y->flags = NULL;
	y->count = y->size = y->flags_size = 0;
}

static int keep(void *arg, const struct fact *fact, struct err *e)
{
	struct early *y = arg;
	struct fact *copy;

	(void)e;
	if (!y->too_many && (y->flight->kept == FACTS_MAX || fact->object.len > OBJECT_MAX)) {
		y->too_many = true;
		y->flight->kept -= y->count; /* it is asked again: the room is for others */
		drop_facts(y);
	}
	if (y->too_many)
		return 0;
	y->flight->kept++;
	y->facts = mem_room(y->facts, y->count, &y->size, sizeof(*y->facts));
	y->flags = mem_room(y->flags, y->count, &y->flags_size, sizeof(*y->flags));
	y->flags[y->count] = flags_text(y->flight->flags, fact->flags);
	copy = &y->facts[y->count++];
	*copy = *fact;
	copy->id = arena_copy(&y->arena, fact->id);
	copy->object = arena_copy(&y->arena, fact->object);
	return 0;
}

void early_free(struct early **y)
{
	struct early *old = *y;

	*y = NULL;
	if (!old)
		return;
	drop_facts(old);
	free(old);
}

/* Nothing else will be asked of it before. */
static bool is_ready(const struct lane *l, const struct folder_job *job)
{
	const struct ledger_folder *m = job->memory;

	return !m->lost && !m->open && !m->owed && !m->floor.text[0] && !plan_is_idle(l, job) &&
	       !reconcile_is_due(l, job);
}

static bool tells_little(struct flight *f, const struct folder_job *job)
{
	const struct ledger_folder *m = job->memory;
	uint64_t told = job->source->messages;

	if (m->cursor.text[0])
		return told < ledger_alive(m) + NEW_MAX;
	if (!told || !job->source->glance_cursor || ledger_alive(m) || m->gone ||
	    told + f->first > FIRST_MAX)
		return false;
	f->first += told;
	return true;
}

static void add(struct flight *f, const struct folder_job *job)
{
	struct early *y = NEW(struct early);

	y->flight = f;
	y->ask = plan_ask(job);
	y->sink = (struct fact_sink){keep, y};
	f->told[f->count] = y;
	f->list[f->count++] =
	    (struct asking){.folder = job->source, .ask = &y->ask, .sink = &y->sink};
}

void early_choose(struct lane *l)
{
	struct flight *f;

	early_end(l);
	if (!l->from->changes_all || l->early_failed || l->options->rebuild)
		return;
	f = l->flight = NEW(struct flight);
	f->flags = l->flags;
	f->list = mem_new(l->map.count + 1, sizeof(*f->list));
	f->told = mem_new(l->map.count + 1, sizeof(struct early *));
	for (size_t i = 0; i < l->map.count; i++) {
		struct folder_job job = {.source = l->map.entries[i].source};

		job.memory = ledger_folder(l->ledger, job.source->raw);
		job.target.raw = job.memory->target_raw;
		if (is_ready(l, &job) && tells_little(f, &job))
			add(f, &job);
	}
	if (f->count < 2)
		early_end(l);
}

int early_ask(struct lane *l, struct err *e)
{
	struct flight *f = l->flight;

	if (!f || !l->from->changes_all(l->source, f->list, f->count, e))
		return 0;
	l->early_failed = true; /* one of them may have cost the link: alone it is known */
	return -1;
}

void early_take(struct lane *l, struct folder_job *job)
{
	struct flight *f = l->flight;

	for (size_t i = 0; f && i < f->count; i++) {
		struct early *y = f->told[i];

		if (!y || f->list[i].folder != job->source || !f->list[i].done || y->too_many)
			continue;
		y->told = f->list[i].told;
		job->early = y;
		f->told[i] = NULL;
	}
}

void early_end(struct lane *l)
{
	struct flight *f = l->flight;

	l->flight = NULL;
	if (!f)
		return;
	for (size_t i = 0; i < f->count; i++)
		early_free(&f->told[i]);
	free(f->list);
	free(f->told);
	free(f);
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
	early_free(&job->early);
	return failed ? -1 : 0;
}
