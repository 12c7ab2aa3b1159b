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
#include <string.h>

#include "flow/lane.h"

#define MANY_ITEMS 500u /* from here on each folder may have a lane; below, some share one */
#define FOLDERS_A_LANE 2u

/* A folder that waits for a lane. */
struct turn {
	struct folder_job *job; /* the first lane's */
	uint64_t items;         /* an estimate */
	bool returned;          /* by a lane that gave up: what the ledger knows is newer than we */
};

/* What a lane took off the list. */
struct task {
	struct turn turn;
	struct folder_job *job; /* the first lane's, or a helper's own */
	struct folder_job own;
};

/* Of a lane that works. */
struct seat {
	struct crew *crew;
	struct helper *helper; /* NULL = the first lane's */
	struct task *next;     /* taken, while the one before it is finished */
};

struct helper {
	struct lane lane;
	struct crew *crew;
	unsigned place; /* from 1 on; the first lane has 0 */
	struct copy_summary summary;
	pthread_t thread;
	bool running, failed;
	struct err err;
};

struct crew {
	struct lane *first;
	struct helper *helpers;
	size_t started;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t news;
	bool begun;   /* the list is there, and the pass is shared */
	bool several; /* there are helpers; since it has begun */
	struct turn *turns;
	size_t count;
	uint64_t taken; /* items in folders that helpers took */
	bool ended;     /* trouble, or nothing to do: no more is begun */
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
	pthread_cond_broadcast(&c->news);
	pthread_mutex_unlock(&c->lock);
}

static void begin_list(struct crew *c)
{
	pthread_mutex_lock(&c->lock);
	c->begun = true;
	c->several = c->started > 0;
	pthread_cond_broadcast(&c->news);
	pthread_mutex_unlock(&c->lock);
}

static bool wait_for_list(struct crew *c)
{
	bool begun;

	pthread_mutex_lock(&c->lock);
	while (!c->begun && !c->ended)
		pthread_cond_wait(&c->news, &c->lock);
	begun = c->begun && !c->ended;
	pthread_mutex_unlock(&c->lock);
	return begun;
}

/* The order of the map, from its end, because that is where the list is taken. */
static int by_place(const void *a, const void *b)
{
	const struct turn *one = a, *other = b;

	return one->job < other->job ? 1 : one->job > other->job ? -1 : 0;
}

/* Ascending; equal ones in the order of the map. */
static int by_items(const void *a, const void *b)
{
	const struct turn *one = a, *other = b;

	if (one->items != other->items)
		return one->items < other->items ? -1 : 1;
	return by_place(a, b);
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

/* ---- what a lane has taken ---- */

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
	    .glanced = job->glanced,
	    .early = job->early};
	hand_on(out, job);
	ledger_set_objects(
	    h->lane.ledger, m, job->memory->source_object, job->memory->target_object);
}

static void task_free(struct task **t)
{
	struct task *old = *t;

	*t = NULL;
	if (!old)
		return;
	folders_job_free(&old->own);
	free(old);
}

/* *OUT = NULL: there is none any more. */
static int task_take(struct lane *l, struct task **out, struct err *e)
{
	struct crew *c = l->seat->crew;
	struct helper *h = l->seat->helper;
	struct task *t;
	struct turn turn;
	int failed = 0;

	*out = l->seat->next;
	l->seat->next = NULL;
	l->next = NULL;
	if (*out || !take_turn(c, l, &turn))
		return 0;
	t = *out = NEW(struct task);
	*t = (struct task){.turn = turn, .job = h ? &t->own : turn.job};
	if (h) {
		helper_job(h, turn.job, &t->own);
		turn.job->early = NULL; /* it has gone along */
	}
	if (turn.returned && h)
		failed = ledger_reload(l->ledger, t->own.memory, e);
	else if (turn.returned)
		failed = flow_resume(l, t->job, e);
	if (failed)
		task_free(out);
	return failed ? -1 : 0;
}

int lanes_next(struct lane *l, struct folder_job **out, struct err *e)
{
	*out = NULL;
	if (!l->seat || l->throttled)
		return 0;
	if (!l->seat->next && task_take(l, &l->seat->next, e))
		return -1;
	*out = l->seat->next ? l->seat->next->job : NULL;
	return 0;
}

bool lanes_are_several(const struct lane *l)
{
	return l->seat && l->seat->crew->several;
}

/* ---- a helper ---- */

