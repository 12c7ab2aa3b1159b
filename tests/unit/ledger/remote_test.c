/* remote_test.c - the store over a channel: the suite with a real store in another thread, several
 * workers on one commit, and each side against a peer that lies. */
#include "ledger/store.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "memory_store.h"
#include "net/channel.h"
#include "store_suite.h"

/* ---- one end of a socketpair ---- */

struct side {
	struct waitset *ws;
	struct channel *ch;
};

static void side_open(struct side *side, int fd, int bell)
{
	waitset_new(&side->ws, bell);
	channel_new(&side->ch, fd, side->ws);
}

static void side_close(struct side *side)
{
	if (!side->ws)
		return;
	channel_free(&side->ch);
	waitset_free(&side->ws);
}

static void sides_open(struct side *a, struct side *b)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	side_open(a, fds[0], -1);
	side_open(b, fds[1], -1);
}

/* ---- the suite: a controller in a thread of its own, over SQLite ---- */

struct controller {
	char dir[96];
	int turn;
	pthread_t thread;
	int fd;
	struct side worker;
	struct err end; /* why the controller ended */
};

static int serve(struct store_server *sv, struct side *side, struct err *e)
{
	struct view payload;
	uint8_t type;

	for (;;) {
		int got = channel_try(side->ch, &type, &payload, e);
		if (got == 0 && store_server_waiting(sv) && store_server_commit(sv, e))
			return -1;
		if (got == 0)
			got = channel_recv(side->ch, &type, &payload, e) ? -1 : 1;
		if (got < 0 || store_server_frame(sv, type, payload, e))
			return -1;
	}
}

static void *controller_run(void *arg)
{
	struct controller *c = arg;
	struct store_server *sv;
	struct store *behind;
	struct side side;

	side_open(&side, c->fd, -1);
	if (store_sqlite_open(&behind, c->dir, &c->end) == 0) {
		store_server_new(&sv, behind, side.ch);
		serve(sv, &side, &c->end);
		store_server_free(&sv);
		behind->ops->close(&behind);
	}
	side_close(&side);
	return NULL;
}

static void remote_fresh(void *arg)
{
	struct controller *c = arg;

	snprintf(strrchr(c->dir, '/'), 16, "/%d", c->turn++);
}

static void remote_at(void *arg, struct store **s)
{
	struct controller *c = arg;
	struct err e;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	c->fd = fds[0];
	assert_int_equal(pthread_create(&c->thread, NULL, controller_run, c), 0);
	side_open(&c->worker, fds[1], -1);
	assert_int_equal(store_remote_open(s, c->worker.ch, NULL, NULL, &e), 0);
}

/* The worker ends without a farewell; what was still queued is lost. */
static void remote_crash(void *arg, struct store **s)
{
	struct controller *c = arg;

	(*s)->ops->close(s);
	side_close(&c->worker);
	pthread_join(c->thread, NULL);
	assert_int_equal(c->end.cause, CAUSE_STOPPED);
}

static void remote_shut(void *arg, struct store **s)
{
	struct controller *c = arg;
	struct err e;

	assert_int_equal(channel_flush(c->worker.ch, &e), 0);
	remote_crash(arg, s);
}

/* ---- a controller and workers in one thread, step by step, over the twin ---- */

struct bench {
	struct memory_disk *disk;
	struct store *behind;
	struct side near[2], far[2]; /* workers, controller */
	struct store *worker[2];
	struct store_server *server[2];
};

static int bench_setup(void **state)
{
	struct bench *b = NEW(struct bench);
	struct err e;

	memory_disk_new(&b->disk);
	memory_store_open(&b->behind, b->disk);
	for (size_t i = 0; i < 2; i++) {
		sides_open(&b->near[i], &b->far[i]);
		store_remote_open(&b->worker[i], b->near[i].ch, NULL, NULL, &e);
		store_server_new(&b->server[i], b->behind, b->far[i].ch);
	}
	*state = b;
	return 0;
}

