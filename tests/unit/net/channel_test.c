/* channel_test.c - frames at every split, hostile frames, a peer that goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/channel.h"

/* One channel and the raw other end of its socketpair. */
struct line {
	struct waitset *ws;
	struct channel *ch;
	int peer;
	int bell;
};

static int setup(void **state)
{
	static struct line l;
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	l.bell = eventfd(0, 0);
	l.peer = pair[1];
	waitset_new(&l.ws, l.bell);
	channel_new(&l.ch, pair[0], l.ws);
	*state = &l;
	return 0;
}

static int teardown(void **state)
{
	struct line *l = *state;
	channel_free(&l->ch);
	assert_null(l->ch);
	channel_free(&l->ch);
	waitset_free(&l->ws);
	if (l->peer >= 0)
		close(l->peer);
	close(l->bell);
	return 0;
}

static void peer_says(struct line *l, const void *data, size_t len)
{
	assert_int_equal(write(l->peer, data, len), (ssize_t)len);
}

static void peer_goes(struct line *l)
{
	close(l->peer);
	l->peer = -1;
}

static void expect_frame(struct line *l, uint8_t type, const char *text)
{
	uint8_t got = 0;
	struct view payload = {0};
	struct err e = {0};
	assert_int_equal(channel_recv(l->ch, &got, &payload, &e), 0);
	assert_int_equal(got, type);
	assert_true(view_is(payload, text));
}

static void expect_trouble(struct line *l, enum cause cause)
{
	uint8_t type = 77;
	struct view payload = {.len = 77};
	for (int i = 0; i < 2; i++) {
		struct err e = {0};
		assert_int_equal(channel_recv(l->ch, &type, &payload, &e), -1);
		assert_int_equal(e.cause, cause);
		assert_int_equal(e.scope, ERR_RUN);
		assert_int_equal(e.next, cause == CAUSE_STOPPED ? ERR_STOPPED : ERR_GIVE_UP);
		assert_int_equal(channel_try(l->ch, &type, &payload, NULL), -1);
		assert_int_equal(channel_send(l->ch, 1, view_of("x"), NULL), -1);
		assert_int_equal(channel_flush(l->ch, NULL), -1);
	}
	assert_int_equal(type, 77);
	assert_int_equal(payload.len, 77);
}

static const char FRAMES[] = "\3\0\0\0\1abc"
			     "\0\0\0\0\2"
			     "\1\0\0\0\377z";
#define FRAMES_LEN (sizeof(FRAMES) - 1)

static void expect_frames(struct line *l)
{
	expect_frame(l, 1, "abc");
	expect_frame(l, 2, "");
	expect_frame(l, 255, "z");
}

static void test_every_split(void **state)
{
	struct line *l = *state;
	for (size_t split = 0; split <= FRAMES_LEN; split++) {
		uint8_t type;
		struct view payload;
		int tries = 0;
		peer_says(l, FRAMES, split);
		for (int found = 1; found > 0; tries += found) {
			found = channel_try(l->ch, &type, &payload, NULL);
			assert_true(found >= 0);
		}
		assert_int_equal(tries, (split >= 8) + (split >= 13) + (split >= 19));
		peer_says(l, FRAMES + split, FRAMES_LEN - split);
		if (tries < 1)
			expect_frame(l, 1, "abc");
		if (tries < 2)
			expect_frame(l, 2, "");
		if (tries < 3)
			expect_frame(l, 255, "z");
	}
}

static void test_byte_by_byte(void **state)
{
	struct line *l = *state;
	for (size_t i = 0; i < FRAMES_LEN; i++) {
		peer_says(l, FRAMES + i, 1);
		assert_true(waitset_pump(l->ws, NULL) >= 0);
	}
	expect_frames(l);
}

/* A payload stays true while others wait and more comes in. */
static void test_payload_stays(void **state)
{
	struct line *l = *state;
	uint8_t type;
	struct view payload;
	peer_says(l, FRAMES, FRAMES_LEN);
	assert_int_equal(channel_recv(l->ch, &type, &payload, NULL), 0);
	for (int i = 0; i < 3000; i++) {
		peer_says(l, FRAMES, FRAMES_LEN);
		assert_true(waitset_pump(l->ws, NULL) >= 0);
	}
	assert_true(view_is(payload, "abc"));
	expect_frame(l, 2, "");
	expect_frame(l, 255, "z");
	for (int i = 0; i < 3000; i++)
		expect_frames(l);
}

static void test_frames_before_the_end_count(void **state)
{
	struct line *l = *state;
	peer_says(l, FRAMES, FRAMES_LEN);
	peer_goes(l);
	assert_true(waitset_pump(l->ws, NULL) >= 0);
	expect_frames(l);
	expect_trouble(l, CAUSE_STOPPED);
}

static void test_cut_off_at_every_byte(void **state)
{
	(void)state;
	for (size_t at = 0; at < 8; at++) {
		void *own = NULL;
		setup(&own);
		struct line *l = own;
		peer_says(l, FRAMES, at);
		peer_goes(l);
		expect_trouble(l, CAUSE_STOPPED);
		teardown(&own);
	}
}

static void test_peer_gone_while_sending(void **state)
{
	struct line *l = *state;
	peer_says(l, FRAMES, FRAMES_LEN);
	peer_goes(l);
	assert_int_equal(channel_send(l->ch, 1, view_of("x"), NULL), 0);
	assert_int_equal(channel_flush(l->ch, NULL), -1);
	expect_frames(l);
	expect_trouble(l, CAUSE_STOPPED);
}