/* May the others go on without us? A server that lets in fewer says so in many ways. */
static bool is_ours_alone(const struct helper *h, const struct err *e)
{
	if (e->next == ERR_STOPPED || e->scope == ERR_RUN)
		return false;
	return e->scope == ERR_LINK || !h->lane.connected_once;
}

/* For another lane, which reads what is durable. E stays as it is where that goes well. */
static int leave(struct helper *h, struct turn turn, struct err *e)
{
	struct err trouble;

	if (ledger_sync(h->lane.ledger, &trouble)) {
		*e = trouble;
		return -1;
	}
	give_back(h->crew, turn);
	return 0;
}

static int help_with(struct helper *h, struct task *task, struct err *e)
{
	struct lane *l = &h->lane;
	uint64_t checked = h->summary.items_checked;
	int failed = flow_job(l, task->job, e);

	if (failed)
		hand_on(task->turn.job, task->job);
	if (failed && is_ours_alone(h, e)) {
		h->summary.items_checked = checked; /* whoever takes it over checks all of it */
		leave(h, task->turn, e);
	}
	task_free(&task);
	return failed ? -1 : 0;
}

/* What the first lane has learned since the helper began to connect, and changes no more. */
static int join_pass(struct helper *h, struct err *e)
{
	const struct lane *first = h->crew->first;
	struct lane *l = &h->lane;

	l->map = first->map;
	l->source_folders = first->source_folders;
	l->target_folders = first->target_folders;
	l->hold_deletions = first->hold_deletions;
	return ledger_join(
	    &l->ledger, first->ledger, h->place, l->context->store, l->flags, l->context->hook, e);
}

static int help_on(struct helper *h, struct err *e)
{
	struct lane *l = &h->lane;
	struct task *task;

	while (!l->throttled) {
		if (task_take(l, &task, e))
			return -1;
		if (!task)
			break;
		if (help_with(h, task, e))
			return -1;
	}
	return ledger_sync(l->ledger, e);
}

static int work_along(struct helper *h, struct err *e)
{
	struct seat seat = {.crew = h->crew, .helper = h};
	int failed;

	if (flow_connect(&h->lane, e))
		return -1;
	if (!wait_for_list(h->crew))
		return 0;
	if (join_pass(h, e))
		return -1;
	h->lane.seat = &seat;
	failed = help_on(h, e);
	h->lane.seat = NULL;
	if (seat.next) {
		flow_disconnect(&h->lane, seat.next->job); /* it may have been begun */
		if (!failed || is_ours_alone(h, e))
			failed = leave(h, seat.next->turn, e) || failed ? -1 : 0;
		task_free(&seat.next);
	}
	return failed;
}

static void *help(void *arg)
{
	struct helper *h = arg;

	h->failed = work_along(h, &h->err) != 0;
	if (!h->failed && h->lane.throttled)
		lane_note(&h->lane, "one connection fewer: there is a limit to what is taken");
	else if (h->failed && is_ours_alone(h, &h->err))
		lane_note(&h->lane, "one connection fewer: %s", h->err.text);
	else if (h->failed)
		end_list(h->crew);
	flow_disconnect(&h->lane, NULL);
	return NULL;
}

static struct crew *crew_of(struct lane *l)
{
	struct crew *c = l->crew;

	if (c)
		return c;
	c = l->crew = NEW(struct crew);
	*c = (struct crew){
	    .first = l, .lock = PTHREAD_MUTEX_INITIALIZER, .news = PTHREAD_COND_INITIALIZER};
	c->helpers = mem_new(l->context->helper_count + 1, sizeof(*c->helpers));
	return c;
}