static int bench_teardown(void **state)
{
	struct bench *b = *state;

	for (size_t i = 0; i < 2; i++) {
		if (b->worker[i])
			b->worker[i]->ops->close(&b->worker[i]);
		store_server_free(&b->server[i]);
		store_server_free(&b->server[i]);
		side_close(&b->near[i]);
		side_close(&b->far[i]);
	}
	b->behind->ops->close(&b->behind);
	memory_disk_free(&b->disk);
	free(b);
	return 0;
}

/* The controller serves all that worker I has sent. Returns the last result. */
static int bench_serve(struct bench *b, size_t i, struct err *e)
{
	struct view payload;
	uint8_t type;
	int result = 0;

	assert_int_equal(channel_flush(b->near[i].ch, e), 0);
	while (channel_try(b->far[i].ch, &type, &payload, e) > 0)
		result = store_server_frame(b->server[i], type, payload, e);
	return result;
}

static void bench_commit(struct bench *b, size_t i)
{
	struct err e;

	assert_int_equal(store_server_commit(b->server[i], &e), 0);
	assert_int_equal(channel_flush(b->far[i].ch, &e), 0);
}

/* A frame from the controller, true or false. */
static void bench_say(struct bench *b, uint8_t type, struct view payload)
{
	struct err e;

	assert_int_equal(channel_send(b->far[0].ch, type, payload, &e), 0);
	assert_int_equal(channel_flush(b->far[0].ch, &e), 0);
}

static uint64_t barrier(struct store *s)
{
	uint64_t ticket = 0;
	struct err e;

	assert_int_equal(s->ops->barrier(s, &ticket, &e), 0);
	return ticket;
}

/* Every call fails with that cause and text. */
static void expect_broken(struct store *s, enum cause cause, const char *part)
{
	AUTO(store_batch_free) struct store_batch b;
	struct view key = view_of("k");
	struct suite_seen seen = {0};
	struct err e[5] = {0};
	uint64_t ticket;

	store_batch_init(&b);
	store_batch_put(&b, key, key);
	assert_int_equal(s->ops->write(s, &b, &e[0]), -1);
	assert_int_equal(s->ops->barrier(s, &ticket, &e[1]), -1);
	assert_int_equal(s->ops->wait(s, 0, &e[2]), -1);
	assert_int_equal(s->ops->scan(s, key, key, 0, suite_take, &seen, &e[3]), -1);
	assert_int_equal(s->ops->get(s, &key, 1, suite_take, &seen, &e[4]), -1);
	for (size_t i = 0; i < COUNT_OF(e); i++) {
		assert_int_equal(e[i].cause, cause);
		assert_int_equal(e[i].scope, ERR_RUN);
		assert_non_null(strstr(e[i].text, part));
	}
}

static void test_workers_share_one_commit(void **state)
{
	struct bench *b = *state;
	uint64_t first, second;
	uint64_t calls;
	struct err e;

	suite_put(b->worker[0], "a", "1");
	first = barrier(b->worker[0]);
	suite_put(b->worker[1], "b", "2");
	second = barrier(b->worker[1]);
	assert_false(store_server_waiting(b->server[0]));
	assert_int_equal(bench_serve(b, 0, &e), 0);
	assert_int_equal(bench_serve(b, 1, &e), 0);
	assert_true(store_server_waiting(b->server[0]) && store_server_waiting(b->server[1]));
	assert_int_equal(memory_disk_pending(b->disk), 2);
	bench_commit(b, 0);
	assert_int_equal(memory_disk_pending(b->disk), 0);
	assert_false(store_server_waiting(b->server[0]));
	assert_true(store_server_waiting(b->server[1]));
	bench_commit(b, 1);
	assert_false(store_server_waiting(b->server[1]));
	calls = b->disk->calls;
	assert_int_equal(b->worker[0]->ops->wait(b->worker[0], first, &e), 0);
	assert_int_equal(b->worker[1]->ops->wait(b->worker[1], second, &e), 0);
	assert_int_equal(b->disk->calls, calls);
}