static void test_hostile_lengths(void **state)
{
	(void)state;
	static const char *const heads[] = {
	    "\1\0\100\0\1", "\377\377\377\377\1", "\0\0\0\200\1", "\0\0\0\1\1"};
	for (size_t i = 0; i < COUNT_OF(heads); i++) {
		void *own = NULL;
		setup(&own);
		struct line *l = own;
		peer_says(l, FRAMES, 8);
		peer_says(l, heads[i], 5);
		peer_says(l, FRAMES, FRAMES_LEN);
		expect_frame(l, 1, "abc");
		expect_trouble(l, CAUSE_BUG);
		teardown(&own);
	}
}

static void test_too_long_to_send(void **state)
{
	struct line *l = *state;
	struct err e = {0};
	char *data = mem_new(CHANNEL_FRAME_MAX + 1, 1);
	assert_int_equal(channel_send(l->ch, 1, view_make(data, CHANNEL_FRAME_MAX + 1), &e), -1);
	assert_int_equal(e.cause, CAUSE_BUG);
	assert_int_equal(e.scope, ERR_RUN);
	free(data);
	/* Nothing was sent, nothing is broken. */
	peer_says(l, FRAMES, FRAMES_LEN);
	expect_frames(l);
}

static void test_stop(void **state)
{
	struct line *l = *state;
	uint64_t one = 1;
	uint8_t type;
	struct view payload;
	struct err e = {0};
	assert_int_equal(write(l->bell, &one, sizeof(one)), sizeof(one));
	assert_int_equal(channel_recv(l->ch, &type, &payload, &e), -1);
	assert_int_equal(e.cause, CAUSE_STOPPED);
	/* The channel itself is whole: the last receipts can be sent and taken. */
	peer_says(l, FRAMES, FRAMES_LEN);
	expect_frames(l);
	assert_int_equal(channel_send(l->ch, 1, view_of("last"), &e), 0);
	assert_int_equal(channel_flush(l->ch, &e), 0);
	char got[16];
	assert_int_equal(read(l->peer, got, sizeof(got)), 9);
	assert_memory_equal(got, "\4\0\0\0\1last", 9);
}

static size_t size_of_round(size_t i)
{
	static const size_t sizes[] = {
	    CHANNEL_FRAME_MAX, 0, 1, 300000, 70000, CHANNEL_FRAME_MAX - 1, 5, 262144};
	return sizes[i % COUNT_OF(sizes)];
}

static void expect_payload(struct view payload, size_t i)
{
	assert_int_equal(payload.len, size_of_round(i));
	for (size_t at = 0; at < payload.len; at += 997)
		assert_int_equal(payload.data[at], (char)(at + i));
}

/* Both ends in one wait set send everything they have before either receives. */
static void test_two_ends_that_send_first(void **state)
{
	(void)state;
	struct waitset *ws = NULL;
	struct channel *ch[2];
	int pair[2];
	char *data = mem_new(CHANNEL_FRAME_MAX, 1);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	waitset_new(&ws, -1);
	for (int i = 0; i < 2; i++)
		channel_new(&ch[i], pair[i], ws);
	for (size_t i = 0; i < 32; i++) {
		for (size_t at = 0; at < CHANNEL_FRAME_MAX; at++)
			data[at] = (char)(at + i);
		struct view v = view_make(data, size_of_round(i));
		for (int side = 0; side < 2; side++)
			assert_int_equal(channel_send(ch[side], (uint8_t)i, v, NULL), 0);
		for (int side = 0; side < 2; side++) {
			uint8_t type;
			struct view got;
			assert_int_equal(channel_recv(ch[side], &type, &got, NULL), 0);
			assert_int_equal(type, i);
			expect_payload(got, i);
		}
	}
	for (int i = 0; i < 2; i++)
		channel_free(&ch[i]);
	waitset_free(&ws);
	free(data);
}

/* The queue is full and nobody reads: sending waits, and a stop ends the wait. Then the rest goes. */
static void test_full_queue_waits(void **state)
{
	struct line *l = *state;
	struct err e = {0};
	uint64_t one = 1;
	char *data = mem_new(CHANNEL_FRAME_MAX, 1);
	struct view big = view_make(data, CHANNEL_FRAME_MAX);
	assert_int_equal(channel_send(l->ch, 1, big, &e), 0);
	assert_int_equal(write(l->bell, &one, sizeof(one)), sizeof(one));
	assert_int_equal(channel_send(l->ch, 2, big, &e), -1);
	assert_int_equal(e.cause, CAUSE_STOPPED);
	assert_int_equal(read(l->bell, &one, sizeof(one)), sizeof(one));

	struct channel *other = NULL;
	channel_new(&other, dup(l->peer), l->ws);
	assert_int_equal(channel_send(l->ch, 3, big, &e), 0);
	assert_int_equal(channel_send(l->ch, 4, view_of("small"), &e), 0);
	static const uint8_t expected[] = {1, 3, 4};
	for (size_t i = 0; i < COUNT_OF(expected); i++) {
		uint8_t type;
		struct view payload;
		assert_int_equal(channel_recv(other, &type, &payload, &e), 0);
		assert_int_equal(type, expected[i]);
		assert_int_equal(payload.len, expected[i] == 4 ? 5 : big.len);
	}
	channel_free(&other);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_every_split, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_byte_by_byte, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_payload_stays, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_frames_before_the_end_count, setup, teardown),
	    cmocka_unit_test(test_cut_off_at_every_byte),
	    cmocka_unit_test_setup_teardown(test_peer_gone_while_sending, setup, teardown),
	    cmocka_unit_test(test_hostile_lengths),
	    cmocka_unit_test_setup_teardown(test_too_long_to_send, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_full_queue_waits, setup, teardown),
	    cmocka_unit_test(test_two_ends_that_send_first),
	};
	return cmocka_run_group_tests_name("net/channel", tests, NULL, NULL);
}
