/* flow.c - one pass: connect, prepare the folders, one job after the other, and the mending of lost
 * links. Above copy.c; called by the worker. Promises: an error of scope folder costs its folder, of
 * scope link a new connection and the folder done again from its ledger, wider ones end the pass. */
#include "flow/flow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow/lane.h"
#include "flow/mend.h"

#define RESETS 3            /* how often a folder may be made anew under our hands */
#define MOVES_AMONG 100000u /* a new folder of more messages is not searched for moved ones */

/* ---- links ---- */

/* After an error of scope link: may it be tried again? Then wait as long as is due. */
static int mend(struct lane *l, struct folder_job *job, unsigned *tries, struct err *e)
{
	char note[MEND_NOTE_SIZE];
	int delay_s = mend_delay(e, l->connected_once, tries);

	l->throttled = l->throttled || e->cause == CAUSE_THROTTLED;
	if (e->scope == ERR_LINK) {
		flow_disconnect(l, job);
		lanes_release(l); /* theirs may be the places that we need */
	}
	if (delay_s < 0)
		return -1;
	mend_note(note, e, delay_s);
	lane_note(l, "%s", note);
	return waitset_sleep(l->context->waits, (int64_t)delay_s * 1000, e);
}

/* ---- the pass ---- */

void folders_job_free(struct folder_job *job)
{
	assert(!job->retry);
	early_free(&job->early);
	free(job->todo);
	free(job->stored);
	free(job->changes);
	free(job->vanished);
	free(job->gone);
	free(job->facts);
	free(job->suspects);
	free(job->placed);
	free(job->refusals);
	arena_free(&job->arena);
	arena_free(&job->stored_arena);
	*job = (struct folder_job){0};
}

static void begin_job(struct lane *l, struct folder_job *job)
{
	const struct folder *f = job->source;
	uint64_t ahead = f->messages > job->memory->stored ? f->messages - job->memory->stored : 0;

	l->ahead_items -= ahead < l->ahead_items ? ahead : l->ahead_items;
	snprintf(l->progress.folder, sizeof(l->progress.folder), "%s", job->name);
}

static void end_job(struct lane *l, struct folder_job *job)
{
	const struct flow_watch *watch = l->context->watch;

	l->progress.folders_done++;
	l->summary->folders++;
	l->summary->items_at_source += job->told.total;
	watch->folder(watch->arg, job->name, job->target_name, job->told.total, job->stored_now);
	lane_progress(l);
}

static int idle_job(struct lane *l, struct folder_job *job, struct err *e)
{
	job->told.total = job->source->messages;
	return check_standing(l, job, e);
}

void flow_restart(struct lane *l, struct folder_job *job)
{
	l->progress.items_total -= job->planned < l->progress.items_total ? job->planned : 0;
	l->progress.items_total += job->stored_now - job->stored_before;
	l->progress.bytes_total -=
	    job->planned_bytes < l->progress.bytes_total ? job->planned_bytes : 0;
	l->progress.bytes_total += job->bytes_now - job->bytes_before;
	job->todo_count = job->todo_next = job->change_count = job->doubted_count = 0;
	job->gone_count = job->fact_count = job->refusal_count = 0;
	job->wanted = job->wanted_bytes = 0;
	job->planned = 0;
	job->undecided = job->cursor_stays = false;
	job->vanished_count = job->unlisted = 0;
	job->looked = job->begun = false;
	early_free(&job->early);
}

int flow_resume(struct lane *l, struct folder_job *job, struct err *e)
{
	flow_restart(l, job);
	return ledger_reload(l->ledger, job->memory, e);
}

/* The folder is given up; its exception is of a folder's cause, whatever the accident was. */
static int fail_job(struct lane *l, struct folder_job *job, const struct err *e)
{
	enum cause cause = e->cause < CAUSE_FOLDER_REFUSED ? CAUSE_FOLDER_GONE : e->cause;

	lane_exception(l, job, cause, (struct view){0}, "", "%s", e->text);
	l->summary->folders_failed++;
	job->usable = false;
	return 0;
}

/* A server made the folder anew, or went back in time, while or before we worked on it: its messages are
 * recognised, but not for ever. */
static bool is_reset(struct folder_job *job, const struct err *e)
{
	return e->cause == CAUSE_FOLDER_RESET && (job->source_reset || job->target_reset) &&
	       job->resets++ < RESETS;
}

typedef int work(struct lane *l, struct folder_job *job, struct err *e);

static int look_job(struct lane *l, struct folder_job *job, struct err *e)
{
	return plan_is_idle(l, job) ? 0 : look_folder(l, job, e);
}