/* Many barriers, one answer; and a commit without barrier says nothing. */
static void test_one_answer_for_all_tickets(void **state)
{
	struct bench *b = *state;
	struct view payload;
	uint64_t last = 0;
	uint8_t type;
	struct err e;

	bench_commit(b, 0);
	for (int i = 0; i < 10; i++) {
		uint64_t ticket = barrier(b->worker[0]);
		assert_true(ticket > last);
		last = ticket;
	}
	assert_int_equal(bench_serve(b, 0, &e), 0);
	bench_commit(b, 0);
	bench_commit(b, 0);
	assert_int_equal(channel_recv(b->near[0].ch, &type, &payload, &e), 0);
	assert_int_equal(type, STORE_DURABLE);
	assert_int_equal(store_remote_frame(b->worker[0], type, payload, &e), 0);
	assert_int_equal(channel_try(b->near[0].ch, &type, &payload, &e), 0);
	assert_int_equal(b->worker[0]->ops->wait(b->worker[0], last, &e), 0);
}

/* The store behind fails at each call in turn: the worker is told once, and hears it for ever. */
static void test_failure_behind_reaches_the_worker(void **state)
{
	struct bench *b = *state;
	struct view payload;
	uint64_t ticket;
	uint8_t type;
	struct err e = {0};

	b->disk->fail_at = 1;
	suite_put(b->worker[0], "a", "1");
	ticket = barrier(b->worker[0]);
	bench_serve(b, 0, &e);
	assert_int_equal(e.cause, CAUSE_STATE);
	assert_int_equal(store_server_commit(b->server[0], &e), -1);
	assert_int_equal(channel_flush(b->far[0].ch, &e), 0);
	assert_int_equal(b->worker[0]->ops->wait(b->worker[0], ticket, &e), -1);
	expect_broken(b->worker[0], CAUSE_STATE, "as the test wanted");
	assert_int_equal(channel_try(b->near[0].ch, &type, &payload, &e), 0);
}

static void test_failing_reads_and_commits(void **state)
{
	static const uint8_t types[] = {STORE_SCAN, STORE_GET, 0};
	struct bench *b = *state;

	for (size_t i = 0; i < COUNT_OF(types); i++) {
		struct buf frame = BUF_INIT(100);
		struct err e = {0};
		b->disk->down = true;
		pack_u32(&frame, 1);
		pack_text(&frame, "key");
		if (types[i] == STORE_SCAN)
			pack_u8(&frame, 0), pack_u32(&frame, 0);
		if (types[i])
			assert_int_equal(
			    store_server_frame(b->server[0], types[i], buf_view(&frame), &e), -1);
		else
			assert_int_equal(store_server_commit(b->server[0], &e), -1);
		assert_int_equal(e.cause, CAUSE_STATE);
		store_server_free(&b->server[0]);
		store_server_new(&b->server[0], b->behind, b->far[0].ch);
		buf_free(&frame);
	}
}

static void test_controller_goes(void **state)
{
	struct bench *b = *state;
	uint64_t ticket = barrier(b->worker[0]);
	struct suite_seen seen = {0};
	struct err e = {0};

	side_close(&b->far[0]);
	b->far[0] = (struct side){0};
	assert_int_equal(b->worker[0]->ops->wait(b->worker[0], ticket, &e), -1);
	assert_int_equal(e.cause, CAUSE_STOPPED);
	assert_int_equal(b->worker[0]->ops->scan(
			     b->worker[0], view_of(""), view_of(""), 0, suite_take, &seen, &e),
	    -1);
	assert_int_equal(e.cause, CAUSE_STOPPED);
}

/* ---- frames of others, and waits cut short ---- */

struct others {
	int seen;
	int fail_at;
};

static int note_other(void *arg, uint8_t type, struct view payload, struct err *e)
{
	struct others *o = arg;

	assert_int_equal(type, STORE_FRAME_LAST + o->seen);
	assert_int_equal(payload.len, 3);
	return ++o->seen == o->fail_at ? err_set(e, CAUSE_LOGIN, ERR_MAILBOX, "no") : 0;
}

static void rows_say(struct bench *b, uint32_t request, const char *key)
{
	struct buf frame = BUF_INIT(100);

	pack_u32(&frame, request);
	pack_u8(&frame, 0);
	pack_text(&frame, key);
	pack_text(&frame, "v");
	bench_say(b, STORE_ROWS, buf_view(&frame));
	buf_free(&frame);
}

