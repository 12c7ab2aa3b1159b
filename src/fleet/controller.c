/* controller.c - runs one job: a copy takes the lock and owns the store; starts the worker, serves it.
 * Between the program (fleet.h) and the worker (a channel). Promises: whatever the worker wrote is
 * durable in its order; a worker that dies or lies costs this run only. Never parses a byte from a
 * mail server: what comes from there comes in bounded frames and is printed with care. */
#include "fleet/fleet.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "fleet/lock.h"
#include "fleet/protocol.h"
#include "fleet/worker.h"
#include "net/channel.h"

#define TICK_MS 100

/* A thread's way to us. */
struct line {
	struct channel *channel;     /* NULL: it has ended */
	struct store_server *server; /* NULL: the job has no store */
	struct copy_progress progress;
};

struct controller {
	const struct secret_source *secrets;
	const struct copy_watcher *watcher;
	struct job_summary *summary;
	struct store *store; /* NULL: the job has none */
	struct waitset *waits;
	struct line lines[LINES_MAX]; /* what concerns the whole job passes over the first */
	size_t count;
	struct buf frame;
	pid_t worker;
	unsigned long frames, stop_at;
	/* the stop bell, as one of the wait set's */
	struct waiter bell;
	int stop_fd;
	bool stopping;
	/* the worker's last word */
	bool finished, failed;
	struct err result;
};

/* ---- the stop bell ---- */

static struct controller *of_bell(struct waiter *w)
{
	return (struct controller *)((char *)w - offsetof(struct controller, bell));
}

static int bell_fd(struct waiter *w)
{
	return of_bell(w)->stopping ? -1 : of_bell(w)->stop_fd;
}

static short bell_wants(struct waiter *w)
{
	(void)w;
	return POLLIN;
}

/* The worker stops in order; until it has, it is served. */
static void bell_ready(struct waiter *w, short revents)
{
	struct controller *c = of_bell(w);

	(void)revents;
	c->stopping = true;
	kill(c->worker, SIGTERM);
}

/* ---- frames ---- */

static int malformed(struct err *e)
{
	return err_set(e, CAUSE_BUG, ERR_RUN, "the worker sent a malformed frame");
}

/* Plain memory from a stranger: is it a bool? */
static bool is_truth(const bool *at)
{
	return *(const unsigned char *)at <= 1;
}

static int answer_secret(
    struct controller *c, struct line *line, struct view payload, struct err *e)
{
	struct unpack u = unpack_start(payload);
	uint8_t side = unpack_u8(&u);
	bool refused = unpack_u8(&u) != 0;
	struct buf secret = BUF_INIT(65536);
	struct err why;
	int failed;

	if (unpack_done(&u) || side > ERR_DESTINATION)
		return malformed(e);
	buf_clear(&c->frame);
	if (!c->secrets->get(c->secrets->arg, (enum err_side)side, refused, &secret, &why)) {
		pack_u8(&c->frame, 1);
		pack_view(&c->frame, buf_view(&secret));
	} else {
		pack_u8(&c->frame, 0);
		fleet_pack_error(&c->frame, &why);
	}
	failed = channel_send(line->channel, FLEET_SECRET, buf_view(&c->frame), e) ||
		 channel_flush(line->channel, e);
	if (secret.data)
		explicit_bzero(secret.data, secret.size);
	explicit_bzero(c->frame.data, c->frame.size);
	buf_free(&secret);
	return failed;
}

/* Of all lanes together; the folder is that of the one who spoke last. */
static void show_progress(struct controller *c, const struct line *last)
{
	struct copy_progress all = last->progress;

	if (all.phase != COPY_CHECKING)
		all.phase = c->lines[0].progress.phase;
	all.folders_done = all.folders_total = 0;
	all.items_done = all.items_total = all.bytes_done = all.bytes_total = 0;
	for (size_t i = 0; i < c->count; i++) {
		const struct copy_progress *p = &c->lines[i].progress;

		all.folders_done += p->folders_done;
		all.folders_total += p->folders_total;
		all.items_done += p->items_done;
		all.items_total += p->items_total;
		all.bytes_done += p->bytes_done;
		all.bytes_total += p->bytes_total;
	}
	c->watcher->progress(c->watcher->arg, &all);
}

