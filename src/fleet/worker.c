/* worker.c - the process that talks with the mail servers, for one mailbox. Between the controller
 * (a socketpair) and the engine (flow/). Its store is the controller's; secrets are asked for when
 * they are needed and wiped. Promises: it dies with its controller. Does not: open files but those of a
 * Maildir, and of originals that the user wants kept. */
#include "fleet/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "connect/record.h"
#include "fleet/originals.h"
#include "fleet/protocol.h"
#include "flow/flow.h"
#include "flow/survey.h"
#include "flow/verify.h"
#include "net/channel.h"
#include "net/wait.h"

#define PROGRESS_MS 100

struct worker {
	struct channel *channel;
	struct waitset *waits;
	struct store *store;   /* NULL: the job has none */
	struct record *record; /* NULL: none is wanted */
	struct job_summary summary;
	int originals; /* directory */
	struct buf frame;
	int64_t last_progress;
	unsigned long steps, stop_at, stop_durable_at;
	/* the answer to a question */
	bool answered;
	struct buf *secret;
	struct err refusal;
	bool refused;
};

static int bell = -1; /* write end, for the signal handler alone */

static void ring(int signal_number)
{
	int saved = errno;
	ssize_t ignored = write(bell, "", 1);

	(void)signal_number;
	(void)ignored;
	errno = saved;
}

unsigned long worker_stop_step(const char *role)
{
	const char *wish = getenv("GODWIT_TEST_STOP");
	size_t len = strlen(role);

	if (!wish || strncmp(wish, role, len) || wish[len] != ':')
		return 0;
	return strtoul(wish + len + 1, NULL, 10);
}

static void make_durable(struct worker *w)
{
	const struct store_ops *ops = w->store->ops;
	uint64_t ticket;
	struct err ignored;

	if (!ops->barrier(w->store, &ticket, &ignored))
		ops->wait(w->store, ticket, &ignored);
}

static void take_step(void *arg, const char *name)
{
	struct worker *w = arg;

	w->steps++;
	log_debug("step %lu: %s", w->steps, name);
	if (w->steps == w->stop_durable_at)
		make_durable(w);
	if (w->steps == w->stop_at || w->steps == w->stop_durable_at)
		kill(getpid(), SIGKILL);
}

/* ---- telling the controller ---- */

/* What cannot be told (the controller has gone) is met at the next store call. */
static void tell(struct worker *w, uint8_t type)
{
	struct err ignored;

	channel_send(w->channel, type, buf_view(&w->frame), &ignored);
}

static void tell_progress(void *arg, const struct copy_progress *p)
{
	struct worker *w = arg;
	int64_t now = clock_ms();

	if (p->phase == COPY_COPYING && now - w->last_progress < PROGRESS_MS)
		return;
	w->last_progress = now;
	buf_clear(&w->frame);
	buf_add(&w->frame, p, sizeof(*p));
	tell(w, FLEET_PROGRESS);
}

static void tell_folder(
    void *arg, const char *source, const char *target, uint64_t items, uint64_t stored)
{
	struct worker *w = arg;

	buf_clear(&w->frame);
	pack_text(&w->frame, source);
	pack_text(&w->frame, target);
	pack_varint(&w->frame, items);
	pack_varint(&w->frame, stored);
	tell(w, FLEET_FOLDER);
}

static void tell_exception(void *arg, const struct exception *x)
{
	struct worker *w = arg;

	buf_clear(&w->frame);
	exception_pack(&w->frame, x);
	tell(w, FLEET_EXCEPTION);
}

static void tell_note(void *arg, const char *text)
{
	struct worker *w = arg;

	buf_clear(&w->frame);
	buf_add_text(&w->frame, text);
	tell(w, FLEET_NOTE);
}

static void tell_report(
    void *arg, const char *source, const char *target, const struct folder_report *r)
{
	struct worker *w = arg;

	buf_clear(&w->frame);
	pack_text(&w->frame, source);
	pack_text(&w->frame, target);
	pack_view(&w->frame, view_make(r, sizeof(*r)));
	tell(w, FLEET_REPORT);
}

/* ---- secrets ---- */

static int take_other(void *arg, uint8_t type, struct view payload, struct err *e)
{
	struct worker *w = arg;
	struct unpack u = unpack_start(payload);

	if (type != FLEET_SECRET || !w->secret)
		return err_set(e, CAUSE_BUG, ERR_RUN, "the controller said something unasked");
	w->answered = true;
	w->refused = unpack_u8(&u) == 0;
	if (w->refused)
		return fleet_unpack_error(&u, &w->refusal)
			   ? err_set(e, CAUSE_BUG, ERR_RUN, "a malformed frame")
			   : 0;
	return buf_add_view(w->secret, unpack_view(&u))
		   ? err_set(e, CAUSE_USAGE, ERR_RUN, "the password is too long")
		   : 0;
}