static int copy_job(struct lane *l, struct folder_job *job, struct err *e)
{
	return plan_is_idle(l, job) ? idle_job(l, job, e) : copy_folder(l, job, e);
}

/* Work on one folder, through all its troubles. 0 = done, or failed by itself; -1 = the pass ends. */
static int try_job(struct lane *l, struct folder_job *job, work *do_it, struct err *e)
{
	uint64_t settled = l->settled;
	unsigned tries = 0;
	bool lent;

	for (;;) {
		if (!flow_connect(l, e) && !do_it(l, job, e))
			return 0;
		lent = copy_abandon(l, job, e); /* receipts that came count as progress */
		if (e->scope <= ERR_FOLDER) {
			if (lent)
				flow_disconnect(l, job);
			if (!is_reset(job, e))
				return fail_job(l, job, e);
			job->suspect_count = 0; /* ids that meant others */
			flow_restart(l, job);
			continue;
		}
		tries = l->settled == settled ? tries : 0;
		settled = l->settled;
		if (tries == LINK_TRIES - 1 && l->source && l->destination &&
		    e->scope == ERR_LINK) {
			/* logging in works, this folder does not: the others may */
			flow_disconnect(l, job);
			return fail_job(l, job, e);
		}
		if (mend(l, job, &tries, e))
			break;
		flow_restart(l, job);
	}
	flow_disconnect(l, job);
	return -1;
}

int flow_job(struct lane *l, struct folder_job *job, struct err *e)
{
	begin_job(l, job);
	if (try_job(l, job, copy_job, e))
		return -1;
	end_job(l, job);
	folders_job_free(job);
	return 0;
}

/* ---- the account, before anything is sent ---- */

/* Look at the folders that earlier passes finished, or at the others, into which something may have
 * moved. */
static int look_at(struct lane *l, bool finished, struct err *e)
{
	for (size_t i = 0; i < l->job_count; i++) {
		struct folder_job *job = &l->jobs[i];

		if (!job->usable || (job->memory->cursor.text[0] != '\0') != finished)
			continue;
		if (!finished && !l->options->dry_run && job->source->messages > MOVES_AMONG)
			continue;
		if (try_job(l, job, look_job, e))
			return -1;
	}
	return 0;
}

static int move_over(struct lane *l, struct err *e)
{
	unsigned tries = 0, resets = 0;

	while (flow_connect(l, e) || move_items(l, e)) {
		if (e->scope <= ERR_FOLDER &&
		    !(e->cause == CAUSE_FOLDER_RESET && resets++ < RESETS))
			return 0; /* what was not moved is sent */
		if (e->scope > ERR_FOLDER && mend(l, NULL, &tries, e))
			return -1;
		for (size_t i = 0; i < l->job_count; i++)
			if (l->jobs[i].looked)
				flow_restart(l, &l->jobs[i]);
		if (look_at(l, true, e) || look_at(l, false, e))
			return -1;
	}
	return 0;
}

/* What moved between folders, and how much has gone, only all of them together tell. */
static int plan_account(struct lane *l, struct err *e)
{
	if (look_at(l, true, e))
		return -1;
	if (!move_is_possible(l) && !l->options->dry_run) {
		gone_guard(l);
		return 0;
	}
	if (look_at(l, false, e) || move_over(l, e))
		return -1;
	gone_guard(l);
	return 0;
}

/* What would be done. */
static void tally(struct lane *l)
{
	struct copy_summary *sum = l->summary;

	sum->dry_run = true;
	for (size_t i = 0; i < l->job_count; i++) {
		const struct folder_job *job = &l->jobs[i];

		if (!job->usable)
			continue;
		sum->folders++;
		sum->items_at_source += job->looked ? job->told.total : job->source->messages;
		sum->items_before += job->memory->stored + job->memory->found;
		sum->planned_items += job->todo_count;
		for (size_t k = 0; k < job->todo_count; k++)
			sum->planned_bytes += job->todo[k].size;
		sum->items_gone += job->vanished_count;
		plan_tell_unlisted(l, job);
	}
}

static int plan_job(struct lane *l, struct folder_job *job, struct err *e)
{
	if (look_job(l, job, e))
		return -1;
	if (!folder_list_find(&l->target_folders, job->target.raw))
		return 0;
	return mark_folder(l, job, e) || gone_plan(l, job, e) ? -1 : 0;
}

/* Behind all folders that are there, so that what moved out of one that is not has moved. */
static int leave_deserted(struct lane *l, struct err *e)
{
	unsigned tries = 0;

	while (flow_connect(l, e) || gone_deserted(l, e)) {
		if (e->scope <= ERR_FOLDER) {
			lane_note(l, "what went with its folder stays: %s", e->text);
			return 0;
		}
		if (mend(l, NULL, &tries, e))
			return -1;
	}
	return 0;
}