static int take_progress(
    struct controller *c, struct line *line, struct view payload, struct err *e)
{
	struct copy_progress *p = &line->progress;

	if (payload.len != sizeof(*p))
		return malformed(e);
	memcpy(p, payload.data, sizeof(*p));
	p->folder[sizeof(p->folder) - 1] = '\0';
	if (p->phase > COPY_DONE) {
		*p = (struct copy_progress){0};
		return malformed(e);
	}
	show_progress(c, line);
	return 0;
}

static int take_folder(struct controller *c, struct view payload, struct err *e)
{
	struct unpack u = unpack_start(payload);
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	const char *source = arena_text(&scratch, unpack_view(&u));
	const char *target = arena_text(&scratch, unpack_view(&u));
	uint64_t items = unpack_varint(&u), stored = unpack_varint(&u);

	if (unpack_done(&u))
		return malformed(e);
	c->watcher->folder(c->watcher->arg, source, target, items, stored);
	return 0;
}

static int take_exception(struct controller *c, struct view payload, struct err *e)
{
	struct unpack u = unpack_start(payload);
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	struct exception x;

	if (exception_unpack(&u, &x, &scratch) || unpack_done(&u))
		return malformed(e);
	c->watcher->exception(c->watcher->arg, &x);
	return 0;
}

static int take_note(struct controller *c, struct view payload)
{
	char text[500];

	text_printable(text, sizeof(text), payload.data, payload.len);
	c->watcher->note(c->watcher->arg, text);
	return 0;
}

static int take_report(struct controller *c, struct view payload, struct err *e)
{
	struct unpack u = unpack_start(payload);
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	const char *source = arena_text(&scratch, unpack_view(&u));
	const char *target = arena_text(&scratch, unpack_view(&u));
	struct view packed = unpack_view(&u);
	struct folder_report r;

	if (unpack_done(&u) || packed.len != sizeof(r))
		return malformed(e);
	memcpy(&r, packed.data, sizeof(r));
	if ((r.kind != JOB_VERIFY && r.kind != JOB_CHECK) || !is_truth(&r.survey.there))
		return malformed(e);
	c->watcher->report(c->watcher->arg, source, target, &r);
	return 0;
}

static bool has_truths(const struct job_summary *s)
{
	return is_truth(&s->copy.deletions_held) && is_truth(&s->copy.dry_run) &&
	       is_truth(&s->copy.checked) && is_truth(&s->survey.limit_told) &&
	       is_truth(&s->survey.quota_told) && is_truth(&s->survey.quota_short);
}

/* Texts of a summary as the worker sent it. */
static void end_texts(struct job_summary *s)
{
	char *const texts[] = {s->copy.source_software, s->copy.destination_software,
	    s->verify.source_software, s->verify.destination_software, s->survey.source_software,
	    s->survey.destination_software};

	for (size_t i = 0; i < COUNT_OF(texts); i++)
		texts[i][sizeof(s->copy.source_software) - 1] = '\0';
}

static int take_result(struct controller *c, struct view payload, struct err *e)
{
	struct unpack u;

	if (payload.len < sizeof(*c->summary))
		return malformed(e);
	memcpy(c->summary, payload.data, sizeof(*c->summary));
	end_texts(c->summary);
	if (!has_truths(c->summary)) {
		*c->summary = (struct job_summary){0};
		return malformed(e);
	}
	u = unpack_start(
	    view_make(payload.data + sizeof(*c->summary), payload.len - sizeof(*c->summary)));
	c->failed = unpack_u8(&u) != 0;
	if ((c->failed && fleet_unpack_error(&u, &c->result)) || unpack_done(&u))
		return malformed(e);
	c->finished = true;
	return 0;
}