static void worker_with_others(struct bench *b, struct others *o)
{
	struct err e;

	b->worker[0]->ops->close(&b->worker[0]);
	assert_int_equal(store_remote_open(&b->worker[0], b->near[0].ch, note_other, o, &e), 0);
}

static void test_frames_of_others_are_handed_on(void **state)
{
	struct bench *b = *state;
	struct others o = {0};

	worker_with_others(b, &o);
	bench_say(b, 15, view_of("abc"));
	bench_say(b, 16, view_of("abc"));
	rows_say(b, 1, "k");
	bench_say(b, 17, view_of("abc"));
	suite_expect(b->worker[0], "k", "k=v;");
	assert_int_equal(o.seen, 2);
	rows_say(b, 2, "k");
	suite_expect(b->worker[0], "k", "k=v;");
	assert_int_equal(o.seen, 3);
}

/* The rows of a read that was given up come later, and are nobody's. */
static void test_a_read_given_up_breaks_nothing(void **state)
{
	struct bench *b = *state;
	struct others o = {.fail_at = 1};
	struct suite_seen seen = {0};
	struct store *s;
	struct err e;

	worker_with_others(b, &o);
	s = b->worker[0];
	bench_say(b, 15, view_of("abc"));
	assert_int_equal(s->ops->scan(s, view_of("k"), view_of(""), 0, suite_take, &seen, &e), -1);
	assert_int_equal(e.cause, CAUSE_LOGIN);
	rows_say(b, 1, "kold");
	rows_say(b, 2, "knew");
	suite_expect(s, "k", "knew=v;");
	rows_say(b, 3, "k3");
	suite_expect(s, "k", "k3=v;");
}

