/* links.c - the two sessions of a lane. Below flow.c, which mends them. Promises: both are open, or there is an
 * error and the next try opens what is missing; of two errors the destination's is told. */
#include <pthread.h>
#include <stdio.h>

#include "flow/lane.h"

/* A source that is opened beside the destination, so that their round trips pass at the same time: in a
 * thread, with a wait set and a way to the controller of its own. */
struct opening {
	struct lane *l;
	struct connect_env env;
	struct session *session;
	pthread_t thread;
	bool running, failed;
	struct err err;
};

static void *open_beside(void *arg)
{
	struct opening *o = arg;

	o->failed = o->l->from->open(&o->session, o->l->options->source, &o->env, &o->err) != 0;
	return NULL;
}

static void begin_opening(struct opening *o, struct lane *l)
{
	const struct flow_context *beside = l->context->opener;

	*o = (struct opening){.l = l, .env = l->env};
	if (!beside || !l->from->adopt || l->source || l->destination)
		return;
	o->env.waits = beside->waits;
	o->env.secret_arg = beside->secret_arg;
	o->env.note_arg = beside->watch->arg;
	waitset_let_cancel(beside->waits, true);
	o->running = !pthread_create(&o->thread, NULL, open_beside, o);
}

/* The session is ours, or nobody's if there is no use for it. */
static int end_opening(struct opening *o, bool wanted, struct err *e)
{
	struct lane *l = o->l;

	if (!o->running)
		return 0;
	if (!wanted)
		waitset_cancel(o->env.waits);
	pthread_join(o->thread, NULL);
	waitset_let_cancel(o->env.waits, false);
	if (!wanted) {
		if (o->session)
			l->from->close(&o->session, NULL);
		return 0;
	}
	if (o->failed) {
		*e = o->err;
		return -1;
	}
	l->from->adopt(o->session, &l->env);
	l->source = o->session;
	return 0;
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
	struct opening beside;
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