static int ask_secret(
    void *arg, enum err_side side, enum secret_need need, struct buf *out, struct err *e)
{
	struct worker *w = arg;
	struct view payload;
	uint8_t type;
	int failed = 0;

	buf_clear(&w->frame);
	pack_u8(&w->frame, (uint8_t)side);
	pack_u8(&w->frame, need == SECRET_WAS_REFUSED);
	w->answered = false;
	w->secret = out;
	if (channel_send(w->channel, FLEET_SECRET_ASK, buf_view(&w->frame), e))
		return -1;
	while (!failed && !w->answered) {
		if (channel_recv(w->channel, &type, &payload, e))
			failed = -1;
		else if (type < STORE_FRAME_LAST && w->store)
			failed = store_remote_frame(w->store, type, payload, e);
		else
			failed = take_other(w, type, payload, e);
	}
	w->secret = NULL;
	if (!failed && w->refused) {
		*e = w->refusal;
		return -1;
	}
	return failed;
}

/* ---- the process ---- */

static int keep_original(void *arg, struct view original, char *name, struct err *e)
{
	struct worker *w = arg;

	return originals_keep(w->originals, original, name, e);
}

static int run(struct worker *w, enum job_kind job, const struct copy_options *o, struct err *e)
{
	struct flow_watch watch = {
	    tell_progress, tell_folder, tell_exception, tell_note, tell_report, .arg = w};
	struct ledger_hook hook = {take_step, w};
	struct flow_options options = {.source = &o->source,
	    .destination = &o->destination,
	    .max_size = o->max_size,
	    .settle_ms = o->settle_ms,
	    .retry_refused = o->retry_refused,
	    .repair = o->repair,
	    .all_namespaces = o->all_namespaces,
	    .dry_run = o->dry_run,
	    .recreate = o->recreate,
	    .rebuild = o->rebuild,
	    .deletions = o->deletions,
	    .deletions_limit = o->deletions_limit,
	    .verify = o->verify};
	struct flow_context context = {.waits = w->waits,
	    .hook = &hook,
	    .secret = ask_secret,
	    .secret_arg = w,
	    .watch = &watch,
	    .record = w->record};

	if (job == JOB_VERIFY)
		return flow_verify(&w->summary.verify, &options, &context, e);
	if (job == JOB_CHECK)
		return flow_survey(&w->summary.survey, &options, &context, e);
	if (o->keep_originals) {
		if (originals_open(&w->originals, o->keep_originals, e))
			return -1;
		context.keep = keep_original;
		context.keep_arg = w;
	}
	if (store_remote_open(&w->store, w->channel, take_other, w, e))
		return -1;
	context.store = w->store;
	return flow_copy(&w->summary.copy, &options, &context, e);
}

static void tell_result(struct worker *w, int failed, const struct err *e)
{
	struct err ignored;

	buf_clear(&w->frame);
	buf_add(&w->frame, &w->summary, sizeof(w->summary));
	pack_u8(&w->frame, failed != 0);
	if (failed)
		fleet_pack_error(&w->frame, e);
	tell(w, FLEET_RESULT);
	channel_flush(w->channel, &ignored);
}

static void hear_signals(int pipe_ends[2])
{
	struct sigaction ring_bell = {.sa_handler = ring, .sa_flags = SA_RESTART};
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	if (pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK))
		_exit(70);
	bell = pipe_ends[1];
	sigaction(SIGTERM, &ring_bell, NULL);
	/* the terminal signals the whole group: the controller decides what to do about it */
	sigaction(SIGINT, &ignore, NULL);
	sigaction(SIGHUP, &ignore, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
}

static _Noreturn void worker_main(int fd, enum job_kind job, const struct copy_options *options)
{
	struct worker w = {
	    .stop_at = worker_stop_step("worker"), .stop_durable_at = worker_stop_step("durable")};
	struct err e = {0};
	char drained[64];
	int ends[2], failed;

	mem_exhaust_silently(); /* the controller says it */
	hear_signals(ends);
	waitset_new(&w.waits, ends[0]);
	channel_new(&w.channel, fd, w.waits);
	buf_init(&w.frame, CHANNEL_FRAME_MAX);
	if (options->record >= 0)
		record_new(&w.record, options->record, tell_note, &w);
	failed = run(&w, job, options, &e);
	record_free(&w.record);
	while (read(ends[0], drained, sizeof(drained)) > 0)
		;
	tell_result(&w, failed, &e);
	if (w.store)
		w.store->ops->close(&w.store);
	channel_free(&w.channel);
	waitset_free(&w.waits);
	buf_free(&w.frame);
	_exit(0);
}

int worker_start(
    pid_t *pid, int *fd, enum job_kind job, const struct copy_options *options, struct err *e)
{
	pid_t parent = getpid(), child;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return err_set(e, CAUSE_BUG, ERR_RUN, "no socketpair: %s", strerror(errno));
	child = fork();
	if (child < 0) {
		close(ends[0]);
		close(ends[1]);
		return err_set(e, CAUSE_BUG, ERR_RUN, "cannot start a worker: %s", strerror(errno));
	}
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, "godwit-worker");
		if (getppid() != parent)
			_exit(70);
		close(ends[0]);
		worker_main(ends[1], job, options);
	}
	close(ends[1]);
	*pid = child;
	*fd = ends[0];
	return 0;
}
