/* lanes.c - several lanes on one mailbox: threads that take folders off one list, largest first. Beside
 * flow.c, which prepares the account in the first lane alone: folders, moves, the guard on deletions.
 *
 * A folder is one lane's from its look to its cursor, so the order of its messages is kept, and nothing
 * that has to do with it is shared. A helper has sessions, ledger, flags, wait set and channel of its
 * own; it shares the list (under a lock) and what nobody changes any more: options, listings, map.
 * Promises: never less is copied than by one lane: a helper that cannot log in, loses its link for good,
 * or is asked to go slower, ends behind its folder or gives it back; the first lane does what is left.
 * Any other trouble that would end the pass ends it. Does not: split a folder. */
#include <pthread.h>
#include <stdlib.h>

#include "flow/lane.h"

#define MANY_ITEMS 500u /* from here on each folder may have a lane; below, some share one */
#define FOLDERS_A_LANE 2u

/* A folder that waits for a lane. */
struct turn {
	struct folder_job *job; /* the first lane's */
	uint64_t items;         /* an estimate */
	bool returned;          /* by a lane that gave up: what the ledger knows is newer than we */
};

struct crew {
	struct lane *first;
	pthread_mutex_t lock; /* of what follows */
	struct turn *turns;
	size_t count;
	uint64_t taken; /* items in folders that helpers took */
	bool ended;     /* trouble: no more is begun */
};

struct helper {
	struct lane lane;
	struct crew *crew;
	struct copy_summary summary;
	pthread_t thread;
	bool running, failed;
	struct err err;
};

/* ---- the list ---- */

/* What helpers take is not ahead of the first lane any more: it hears of it at its own next turn. */
static bool take_turn(struct crew *c, struct lane *l, struct turn *out)
{
	bool any;

	pthread_mutex_lock(&c->lock);
	any = c->count && !c->ended;
	if (any)
		*out = c->turns[--c->count];
	if (any && l != c->first) {
		c->taken += out->items;
		l->ahead_items += out->items;
	} else if (any) {
		l->ahead_items -= c->taken < l->ahead_items ? c->taken : l->ahead_items;
		c->taken = 0;
	}
	pthread_mutex_unlock(&c->lock);
	return any;
}

static void give_back(struct crew *c, struct turn turn)
{
	pthread_mutex_lock(&c->lock);
	turn.returned = true;
	c->turns[c->count++] = turn;
	pthread_mutex_unlock(&c->lock);
}

static void end_list(struct crew *c)
{
	pthread_mutex_lock(&c->lock);
	c->ended = true;
	pthread_mutex_unlock(&c->lock);
}

/* Ascending, because the list is taken from its end; equal ones in the order of the map. */
static int by_items(const void *a, const void *b)
{
	const struct turn *one = a, *other = b;

	if (one->items != other->items)
		return one->items < other->items ? -1 : 1;
	return one->job < other->job ? 1 : one->job > other->job ? -1 : 0;
}

static uint64_t work_in(const struct folder_job *job)
{
	const struct ledger_folder *m = job->memory;

	if (job->looked)
		return job->todo_count + job->change_count + job->vanished_count;
	return job->source->messages > m->stored ? job->source->messages - m->stored : 1;
}

/* What the first lane knows of it, and the ledger does not. */
static bool is_bound(const struct folder_job *job)
{
	return job->placed_count || job->stored_count || job->source_reset || job->target_reset ||
	       job->resets;
}

/* ---- a helper ---- */

/* What was done of it goes along with it. */
static void hand_on(struct folder_job *to, const struct folder_job *from)
{
	to->stored_now = to->stored_before = from->stored_now;
	to->bytes_now = to->bytes_before = from->bytes_now;
	to->found_now = from->found_now;
}

static void helper_job(struct helper *h, const struct folder_job *job, struct folder_job *out)
{
	struct ledger_folder *m = ledger_folder(h->lane.ledger, job->source->raw);

	*out = (struct folder_job){.usable = true,
	    .source = job->source,
	    .target = job->target,
	    .name = job->name,
	    .target_name = job->target_name,
	    .memory = m,
	    .glanced = job->glanced};
	hand_on(out, job);
	ledger_set_objects(
	    h->lane.ledger, m, job->memory->source_object, job->memory->target_object);
}

/* May the others go on without us? A server that lets in fewer says so in many ways. */
static bool is_ours_alone(const struct helper *h, const struct err *e)
{
	if (e->next == ERR_STOPPED || e->scope == ERR_RUN)
		return false;
	return e->scope == ERR_LINK || !h->lane.connected_once;
}

static int help_with(struct helper *h, const struct turn *turn, struct err *e)
{
	struct lane *l = &h->lane;
	uint64_t checked = h->summary.items_checked;
	struct folder_job job;
	int failed;

	helper_job(h, turn->job, &job);
	if (turn->returned && ledger_reload(l->ledger, job.memory, e))
		return -1;
	failed = flow_job(l, &job, e);
	if (failed)
		hand_on(turn->job, &job);
	folders_job_free(&job);
	if (failed && is_ours_alone(h, e)) {
		struct err trouble;

		h->summary.items_checked = checked; /* whoever takes it over checks all of it */
		if (!ledger_sync(l->ledger, &trouble))
			give_back(h->crew, *turn);
		else
			*e = trouble;
	}
	return failed ? -1 : 0;
}

