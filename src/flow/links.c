/* links.c - the two sessions of a lane. Below flow.c, which mends them. Promises: both are open, or there is an
 * error and the next try opens what is missing; of two errors the destination's is told. */
#include <pthread.h>
#include <stdio.h>

#include "flow/lane.h"

/* Something that is done at the source in a thread, with a wait set and a way to the controller of its own, so
 * that its round trips pass while those of the destination do. */
struct beside {
	struct lane *l;
	struct connect_env env;
	int (*work)(struct beside *b, struct err *e);
	flow_part *part; /* of it */
	struct session *session;
	pthread_t thread;
	bool running, failed;
	struct err err;
};

static void *work_beside(void *arg)
{
	struct beside *b = arg;

	b->failed = b->work(b, &b->err) != 0;
	return NULL;
}

static void begin_beside(struct beside *b)
{
	struct waitset *waits = b->l->context->opener->waits;

	waitset_let_cancel(waits, true);
	b->running = !pthread_create(&b->thread, NULL, work_beside, b);
	if (!b->running)
		waitset_let_cancel(waits, false);
}

/* Without a thread it is done now. */
static int end_beside(struct beside *b, struct err *e)
{
	if (!b->running)
		return b->work(b, e);
	pthread_join(b->thread, NULL);
	waitset_let_cancel(b->env.waits, false);
	if (b->failed)
		*e = b->err;
	return b->failed ? -1 : 0;
}

/* False: there is no thread for it. */
static bool can_be_beside(struct beside *b, struct lane *l)
{
	const struct flow_context *own = l->context->opener;

	*b = (struct beside){.l = l, .env = l->env};
	if (!own || !l->from->adopt)
		return false;
	b->env.waits = own->waits;
	b->env.secret_arg = own->secret_arg;
	b->env.note_arg = own->watch->arg;
	return true;
}

static int open_beside(struct beside *b, struct err *e)
{
	return b->l->from->open(&b->session, b->l->options->source, &b->env, e);
}

static void begin_opening(struct beside *b, struct lane *l)
{
	if (!can_be_beside(b, l) || l->source || l->destination)
		return;
	b->work = open_beside;
	begin_beside(b);
}

/* The session is ours, or nobody's if there is no use for it. */
static int end_opening(struct beside *b, bool wanted, struct err *e)
{
	struct lane *l = b->l;
	struct err ignored;

	if (!b->running)
		return 0;
	if (!wanted)
		waitset_cancel(b->env.waits);
	if (end_beside(b, wanted ? e : &ignored))
		return wanted ? -1 : 0;
	if (!wanted) {
		l->from->close(&b->session, NULL);
		return 0;
	}
	l->from->adopt(b->session, &l->env);
	l->source = b->session;
	return 0;
}

static int part_beside(struct beside *b, struct err *e)
{
	return b->part(b->l, e);
}

int flow_both(struct lane *l, flow_part *at_source, flow_part *at_destination, struct err *e)
{
	struct beside b;
	struct err trouble;
	int source, destination;

	if (!can_be_beside(&b, l))
		return at_source(l, e) || at_destination(l, e) ? -1 : 0;
	b.work = part_beside;
	b.part = at_source;
	l->from->adopt(l->source, &b.env);
	begin_beside(&b);
	destination = at_destination(l, e);
	source = end_beside(&b, &trouble);
	l->from->adopt(l->source, &l->env);
	if (source)
		*e = trouble;
	return source || destination ? -1 : 0;
}

/* Unless it is open. SOFTWARE is what it calls itself. */
static int open_one(struct lane *l, const struct connector *c, struct session **s,
    const struct endpoint *at, char *software, size_t size, struct err *e)
{
	if (!*s && c->open(s, at, &l->env, e))
		return -1;
	snprintf(software, size, "%s", (*s)->caps.software);
	return 0;
}

static int open_destination(struct lane *l, struct err *e)
{
	struct copy_summary *sum = l->summary;

	if (open_one(l, l->to, &l->destination, l->options->destination, sum->destination_software,
		sizeof(sum->destination_software), e))
		return -1;
	l->env.max_item = lane_max_size(l);
	return 0;
}

static int open_source(struct lane *l, struct err *e)
{
	struct copy_summary *sum = l->summary;

	return open_one(l, l->from, &l->source, l->options->source, sum->source_software,
	    sizeof(sum->source_software), e);
}

int flow_connect(struct lane *l, struct err *e)
{
	struct beside beside;
	bool failed;

	if (l->source && l->destination)
		return 0;
	if (!l->connected_once) {
		l->progress.phase = COPY_CONNECTING;
		lane_progress(l);
	}
	begin_opening(&beside, l);
	/* the destination first: its limit bounds what the source may send */
	failed = open_destination(l, e) != 0;
	if (end_opening(&beside, !failed, e) || failed || open_source(l, e))
		return -1;
	l->summary->reconnects += l->connected_once;
	l->connected_once = true;
	l->sessions++;
	l->window_bytes = WINDOW_FIRST / 2;
	l->reading = l->writing = (struct pace){0};
	l->connected_at = clock_ms();
	return 0;
}

void flow_disconnect(struct lane *l, struct folder_job *job)
{
	struct session_stats from = {0}, to = {0};

	if (job)
		copy_abandon(l, job, NULL);
	if (l->source)
		l->from->close(&l->source, &from);
	if (l->destination)
		l->to->close(&l->destination, &to);
	l->summary->source_bytes_in += from.bytes_in;
	l->summary->source_waits += from.waits;
	l->summary->destination_bytes_out += to.bytes_out;
	l->summary->destination_waits += to.waits;
}