/* Until there are COUNT of them. */
static int start_helpers(struct crew *c, size_t count, struct err *e)
{
	const struct lane *first = c->first;

	while (c->started < count) {
		struct helper *h = &c->helpers[c->started];

		*h = (struct helper){.crew = c, .place = (unsigned)c->started + 1};
		h->lane.summary = &h->summary;
		if (flow_open_lane(
			&h->lane, first->options, &first->context->helpers[c->started], e))
			return -1;
		c->started++;
		h->running = !pthread_create(&h->thread, NULL, help, h);
	}
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

static int end_helpers(struct crew *c, struct err *e)
{
	int failed = 0;

	while (c->started) {
		struct err trouble;

		if (end_helper(&c->helpers[--c->started], &trouble)) {
			*e = trouble;
			failed = -1;
		}
	}
	return failed;
}

void lanes_end(struct lane *l)
{
	struct crew *c = l->crew;
	struct err ignored;

	if (!c)
		return;
	end_list(c);
	end_helpers(c, &ignored);
	free(c->helpers);
	free(c->turns);
	free(c);
	l->crew = NULL;
}

/* ---- all together ---- */

/* The first lane takes its turns like the others. */
static int work(struct lane *l, struct err *e)
{
	struct task *task = NULL;
	int failed = 0;

	while (!failed && !(failed = task_take(l, &task, e)) && task) {
		failed = flow_job(l, task->job, e);
		task_free(&task);
	}
	return failed;
}

void lanes_release(struct lane *l)
{
	if (l->crew && !l->crew->begun)
		lanes_end(l);
}

static bool is_later_pass(const struct lane *l)
{
	for (size_t i = 0; i < l->map.count; i++)
		if (ledger_alive(ledger_folder(l->ledger, l->map.entries[i].source->raw)))
			return true;
	return false;
}

/* Where nothing is far away, the logins of a helper take longer than what little has changed. */
static bool is_soon_done(const struct lane *l, uint64_t items)
{
	return l->near && !l->context->all_lanes && items < MANY_ITEMS && is_later_pass(l);
}

static size_t helpers_worth(const struct lane *l, uint64_t items, size_t folders)
{
	if (is_soon_done(l, items))
		return 0;
	size_t most = items >= MANY_ITEMS ? folders : (folders + 1) / FOLDERS_A_LANE;

	most = most ? most - 1 : 0;
	return most < l->context->helper_count ? most : l->context->helper_count;
}

void lanes_expect(struct lane *l)
{
	uint64_t items = 0;
	size_t folders = 0;
	struct err ignored;

	if (l->crew || l->options->dry_run || l->options->rebuild)
		return;
	if (!l->to->adopt)
		return; /* no time is won; and a Maildir that is being made must not be opened */
	if (l->sessions > 1 || l->throttled)
		return; /* first of all this lane must hold */
	for (size_t i = 0; i < l->map.count; i++) {
		const struct folder *f = l->map.entries[i].source;
		const struct ledger_folder *m = ledger_folder(l->ledger, f->raw);

		uint64_t known = ledger_alive(m);

		if (f->messages <= known ||
		    (f->glance_cursor && !strcmp(m->cursor.text, f->glance_cursor)))
			continue;
		folders++;
		items += f->messages - known;
	}
	start_helpers(crew_of(l), helpers_worth(l, items, folders), &ignored);
}

/* The largest folder is the first lane's, whoever comes first: what helpers take may come back. */
static int work_and_wait(struct crew *c, struct err *e)
{
	struct folder_job *largest;

	if (lanes_next(c->first, &largest, e))
		return -1;
	begin_list(c);
	if (work(c->first, e))
		return -1;
	/* and what helpers gave back after we had done */
	return end_helpers(c, e) || work(c->first, e) ? -1 : 0;
}

static int work_together(struct crew *c, struct err *e)
{
	struct seat seat = {.crew = c};
	uint64_t items = 0;
	int failed = 0;

	for (size_t i = 0; i < c->count; i++)
		items += c->turns[i].items;
	if (start_helpers(c, helpers_worth(c->first, items, c->count), e))
		failed = -1;
	if (!c->count)
		end_list(c); /* who connected in vain need not join */
	else if (!failed && c->started)
		failed = ledger_share(c->first->ledger, (unsigned)c->started + 1, e);
	c->first->seat = &seat;
	if (failed || work_and_wait(c, e)) {
		struct err ignored;

		end_list(c);
		end_helpers(c, &ignored);
		failed = -1;
	}
	c->first->seat = NULL;
	c->first->next = NULL;
	task_free(&seat.next);
	return failed;
}

int lanes_run(struct lane *l, struct err *e)
{
	struct turn *turns = mem_new(l->job_count + 1, sizeof(*turns));
	size_t count = 0;
	struct crew *c;
	int failed = 0;

	for (size_t i = 0; i < l->job_count && !failed; i++) {
		struct folder_job *job = &l->jobs[i];

		if (!job->usable)
			continue;
		if (is_bound(job) || plan_is_idle(l, job))
			failed = flow_job(l, job, e);
		else
			turns[count++] = (struct turn){.job = job, .items = work_in(job)};
	}
	qsort(turns, count, sizeof(*turns), l->context->helper_count ? by_items : by_place);
	c = crew_of(l);
	c->turns = turns;
	c->count = count;
	failed = failed || work_together(c, e);
	lanes_end(l);
	return failed ? -1 : 0;
}