static int take_frame(
    struct controller *c, struct line *line, uint8_t type, struct view payload, struct err *e)
{
	if (++c->frames == c->stop_at)
		kill(getpid(), SIGKILL);
	if (type < STORE_FRAME_LAST && line->server)
		return store_server_frame(line->server, type, payload, e);
	switch (type) {
	case FLEET_SECRET_ASK:
		return answer_secret(c, line, payload, e);
	case FLEET_PROGRESS:
		return take_progress(c, line, payload, e);
	case FLEET_FOLDER:
		return take_folder(c, payload, e);
	case FLEET_EXCEPTION:
		return take_exception(c, payload, e);
	case FLEET_NOTE:
		return take_note(c, payload);
	case FLEET_REPORT:
		return take_report(c, payload, e);
	case FLEET_RESULT:
		return line == c->lines ? take_result(c, payload, e) : malformed(e);
	default:
		return malformed(e);
	}
}

/* All frames that are there. But for the first one a line may end at any time, also while its question
 * is answered. */
static int take_frames(struct controller *c, struct line *line, struct err *e)
{
	struct view payload;
	uint8_t type;
	int got = 0;

	while (line->channel && !(c->finished && line == c->lines) &&
	       (got = channel_came(line->channel, &type, &payload, e)) == 1)
		if (take_frame(c, line, type, payload, e)) {
			got = -1;
			break;
		}
	if (got < 0 && line != c->lines && e->cause == CAUSE_STOPPED) {
		channel_free(&line->channel);
		return 0;
	}
	return got < 0 ? -1 : 0;
}

/* One commit is that of all who wait. */
static int commit(struct controller *c, struct err *e)
{
	for (size_t i = 0; i < c->count; i++) {
		struct line *line = &c->lines[i];

		if (line->server && line->channel && store_server_waiting(line->server) &&
		    store_server_commit(line->server, e))
			return -1;
	}
	return 0;
}

/* The result is the last word of the first lane; the others have ended by then, and what they told is
 * on its way. */
static bool is_over(const struct controller *c)
{
	for (size_t i = 1; i < c->count; i++)
		if (c->lines[i].channel)
			return false;
	return c->finished;
}

static int serve(struct controller *c, struct err *e)
{
	while (!is_over(c)) {
		for (size_t i = 0; i < c->count; i++)
			if (take_frames(c, &c->lines[i], e))
				return -1;
		if (commit(c, e))
			return -1;
		c->watcher->tick(c->watcher->arg);
		if (!is_over(c) && waitset_wait(c->waits, clock_ms() + TICK_MS, e) < 0)
			return -1;
	}
	return c->lines[0].server ? store_server_commit(c->lines[0].server, e) : 0;
}

/* ---- the worker's end ---- */

static int judge_worker(struct controller *c, int served, struct err *e)
{
	int status = 0;

	if (served && !c->finished)
		kill(c->worker, SIGKILL);
	while (waitpid(c->worker, &status, 0) < 0 && errno == EINTR)
		;
	if (c->finished && c->failed) {
		*e = c->result;
		return -1;
	}
	if (!served)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == MEM_EXHAUSTED)
		return err_set(e, CAUSE_MEMORY, ERR_RUN,
		    "the worker ran out of memory; run it again to go on where it stopped");
	if (e->cause == CAUSE_STOPPED && !c->stopping)
		return WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL
			   ? err_set(e, CAUSE_BUG, ERR_RUN,
				 "the worker crashed (signal %d); run it again to go on",
				 WTERMSIG(status))
			   : err_set(e, CAUSE_STOPPED, ERR_RUN,
				 "the worker was ended from outside; run it again to go on");
	return -1;
}

static int run_worker(
    struct controller *c, enum job_kind job, const struct copy_options *options, struct err *e)
{
	int fds[LINES_MAX], served;