static void test_stop_bell(void **state)
{
	struct suite_seen seen = {0};
	struct side near, far;
	struct view payload;
	struct store *s;
	int fds[2], bell[2];
	uint64_t ticket;
	uint8_t type;
	struct err e = {0};

	(void)state;
	assert_int_equal(pipe(bell), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	side_open(&near, fds[0], bell[0]);
	side_open(&far, fds[1], -1);
	store_remote_open(&s, near.ch, NULL, NULL, &e);
	assert_int_equal(write(bell[1], "!", 1), 1);
	assert_int_equal(s->ops->scan(s, view_of(""), view_of(""), 0, suite_take, &seen, &e), -1);
	assert_int_equal(e.cause, CAUSE_STOPPED);
	/* last receipts still go out */
	suite_put(s, "a", "1");
	assert_int_equal(s->ops->barrier(s, &ticket, &e), 0);
	assert_int_equal(channel_flush(near.ch, &e), 0);
	for (int i = 0; i < 3; i++) {
		static const uint8_t expected[] = {STORE_SCAN, STORE_WRITE, STORE_BARRIER};
		assert_int_equal(channel_recv(far.ch, &type, &payload, &e), 0);
		assert_int_equal(type, expected[i]);
	}
	s->ops->close(&s);
	side_close(&near);
	side_close(&far);
	close(bell[0]);
	close(bell[1]);
}

static void test_unexpected_frame_without_others(void **state)
{
	struct bench *b = *state;
	struct err e;

	bench_say(b, 20, view_of("abc"));
	assert_int_equal(b->worker[0]->ops->wait(b->worker[0], barrier(b->worker[0]), &e), -1);
	expect_broken(b->worker[0], CAUSE_BUG, "not the store's");
}

/* ---- a controller that lies ---- */

static void test_false_answers_to_a_read(void **state)
{
	/* to: scan "k" after "k1", at most 2; to: get k2, k4 */
	static const struct {
		struct view rows;
		int scan, get; /* is it a good answer? */
	} table[] = {
	    {{"\1\0\0\0\0", 5}, 1, 1},
	    {{"\1\0\0\0\0\2k2\0", 9}, 1, 1},
	    {{"\1\0\0\0\0\2k2\0\2k4\1v", 14}, 1, 1},
	    {{"\1\0\0\0\0\2k4\0\2k2\0", 13}, 0, 0}, /* not in order */
	    {{"\1\0\0\0\0\2k2\0\2k2\0", 13}, 0, 0}, /* twice */
	    {{"\1\0\0\0\0\2k3\0", 9}, 1, 0},        /* not asked for */
	    {{"\1\0\0\0\0\2k1\0", 9}, 0, 0},        /* not after */
	    {{"\1\0\0\0\0\2j9\0", 9}, 0, 0},        /* not below the prefix */
	    {{"\1\0\0\0\0\1k\0", 8}, 0, 0},         /* shorter than after */
	    {{"\1\0\0\0\0\2k2\0\2k3\0\2k4\0", 17}, 0, 0} /* more than asked for */,
	    {{"\2\0\0\0\0", 5}, 0, 0}, /* another request */
	    {{"\0\0\0\0\0", 5}, 0, 0},
	    {{"\1\0\0\0\1", 5}, 0, 0},         /* more to come behind nothing: for ever */
	    {{"\1\0\0\0\2\2k2\0", 9}, 0, 0},   /* no such flag */
	    {{"\1\0\0\0\0\0\0", 7}, 0, 0},     /* empty key */
	    {{"\1\0\0\0", 4}, 0, 0},           /* cut off */
	    {{"\1\0\0\0\0\2k2", 8}, 0, 0},     /* cut off */
	    {{"\1\0\0\0\0\2k2\5v", 10}, 0, 0}, /* value cut off */
	    {{"", 0}, 0, 0},
	};
	const struct view keys[] = {view_of("k2"), view_of("k4")};

	for (size_t i = 0; i < 2 * COUNT_OF(table); i++) {
		bool is_get = i >= COUNT_OF(table);
		size_t n = i % COUNT_OF(table);
		struct suite_seen seen = {.text = BUF_INIT(1000)};
		struct err e = {0};
		struct bench *b;
		struct store *s;
		int result;
		bench_setup(state);
		b = *state;
		s = b->worker[0];
		bench_say(b, STORE_ROWS, table[n].rows);
		result =
		    is_get ? s->ops->get(s, keys, 2, suite_take, &seen, &e)
			   : s->ops->scan(s, view_of("k"), view_of("k1"), 2, suite_take, &seen, &e);
		if (result != ((is_get ? table[n].get : table[n].scan) ? 0 : -1))
			fail_msg("%s, row %zu: %d", is_get ? "get" : "scan", n, result);
		if (result)
			expect_broken(s, CAUSE_BUG, "answered wrongly");
		buf_free(&seen.text);
		bench_teardown(state);
	}
}

/* The key is "k"; with what stands behind it in the frame it looks like the prefix. */
static void test_row_shorter_than_the_prefix(void **state)
{
	struct bench *b = *state;
	struct suite_seen seen = {0};
	struct err e;

	bench_say(b, STORE_ROWS, view_make("\1\0\0\0\0\1k\1v", 9));
	assert_int_equal(b->worker[0]->ops->scan(
			     b->worker[0], view_of("k\1"), view_of(""), 0, suite_take, &seen, &e),
	    -1);
	expect_broken(b->worker[0], CAUSE_BUG, "not asked for");
}

static void test_false_frames_to_a_waiter(void **state)
{
	static const struct {
		uint8_t type;
		struct view payload;
		enum cause cause;
		const char *says;
	} table[] = {
	    {STORE_DURABLE, {"\3\0\0\0\0\0\0\0", 8}, CAUSE_BUG, "never given"},
	    {STORE_DURABLE, {"\xff\xff\xff\xff\xff\xff\xff\xff", 8}, CAUSE_BUG, "never given"},
	    {STORE_DURABLE, {"\2\0\0\0\0\0\0", 7}, CAUSE_BUG, "never given"},
	    {STORE_DURABLE, {"\2\0\0\0\0\0\0\0\0", 9}, CAUSE_BUG, "never given"},
	    {STORE_FAILED, {"", 0}, CAUSE_BUG, "malformed failure"},
	    {STORE_FAILED, {"\0\2no", 4}, CAUSE_BUG, "malformed failure"},
	    {STORE_FAILED, {"\xff\2no", 4}, CAUSE_BUG, "malformed failure"},
	    {STORE_FAILED, {"\7\3no", 4}, CAUSE_BUG, "malformed failure"},
	    {STORE_FAILED, {"\7\2no!", 5}, CAUSE_BUG, "malformed failure"},
	    {STORE_FAILED, {"\x8\2n\x1b", 4}, CAUSE_STATE, "n?"},
	    {STORE_ROWS, {"\0\0\0\0\0", 5}, CAUSE_BUG, "nobody asked for"},
	    {STORE_WRITE, {"", 0}, CAUSE_BUG, "nobody asked for"},
	    {STORE_SCAN, {"", 0}, CAUSE_BUG, "nobody asked for"},
	    {14, {"", 0}, CAUSE_BUG, "nobody asked for"},
	    {0, {"", 0}, CAUSE_BUG, "not the store's"},
	    {255, {"", 0}, CAUSE_BUG, "not the store's"},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct err e = {0};
		struct bench *b;
		bench_setup(state);
		b = *state;
		barrier(b->worker[0]);
		assert_int_equal(barrier(b->worker[0]), 2);
		bench_say(b, STORE_DURABLE, view_make("\1\0\0\0\0\0\0\0", 8));
		bench_say(b, table[i].type, table[i].payload);
		assert_int_equal(b->worker[0]->ops->wait(b->worker[0], 1, &e), 0);
		assert_int_equal(b->worker[0]->ops->wait(b->worker[0], 2, &e), -1);
		expect_broken(b->worker[0], table[i].cause, table[i].says);
		bench_teardown(state);
	}
}

static void test_ticket_goes_back(void **state)
{
	struct bench *b = *state;
	struct err e;

	barrier(b->worker[0]);
	barrier(b->worker[0]);
	assert_int_equal(
	    store_remote_frame(b->worker[0], STORE_DURABLE, view_make("\2\0\0\0\0\0\0\0", 8), &e),
	    0);
	assert_int_equal(
	    store_remote_frame(b->worker[0], STORE_DURABLE, view_make("\1\0\0\0\0\0\0\0", 8), &e),
	    -1);
	expect_broken(b->worker[0], CAUSE_BUG, "never given");
}

/* ---- a worker that lies ---- */

struct sample {
	uint8_t type;
	struct view payload;
};

static const struct sample samples[] = {
    {STORE_WRITE, {"\1\2k1\1v\2\2k9\1\1e\0", 14}},
    {STORE_BARRIER, {"\7\0\0\0\0\0\0\0", 8}},
    {STORE_SCAN, {"\1\0\0\0\1k\2k0\5\0\0\0", 13}},
    {STORE_GET, {"\1\0\0\0\2k1\2k2\3k33", 14}},
};

/* Bytes of their own, so that a step beyond them is seen by ASan. */
static int give_server(struct store_server *sv, uint8_t type, struct view v, struct err *e)
{
	char *bytes = malloc(v.len + !v.len);
	int result;

	assert_non_null(bytes);
	if (v.len)
		memcpy(bytes, v.data, v.len);
	result = store_server_frame(sv, type, view_make(bytes, v.len), e);
	free(bytes);
	return result;
}

static void server_anew(struct bench *b)
{
	store_server_free(&b->server[0]);
	store_server_new(&b->server[0], b->behind, b->far[0].ch);
}

/* What the controller has answered is read and thrown away. */
static void answers_drop(struct bench *b)
{
	struct view payload;
	uint8_t type;
	struct err e;

	assert_int_equal(channel_flush(b->far[0].ch, &e), 0);
	while (channel_try(b->near[0].ch, &type, &payload, &e) > 0)
		;
}

/* A frame cut off at a border of its parts is a shorter, good one. */
static bool cut_is_good(const struct sample *s, size_t len)
{
	if (s->type == STORE_WRITE)
		return len == 0 || len == 6 || len == 10;
	return s->type == STORE_GET && (len == 4 || len == 7 || len == 10);
}

static void test_every_cut_of_a_frame(void **state)
{
	struct bench *b = *state;

	for (size_t i = 0; i < COUNT_OF(samples); i++)
		for (size_t len = 0; len <= samples[i].payload.len; len++) {
			struct err e = {0};
			bool good = len == samples[i].payload.len || cut_is_good(&samples[i], len);
			int result;
			memory_disk_clear(b->disk);
			server_anew(b);
			result = give_server(b->server[0], samples[i].type,
			    view_make(samples[i].payload.data, len), &e);
			if (result != (good ? 0 : -1))
				fail_msg("type %d, %zu bytes: %d", samples[i].type, len, result);
			assert_int_equal(e.cause, good ? CAUSE_NONE : CAUSE_BUG);
			assert_true(good || e.scope == ERR_RUN);
			assert_true(good || b->disk->calls == 0); /* nothing was touched */
		}
	answers_drop(b);
}

static void test_frame_with_something_behind(void **state)
{
	struct bench *b = *state;

	for (size_t i = 0; i < COUNT_OF(samples); i++) {
		struct buf frame = BUF_INIT(100);
		struct err e = {0};
		buf_add_view(&frame, samples[i].payload);
		buf_add_char(&frame, '\0');
		assert_int_equal(
		    give_server(b->server[0], samples[i].type, buf_view(&frame), &e), -1);
		assert_int_equal(e.cause, CAUSE_BUG);
		buf_free(&frame);
	}
}

static void test_frames_of_no_known_type(void **state)
{
	struct bench *b = *state;

	for (unsigned type = 0; type < 256; type++) {
		struct err e = {0};
		if (type == STORE_WRITE || type == STORE_BARRIER || type == STORE_SCAN ||
		    type == STORE_GET)
			continue;
		assert_int_equal(give_server(b->server[0], (uint8_t)type, view_of("x"), &e), -1);
		assert_int_equal(e.cause, CAUSE_BUG);
	}
}

/* Every byte of every sample takes every value: refused, or obeyed, and nothing else. */
static void test_every_byte_changed(void **state)
{
	struct bench *b = *state;

	for (size_t i = 0; i < COUNT_OF(samples); i++)
		for (size_t at = 0; at < samples[i].payload.len; at++) {
			memory_disk_clear(b->disk);
			for (int byte = 0; byte < 256; byte++) {
				char bytes[32];
				struct err e = {0};
				memcpy(bytes, samples[i].payload.data, samples[i].payload.len);
				bytes[at] = (char)(unsigned char)byte;
				server_anew(b);
				if (give_server(b->server[0], samples[i].type,
					view_make(bytes, samples[i].payload.len), &e))
					assert_int_equal(e.cause, CAUSE_BUG);
			}
			answers_drop(b);
		}
}

static void put_long(struct buf *frame, size_t len)
{
	char *bytes = mem_new(len, 1);

	pack_view(frame, view_make(bytes, len));
	free(bytes);
}

static void test_too_long(void **state)
{
	struct bench *b = *state;
	struct err e = {0};

	for (int which = 0; which < 6; which++) {
		struct buf frame = BUF_INIT(CHANNEL_FRAME_MAX);
		uint8_t type = STORE_WRITE;
		if (which == 0) /* key */
			pack_u8(&frame, 2), put_long(&frame, STORE_KEY_MAX + 1);
		else if (which == 1) /* value */
			pack_u8(&frame, 1), pack_text(&frame, "k"),
			    put_long(&frame, STORE_VALUE_MAX + 1);
		else if (which == 2) { /* batch */
			while (frame.len <= STORE_BATCH_MAX)
				pack_u8(&frame, 1), pack_text(&frame, "k"), put_long(&frame, 60000);
		} else {
			type = which == 3 ? STORE_GET : STORE_SCAN;
			pack_u32(&frame, 1);
			put_long(&frame, which == 5 ? 1 : STORE_KEY_MAX + 1);
			if (which >= 4)
				put_long(&frame, which == 5 ? STORE_KEY_MAX + 1 : 1),
				    pack_u32(&frame, 0);
		}
		assert_int_equal(give_server(b->server[0], type, buf_view(&frame), &e), -1);
		assert_int_equal(e.cause, CAUSE_BUG);
		buf_free(&frame);
	}
	assert_int_equal(b->disk->calls, 0);
}

static void test_tickets_must_ascend(void **state)
{
	static const char *const tickets[] = {"\0\0\0\0\0\0\0\0", "\5\0\0\0\0\0\0\0",
	    "\5\0\0\0\0\0\0\0", "\4\0\0\0\0\0\0\0", "\0\1\0\0\0\0\0\0"};
	static const int good[] = {-1, 0, -1, -1, 0};
	struct bench *b = *state;
	struct err e;

	for (size_t i = 0; i < COUNT_OF(tickets); i++)
		assert_int_equal(
		    give_server(b->server[0], STORE_BARRIER, view_make(tickets[i], 8), &e),
		    good[i]);
}

/* An answer is one frame of bounded size, however much was asked for. */
static void test_answers_are_bounded(void **state)
{
	struct buf get = BUF_INIT(CHANNEL_FRAME_MAX);
	char *value = mem_new(STORE_VALUE_MAX, 1);
	struct bench *b = *state;
	struct store_batch batch;
	struct err e;

	store_batch_init(&batch);
	store_batch_put(&batch, view_of("k"), view_make(value, STORE_VALUE_MAX));
	assert_int_equal(b->behind->ops->write(b->behind, &batch, &e), 0);
	pack_u32(&get, 1);
	while (get.len < CHANNEL_FRAME_MAX - 2)
		pack_text(&get, "k");
	for (int round = 0; round < 3; round++) {
		struct view payload;
		uint8_t type;
		assert_int_equal(give_server(b->server[0], STORE_GET, buf_view(&get), &e), 0);
		for (int tries = 0; tries < 100; tries++) {
			assert_true(waitset_pump(b->far[0].ws, &e) >= 0);
			if (channel_try(b->near[0].ch, &type, &payload, &e) > 0)
				break;
		}
		assert_int_equal(type, STORE_ROWS);
		assert_in_range(payload.len, 100u << 10, 330u << 10);
		assert_int_equal(payload.data[4], 1);
		assert_int_equal(channel_try(b->near[0].ch, &type, &payload, &e), 0);
	}
	store_batch_free(&batch);
	buf_free(&get);
	free(value);
}

static void test_noise(void **state)
{
	struct bench *b = *state;
	unsigned seed = 7;

	for (int round = 0; round < 30000; round++) {
		char bytes[40];
		struct err e = {0};
		size_t len = (size_t)rand_r(&seed) % sizeof(bytes);
		for (size_t i = 0; i < len; i++)
			bytes[i] = (char)(rand_r(&seed) % (round % 2 ? 256 : 4));
		if (give_server(
			b->server[0], (uint8_t)(rand_r(&seed) % 9), view_make(bytes, len), &e))
			assert_int_equal(e.cause, CAUSE_BUG);
		if (round % 500 == 0) {
			memory_disk_clear(b->disk);
			server_anew(b);
			answers_drop(b);
		}
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, bench_setup, bench_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_workers_share_one_commit),
	    TEST(test_one_answer_for_all_tickets),
	    TEST(test_failure_behind_reaches_the_worker),
	    TEST(test_failing_reads_and_commits),
	    TEST(test_controller_goes),
	    TEST(test_frames_of_others_are_handed_on),
	    TEST(test_a_read_given_up_breaks_nothing),
	    cmocka_unit_test(test_stop_bell),
	    TEST(test_unexpected_frame_without_others),
	    cmocka_unit_test(test_false_answers_to_a_read),
	    TEST(test_row_shorter_than_the_prefix),
	    cmocka_unit_test(test_false_frames_to_a_waiter),
	    TEST(test_ticket_goes_back),
	    TEST(test_every_cut_of_a_frame),
	    TEST(test_frame_with_something_behind),
	    TEST(test_frames_of_no_known_type),
	    TEST(test_every_byte_changed),
	    TEST(test_too_long),
	    TEST(test_tickets_must_ascend),
	    TEST(test_answers_are_bounded),
	    TEST(test_noise),
	};
	char home[] = "/tmp/godwit-remote-XXXXXX", command[64];
	struct controller c = {0};
	const struct suite_place place = {remote_fresh, remote_at, remote_shut, remote_crash, &c};
	int failed = cmocka_run_group_tests_name("remote", tests, NULL, NULL);

	if (!mkdtemp(home))
		return 1;
	snprintf(c.dir, sizeof(c.dir), "%s/x", home);
	failed += suite_run("store: remote over sqlite", &place);
	snprintf(command, sizeof(command), "rm -rf %s", home);
	return system(command) ? 1 : failed;
}
