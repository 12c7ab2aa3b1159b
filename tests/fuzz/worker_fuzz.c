/* worker_fuzz.c - a hostile worker: its bytes never break the controller, nor what the controller shows.
 * Every event is one line of JSON, the report is made, and the exit code is one that is documented.
 *
 * The controller's file is included, not linked: its frames are its own affair, and a process a run
 * would be too slow. The first byte of the input is 'c' for a copy, else a verify; the rest is what
 * the worker sends. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "fleet/controller.c"

#include "cli/face.h"
#include "cli/report.h"
#include "fuzz.h"
#include "memory_store.h"

enum { INPUT_MAX = 60000, OUT_MAX = 1 << 24 };

int worker_start(pid_t *pid, int *fds, size_t count, enum job_kind job,
    const struct copy_options *options, struct err *e)
{
	(void)pid, (void)fds, (void)count, (void)job, (void)options;
	return err_set(e, CAUSE_BUG, ERR_RUN, "there is no worker here");
}

unsigned long worker_stop_step(const char *role)
{
	(void)role;
	return 0;
}

static int secret_of(
    void *arg, enum err_side side, bool was_refused, struct buf *out, struct err *e)
{
	(void)arg;
	if (was_refused)
		return err_set(e, CAUSE_LOGIN, ERR_MAILBOX, "there is no other password");
	return buf_add_text(out, side == ERR_SOURCE ? "one" : "two");
}

/* The worker's end: it goes on listening, and is gone when all it said was served. */
struct far_end {
	struct waiter waiter;
	int fd;
};

static struct far_end far;

static void far_hangs_up(void *arg)
{
	(void)arg;
	shutdown(far.fd, SHUT_WR);
}

static int far_fd(struct waiter *w)
{
	return ((struct far_end *)w)->fd;
}

static short far_wants(struct waiter *w)
{
	(void)w;
	return POLLIN;
}

static void far_ready(struct waiter *w, short revents)
{
	char bytes[65536];

	(void)revents;
	while (recv(far_fd(w), bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

/* As run_worker does it, with INPUT in place of a worker. */
static int run(struct controller *c, struct view input, struct err *e)
{
	int pair[2], served;

	must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), "a socket pair");
	far = (struct far_end){
	    .waiter = {.fd = far_fd, .wants = far_wants, .ready = far_ready}, .fd = pair[1]};
	must(write(far.fd, input.data, input.len) == (ssize_t)input.len, "it takes the input");
	waitset_new(&c->waits, -1);
	c->count = 1;
	channel_new(&c->lines[0].channel, pair[0], c->waits);
	if (c->store)
		store_server_new(&c->lines[0].server, c->store, c->lines[0].channel);
	buf_init(&c->frame, CHANNEL_FRAME_MAX);
	waitset_add(c->waits, &far.waiter);
	served = serve(c, e);
	waitset_remove(c->waits, &far.waiter);
	store_server_free(&c->lines[0].server);
	channel_free(&c->lines[0].channel);
	waitset_free(&c->waits);
	buf_free(&c->frame);
	close(far.fd);
	return c->finished && c->failed ? (*e = c->result, -1) : served;
}

static void check_events(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	AUTO(buf_free) struct buf text = BUF_INIT(OUT_MAX);
	struct view rest;

	must(size > 0 && buf_room(&text, (size_t)size), "something was told");
	must(pread(fd, text.data, (size_t)size, 0) == size, "it can be read");
	buf_grown(&text, (size_t)size);
	must(text.data[text.len - 1] == '\n', "the last line is whole");
	for (rest = buf_view(&text); rest.len;) {
		struct view line = cut_at(&rest, '\n');
		json_t *o = json_loadb(line.data, line.len, JSON_REJECT_DUPLICATES, NULL);

		must(o && json_is_string(json_object_get(o, "event")), "each line is an event");
		for (size_t i = 0; i < line.len; i++)
			must((unsigned char)line.data[i] >= 0x20, "that no terminal obeys");
		json_decref(o);
	}
}

static void check_report(const struct face *f, const struct copy_summary *summary)
{
	AUTO(buf_free) struct buf text = BUF_INIT(OUT_MAX);
	struct report r = {
	    .options = &f->args->options, .summary = summary, .tally = &f->tally, .ended = true};

	report_print(&text, &r);
	for (size_t i = 0; i < text.len; i++)
		must((unsigned char)text.data[i] >= 0x20 || text.data[i] == '\n',
		    "no control character is in the report");
	buf_clear(&text);
	progress_render(&text, &f->now, 1, 1, 80);
	must(text.len <= 4 * 80, "the line of progress is one");
}

static const struct copy_arguments arguments = {.output = OUTPUT_JSON,
    .options = {.source = {.url = "imaps://a@one.example", .identity = "a@one.example"},
	.destination = {.url = "imaps://a@two.example", .identity = "a@two.example"},
	.state_dir = "state"}};

static void check(struct view input, struct store *store)
{
	struct face face;
	struct job_summary all = {0};
	struct secret_source secrets = {.get = secret_of};
	struct copy_watcher watcher;
	struct controller c = {
	    .secrets = &secrets, .watcher = &watcher, .summary = &all, .store = store};
	struct err e = {0};
	int failed, code;

	face_open(&face, &arguments);
	face.events.fd = memfd_create("events", MFD_CLOEXEC);
	watcher = face_watcher(&face);
	watcher.tick = far_hangs_up; /* our own bell and clock are no affair of a worker's */
	failed = run(&c, input, &e);
	must(!failed || (e.cause != CAUSE_NONE && e.scope >= ERR_ITEM), "an error has a cause");
	code = face_exit_code(&all.copy, failed ? &e : NULL);
	must(code == 0 || code == 1 || code == 2 || (code >= 10 && code <= 12) || code == 20 ||
		 code == 30 || code == 70 || code == 130,
	    "the exit code is one of those documented");
	events_result(&face.events, code, &all.copy, &face.tally, failed ? &e : NULL);
	check_events(face.events.fd);
	check_report(&face, &all.copy);
	json_decref(events_verify_summary(&all.verify));
	json_decref(events_survey_summary(&all.survey));
	close(face.events.fd);
	face_free(&face);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory_disk *disk;
	struct store *store;

	if (!size || size > INPUT_MAX)
		return 0;
	memory_disk_new(&disk);
	memory_store_open(&store, disk);
	check(view_make(data + 1, size - 1), data[0] == 'c' ? store : NULL);
	store->ops->close(&store);
	memory_disk_free(&disk);
	return 0;
}