/* What only the destination can tell comes first. */
static int tell_plan(struct lane *l, struct err *e)
{
	for (size_t i = 0; i < l->job_count; i++)
		if (l->jobs[i].usable && try_job(l, &l->jobs[i], plan_job, e))
			return -1;
	if (leave_deserted(l, e))
		return -1;
	tally(l);
	return 0;
}

/* Recognise and remember, nothing else. */
static int rebuild_job(struct lane *l, struct folder_job *job, struct err *e)
{
	const struct ledger_folder *m = job->memory;

	if (reconcile_folder(l, job, e))
		return -1;
	l->summary->folders++;
	l->summary->items_before += m->stored + m->found - job->found_now;
	return 0;
}

static int prepare(struct lane *l, struct err *e)
{
	unsigned tries = 0;

	while (flow_connect(l, e) || folders_prepare(l, e))
		if (mend(l, NULL, &tries, e))
			return -1;
	for (size_t i = 0; i < l->map.count; i++) {
		const struct folder *f = l->map.entries[i].source;
		const struct ledger_folder *m = ledger_folder(l->ledger, f->raw);

		l->ahead_items += f->messages > m->stored ? f->messages - m->stored : 0;
	}
	l->progress.phase = COPY_COPYING;
	l->progress.folders_total = l->map.count;
	lane_progress(l);
	return 0;
}

static void begin_jobs(struct lane *l)
{
	l->jobs = mem_new(l->map.count + 1, sizeof(*l->jobs));
	l->job_count = l->map.count;
	for (size_t i = 0; i < l->job_count; i++) {
		folders_job(l, i, &l->jobs[i]);
		l->summary->folders_failed += !l->jobs[i].usable && !l->options->rebuild;
	}
	early_end(l);
}

static int run_jobs(struct lane *l, struct err *e)
{
	if (l->options->rebuild) {
		l->summary->dry_run = l->options->dry_run;
		for (size_t i = 0; i < l->job_count; i++)
			if (l->jobs[i].usable && try_job(l, &l->jobs[i], rebuild_job, e))
				return -1;
		return 0;
	}
	if (plan_account(l, e))
		return -1;
	if (l->options->dry_run)
		return tell_plan(l, e);
	return lanes_run(l, e) || leave_deserted(l, e) || ledger_sync(l->ledger, e) ? -1 : 0;
}

static int run(struct lane *l, struct err *e)
{
	if (prepare(l, e))
		return -1;
	begin_jobs(l);
	if (run_jobs(l, e))
		return -1;
	l->summary->checked = l->summary->items_checked == l->summary->items_stored;
	l->progress.phase = COPY_DONE;
	lane_progress(l);
	return 0;
}

int flow_open_lane(struct lane *l, const struct flow_options *options,
    const struct flow_context *context, struct err *e)
{
	l->options = options;
	l->context = context;
	l->from = connector_find(options->source->scheme);
	l->to = connector_find(options->destination->scheme);
	if (!l->from || !l->to)
		return err_set(e, CAUSE_USAGE, ERR_RUN, "there is no connector for %s",
		    l->from ? options->destination->scheme : options->source->scheme);
	flags_table_new(&l->flags);
	l->env = (struct connect_env){.waits = context->waits,
	    .flags = l->flags,
	    .origin = options->source->identity,
	    .secret = context->secret,
	    .secret_arg = context->secret_arg,
	    .note = context->watch->note,
	    .note_arg = context->watch->arg,
	    .record = context->record};
	return 0;
}

void flow_close_lane(struct lane *l)
{
	lanes_end(l);
	flow_disconnect(l, NULL);
	for (size_t i = 0; i < l->job_count; i++)
		folders_job_free(&l->jobs[i]);
	early_end(l);
	free(l->jobs);
	name_map_free(&l->map);
	folder_list_free(&l->source_folders);
	folder_list_free(&l->target_folders);
	ledger_close(&l->ledger);
	flags_table_free(&l->flags);
}

int flow_copy(struct copy_summary *summary, const struct flow_options *options,
    const struct flow_context *context, struct err *e)
{
	struct lane l = {.summary = summary};
	int64_t started = clock_ms();
	int failed = flow_open_lane(&l, options, context, e) ||
		     ledger_open(&l.ledger, context->store, options->source->identity,
			 options->destination->identity, l.flags, context->hook, e) ||
		     run(&l, e);

	flow_close_lane(&l);
	summary->elapsed_ms = (uint64_t)(clock_ms() - started);
	return failed ? -1 : 0;
}