static void *help(void *arg)
{
	struct helper *h = arg;
	struct turn turn;

	h->failed = flow_connect(&h->lane, &h->err) != 0;
	while (!h->failed && !h->lane.throttled && take_turn(h->crew, &h->lane, &turn))
		h->failed = help_with(h, &turn, &h->err) != 0;
	if (!h->failed && h->lane.throttled)
		lane_note(&h->lane, "one connection fewer: there is a limit to what is taken");
	else if (h->failed && is_ours_alone(h, &h->err))
		lane_note(&h->lane, "one connection fewer: %s", h->err.text);
	else if (h->failed)
		end_list(h->crew);
	flow_disconnect(&h->lane, NULL);
	return NULL;
}

static int start_helper(
    struct helper *h, struct crew *c, const struct flow_context *context, struct err *e)
{
	const struct lane *first = c->first;
	struct lane *l = &h->lane;

	h->crew = c;
	*l = (struct lane){.summary = &h->summary};
	if (flow_open_lane(l, first->options, context, first->ledger, e))
		return -1;
	l->map = first->map;
	l->source_folders = first->source_folders;
	l->target_folders = first->target_folders;
	l->hold_deletions = first->hold_deletions;
	l->env.max_item = first->env.max_item;
	h->running = !pthread_create(&h->thread, NULL, help, h);
	return 0;
}

static void add_summary(struct copy_summary *to, const struct copy_summary *from)
{
	to->folders += from->folders;
	to->folders_failed += from->folders_failed;
	to->items_at_source += from->items_at_source;
	to->items_stored += from->items_stored;
	to->bytes_stored += from->bytes_stored;
	to->items_before += from->items_before;
	to->items_repaired += from->items_repaired;
	to->items_resolved += from->items_resolved;
	to->items_found += from->items_found;
	to->items_moved += from->items_moved;
	to->items_gone += from->items_gone;
	to->items_removed += from->items_removed;
	to->items_left += from->items_left;
	to->marks += from->marks;
	to->items_checked += from->items_checked;
	to->not_copied += from->not_copied;
	to->notes += from->notes;
	to->reconnects += from->reconnects;
	to->source_bytes_in += from->source_bytes_in;
	to->source_waits += from->source_waits;
	to->destination_bytes_out += from->destination_bytes_out;
	to->destination_waits += from->destination_waits;
}

/* Ended and forgotten; -1 = its trouble ends the pass. */
static int end_helper(struct helper *h, struct err *e)
{
	int failed = 0;

	if (h->running) {
		pthread_join(h->thread, NULL);
		failed = h->failed && !is_ours_alone(h, &h->err);
	}
	if (failed)
		*e = h->err;
	add_summary(h->crew->first->summary, &h->summary);
	h->lane.map = (struct name_map){0}; /* the first lane's */
	h->lane.source_folders = h->lane.target_folders = (struct folder_list){0};
	flow_close_lane(&h->lane);
	return failed ? -1 : 0;
}

/* ---- all together ---- */

/* The first lane takes its turns like the others. */
static int work(struct crew *c, struct err *e)
{
	struct lane *l = c->first;
	struct turn turn;

	while (take_turn(c, l, &turn)) {
		if (turn.returned && flow_resume(l, turn.job, e))
			return -1;
		if (flow_job(l, turn.job, e))
			return -1;
	}
	return 0;
}

static size_t helpers_worth(const struct lane *l, const struct crew *c)
{
	uint64_t items = 0;
	size_t most;

	for (size_t i = 0; i < c->count; i++)
		items += c->turns[i].items;
	most = items >= MANY_ITEMS ? c->count : (c->count + 1) / FOLDERS_A_LANE;
	most = most ? most - 1 : 0;
	return most < l->context->helper_count ? most : l->context->helper_count;
}

static int work_together(struct crew *c, struct err *e)
{
	const struct flow_context *context = c->first->context;
	size_t count = helpers_worth(c->first, c);
	struct helper *helpers = mem_new(count + 1, sizeof(*helpers));
	size_t started = 0;
	int failed = 0;

	if (count)
		failed = ledger_share(c->first->ledger, (unsigned)count + 1, e);
	while (!failed && started < count) {
		failed = start_helper(&helpers[started], c, &context->helpers[started], e);
		started++;
	}
	failed = failed || work(c, e);
	if (failed)
		end_list(c);
	for (size_t i = 0; i < started; i++) {
		struct err trouble;

		if (end_helper(&helpers[i], &trouble) && !failed) {
			*e = trouble;
			failed = -1;
		}
	}
	/* what helpers gave back after we had done */
	if (!failed && work(c, e))
		failed = -1;
	free(helpers);
	return failed ? -1 : 0;
}

int lanes_run(struct lane *l, struct err *e)
{
	struct crew c = {.first = l, .lock = PTHREAD_MUTEX_INITIALIZER};
	int failed = 0;

	c.turns = mem_new(l->job_count + 1, sizeof(*c.turns));
	for (size_t i = 0; i < l->job_count && !failed; i++) {
		struct folder_job *job = &l->jobs[i];

		if (!job->usable)
			continue;
		if (!l->context->helper_count || is_bound(job) || plan_is_idle(l, job))
			failed = flow_job(l, job, e);
		else
			c.turns[c.count++] = (struct turn){.job = job, .items = work_in(job)};
	}
	qsort(c.turns, c.count, sizeof(*c.turns), by_items);
	failed = failed || work_together(&c, e);
	free(c.turns);
	return failed ? -1 : 0;
}
