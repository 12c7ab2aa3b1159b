/* worker.c - the process that talks with the mail servers, for one mailbox. Between the controller
 * (a socketpair) and the engine (flow/). Its store is the controller's; secrets are asked for when
 * they are needed and wiped. Promises: it dies with its controller. Does not: open files but those of a
 * Maildir, and of originals that the user wants kept. */
#include "fleet/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
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
#define LARGE_BLOCK (1u << 18) /* bytes; windows are larger */

struct worker;

/* What a thread has of its own: the way to the controller, and all that waits beside it. The first half is
 * the lanes', the other half their openers'; a job without lanes has one. */
struct line {
	struct worker *worker;
	struct channel *channel;
	struct waitset *waits;
	struct store *store; /* NULL: not opened, or the job has none */
	struct ledger_hook hook;
	struct flow_watch watch;
	struct buf frame;
	int64_t last_progress;
	/* the answer to a question */
	unsigned stale; /* answers to come that nobody waits for any more */
	bool answered;
	struct buf *secret;
	struct err refusal;
	bool refused;
};

struct worker {
	struct line *lines;
	size_t count;
	struct record *record; /* NULL: none is wanted */
	struct job_summary summary;
	int originals;      /* directory */
	atomic_ulong steps; /* of all lanes */
	unsigned long stop_at, stop_durable_at;
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

/* Tests want streams of smaller messages. */
static uint64_t stream_from(void)
{
	const char *wish = getenv("GODWIT_TEST_STREAM");

	return wish ? strtoull(wish, NULL, 10) : 0;
}

static void make_durable(struct store *store)
{
	uint64_t ticket;
	struct err ignored;

	if (!store->ops->barrier(store, &ticket, &ignored))
		store->ops->wait(store, ticket, &ignored);
}

static void take_step(void *arg, const char *name)
{
	const struct line *l = arg;
	struct worker *w = l->worker;
	unsigned long number = atomic_fetch_add(&w->steps, 1) + 1;

	log_debug("step %lu: %s", number, name);
	if (number == w->stop_durable_at)
		make_durable(l->store);
	if (number == w->stop_at || number == w->stop_durable_at)
		kill(getpid(), SIGKILL);
}

/* ---- telling the controller ---- */

/* What cannot be told (the controller has gone) is met at the next store call. */
static void tell(struct line *l, uint8_t type)
{
	struct err ignored;

	channel_send(l->channel, type, buf_view(&l->frame), &ignored);
}

static void tell_progress(void *arg, const struct copy_progress *p)
{
	struct line *l = arg;
	int64_t now = clock_ms();

	if (p->phase == COPY_COPYING && now - l->last_progress < PROGRESS_MS)
		return;
	l->last_progress = now;
	buf_clear(&l->frame);
	buf_add(&l->frame, p, sizeof(*p));
	tell(l, FLEET_PROGRESS);
}

static void tell_folder(
    void *arg, const char *source, const char *target, uint64_t items, uint64_t stored)
{
	struct line *l = arg;

	buf_clear(&l->frame);
	pack_text(&l->frame, source);
	pack_text(&l->frame, target);
	pack_varint(&l->frame, items);
	pack_varint(&l->frame, stored);
	tell(l, FLEET_FOLDER);
}

static void tell_exception(void *arg, const struct exception *x)
{
	struct line *l = arg;

	buf_clear(&l->frame);
	exception_pack(&l->frame, x);
	tell(l, FLEET_EXCEPTION);
}

static void tell_note(void *arg, const char *text)
{
	struct line *l = arg;

	buf_clear(&l->frame);
	buf_add_text(&l->frame, text);
	tell(l, FLEET_NOTE);
}

static void tell_report(
    void *arg, const char *source, const char *target, const struct folder_report *r)
{
	struct line *l = arg;

	buf_clear(&l->frame);
	pack_text(&l->frame, source);
	pack_text(&l->frame, target);
	pack_view(&l->frame, view_make(r, sizeof(*r)));
	tell(l, FLEET_REPORT);
}

/* ---- secrets ---- */

static int take_other(void *arg, uint8_t type, struct view payload, struct err *e)
{
	struct line *l = arg;
	struct unpack u = unpack_start(payload);

	if (type == FLEET_SECRET && l->stale) {
		l->stale--;
		return 0;
	}
	if (type != FLEET_SECRET || !l->secret)
		return err_set(e, CAUSE_BUG, ERR_RUN, "the controller said something unasked");
	l->answered = true;
	l->refused = unpack_u8(&u) == 0;
	if (l->refused)
		return fleet_unpack_error(&u, &l->refusal)
			   ? err_set(e, CAUSE_BUG, ERR_RUN, "a malformed frame")
			   : 0;
	return buf_add_view(l->secret, unpack_view(&u))
		   ? err_set(e, CAUSE_USAGE, ERR_RUN, "the password is too long")
		   : 0;
}

static bool is_of_first_lane(const struct line *l)
{
	return l == l->worker->lines || l == l->worker->lines + LANES_OF(l->worker->count);
}

static int ask_secret(
    void *arg, enum err_side side, enum secret_need need, struct buf *out, struct err *e)
{
	struct line *l = arg;
	struct view payload;
	uint8_t type;
	int failed = 0;

	if (need == SECRET_WAS_REFUSED && !is_of_first_lane(l))
		return err_set(e, CAUSE_LOGIN, ERR_MAILBOX, /* nobody is asked for another */
		    "a further login was refused");
	buf_clear(&l->frame);
	pack_u8(&l->frame, (uint8_t)side);
	pack_u8(&l->frame, need == SECRET_WAS_REFUSED);
	l->answered = false;
	l->secret = out;
	if (channel_send(l->channel, FLEET_SECRET_ASK, buf_view(&l->frame), e))
		return -1;
	while (!failed && !l->answered) {
		if (channel_recv(l->channel, &type, &payload, e))
			failed = -1;
		else if (type < STORE_FRAME_LAST && l->store)
			failed = store_remote_frame(l->store, type, payload, e);
		else
			failed = take_other(l, type, payload, e);
	}
	l->secret = NULL;
	l->stale += failed && !l->answered;
	if (!failed && l->refused) {
		*e = l->refusal;
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

static struct flow_context context_of(struct line *l)
{
	l->watch = (struct flow_watch){
	    tell_progress, tell_folder, tell_exception, tell_note, tell_report, .arg = l};
	l->hook = (struct ledger_hook){take_step, l};
	return (struct flow_context){.waits = l->waits,
	    .store = l->store,
	    .secret = ask_secret,
	    .secret_arg = l,
	    .watch = &l->watch,
	    .hook = &l->hook,
	    .record = l->worker->record,
	    .stream_from = stream_from()};
}

static int copy(struct worker *w, const struct flow_options *options, const struct copy_options *o,
    struct err *e)
{
	struct flow_context contexts[LINES_MAX];
	size_t lanes = LANES_OF(w->count);

	if (o->keep_originals && originals_open(&w->originals, o->keep_originals, e))
		return -1;
	for (size_t i = 0; i < lanes; i++) {
		struct line *l = &w->lines[i];

		if (store_remote_open(&l->store, l->channel, take_other, l, e))
			return -1;
		contexts[i] = context_of(l);
		if (w->count > lanes) {
			contexts[lanes + i] = context_of(&w->lines[lanes + i]);
			contexts[i].opener = &contexts[lanes + i];
		}
		contexts[i].keep = o->keep_originals ? keep_original : NULL;
		contexts[i].keep_arg = w;
	}
	contexts[0].helpers = contexts + 1;
	contexts[0].helper_count = lanes - 1;
	contexts[0].all_lanes = getenv("GODWIT_TEST_LANES");
	return flow_copy(&w->summary.copy, options, &contexts[0], e);
}

static int run(struct worker *w, enum job_kind job, const struct copy_options *o, struct err *e)
{
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
	struct flow_context context;

	if (job == JOB_COPY)
		return copy(w, &options, o, e);
	context = context_of(&w->lines[0]);
	return job == JOB_VERIFY ? flow_verify(&w->summary.verify, &options, &context, e)
				 : flow_survey(&w->summary.survey, &options, &context, e);
}

static void tell_result(struct worker *w, int failed, const struct err *e)
{
	struct line *l = &w->lines[0];
	struct err ignored;

	buf_clear(&l->frame);
	buf_add(&l->frame, &w->summary, sizeof(w->summary));
	pack_u8(&l->frame, failed != 0);
	if (failed)
		fleet_pack_error(&l->frame, e);
	tell(l, FLEET_RESULT);
	channel_flush(l->channel, &ignored);
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

static void open_line(struct line *l, struct worker *w, int fd, int stop_fd)
{
	l->worker = w;
	waitset_new(&l->waits, stop_fd);
	channel_new(&l->channel, fd, l->waits);
	buf_init(&l->frame, CHANNEL_FRAME_MAX);
}

/* What it told has arrived when it is closed. */
static void close_line(struct line *l)
{
	struct err ignored;

	channel_flush(l->channel, &ignored);
	if (l->store)
		l->store->ops->close(&l->store);
	channel_free(&l->channel);
	waitset_free(&l->waits);
	buf_free(&l->frame);
}

static _Noreturn void worker_main(
    const int *fds, size_t count, enum job_kind job, const struct copy_options *options)
{
	struct line lines[LINES_MAX] = {0};
	struct worker w = {.lines = lines,
	    .count = count,
	    .stop_at = worker_stop_step("worker"),
	    .stop_durable_at = worker_stop_step("durable")};
	struct err e = {0};
	char drained[64];
	int ends[2], failed;

	mem_exhaust_silently(); /* the controller says it */
	mem_return_blocks(LARGE_BLOCK);
	hear_signals(ends);
	for (size_t i = 0; i < count; i++)
		open_line(&lines[i], &w, fds[i], ends[0]);
	if (options->record >= 0)
		record_new(&w.record, options->record, tell_note, &lines[0]);
	failed = run(&w, job, options, &e);
	record_free(&w.record);
	while (read(ends[0], drained, sizeof(drained)) > 0)
		;
	for (size_t i = count; i-- > 1;) /* what they told stands before the result */
		close_line(&lines[i]);
	tell_result(&w, failed, &e);
	close_line(&lines[0]);
	_exit(0);
}

static void close_ends(int ends[][2], size_t count, size_t which)
{
	for (size_t i = 0; i < count; i++)
		close(ends[i][which]);
}

int worker_start(pid_t *pid, int *fds, size_t count, enum job_kind job,
    const struct copy_options *options, struct err *e)
{
	pid_t parent = getpid(), child;
	int ends[LINES_MAX][2], own[LINES_MAX];

	assert(count >= 1 && count <= LINES_MAX);
	for (size_t i = 0; i < count; i++)
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends[i])) {
			int error = errno;

			close_ends(ends, i, 0);
			close_ends(ends, i, 1);
			return err_set(e, CAUSE_BUG, ERR_RUN, "no socketpair: %s", strerror(error));
		}
	child = fork();
	if (child < 0) {
		int error = errno;

		close_ends(ends, count, 0);
		close_ends(ends, count, 1);
		return err_set(e, CAUSE_BUG, ERR_RUN, "cannot start a worker: %s", strerror(error));
	}
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, "godwit-worker");
		if (getppid() != parent)
			_exit(70);
		close_ends(ends, count, 0);
		for (size_t i = 0; i < count; i++)
			own[i] = ends[i][1];
		worker_main(own, count, job, options);
	}
	close_ends(ends, count, 1);
	for (size_t i = 0; i < count; i++)
		fds[i] = ends[i][0];
	*pid = child;
	return 0;
}