	/* what a recorder hears must have happened in that order */
	c->count = job == JOB_COPY && options->record < 0 ? 2 * options->lanes : 1;
	if (worker_start(&c->worker, fds, c->count, job, options, e))
		return -1;
	waitset_new(&c->waits, -1);
	for (size_t i = 0; i < c->count; i++) {
		struct line *line = &c->lines[i];

		*line = (struct line){0};
		channel_new(&line->channel, fds[i], c->waits);
		if (c->store && i < LANES_OF(c->count)) /* openers have none */
			store_server_new(&line->server, c->store, line->channel);
	}
	buf_init(&c->frame, CHANNEL_FRAME_MAX);
	c->bell = (struct waiter){.fd = bell_fd, .wants = bell_wants, .ready = bell_ready};
	waitset_add(c->waits, &c->bell);
	served = serve(c, e);
	waitset_remove(c->waits, &c->bell);
	for (size_t i = 0; i < c->count; i++) {
		store_server_free(&c->lines[i].server);
		channel_free(&c->lines[i].channel);
	}
	waitset_free(&c->waits);
	buf_free(&c->frame);
	return judge_worker(c, served, e);
}

static void describe_self(char *out, size_t size, const struct copy_options *o)
{
	char host[80] = "?", when[40] = "";
	time_t now = time(NULL);
	struct tm tm;

	gethostname(host, sizeof(host) - 1);
	if (gmtime_r(&now, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", &tm);
	snprintf(out, size, "process %d on %s, from %s, since %s", (int)getpid(), host,
	    o->source.identity, when);
}

/* One pass with the store open. */
static int run_copy(struct controller *c, const struct copy_options *options, struct err *e)
{
	int failed;

	if (store_sqlite_open(&c->store, options->state_dir, e))
		return -1;
	failed = run_worker(c, JOB_COPY, options, e);
	c->store->ops->close(&c->store);
	return failed;
}

/* A damaged ledger is kept, out of the way, and a new one begun. */
static int begin_anew(struct controller *c, const struct copy_options *options, struct err *e)
{
	char aside[4096], text[4200];

	if (store_sqlite_set_aside(options->state_dir, aside, sizeof(aside), e))
		return -1;
	snprintf(text, sizeof(text), "the damaged ledger is kept as %s", aside);
	c->watcher->note(c->watcher->arg, text);
	c->finished = c->failed = false;
	return run_copy(c, options, e);
}

int copy_run(struct copy_summary *summary, const struct copy_options *options,
    const struct secret_source *secrets, const struct copy_watcher *watcher, int stop_fd,
    struct err *e)
{
	struct job_summary all = {0};
	struct controller c = {.secrets = secrets,
	    .watcher = watcher,
	    .summary = &all,
	    .stop_fd = stop_fd,
	    .stop_at = worker_stop_step("controller")};
	struct lock *lock AUTO(lock_release) = NULL;
	char self[300];
	int failed;

	*summary = (struct copy_summary){0};
	describe_self(self, sizeof(self), options);
	if (store_sqlite_make_dir(options->state_dir, e) ||
	    lock_take(&lock, options->state_dir, options->destination.identity, self, e))
		return -1;
	failed = run_copy(&c, options, e);
	if (failed && e->cause == CAUSE_DAMAGED && options->rebuild && !options->dry_run)
		failed = begin_anew(&c, options, e);
	*summary = all.copy;
	return failed ? -1 : 0;
}

/* A job that only looks: no store, no lock. */
static int look(struct job_summary *summary, enum job_kind job, const struct copy_options *options,
    const struct secret_source *secrets, const struct copy_watcher *watcher, int stop_fd,
    struct err *e)
{
	struct controller c = {
	    .secrets = secrets, .watcher = watcher, .summary = summary, .stop_fd = stop_fd};

	return run_worker(&c, job, options, e);
}

int verify_run(struct verify_summary *summary, const struct copy_options *options,
    const struct secret_source *secrets, const struct copy_watcher *watcher, int stop_fd,
    struct err *e)
{
	struct job_summary all = {0};
	int failed = look(&all, JOB_VERIFY, options, secrets, watcher, stop_fd, e);

	*summary = all.verify;
	return failed;
}

int survey_run(struct survey_summary *summary, const struct copy_options *options,
    const struct secret_source *secrets, const struct copy_watcher *watcher, int stop_fd,
    struct err *e)
{
	struct job_summary all = {0};
	int failed = look(&all, JOB_CHECK, options, secrets, watcher, stop_fd, e);

	*summary = all.survey;
	return failed;
}
