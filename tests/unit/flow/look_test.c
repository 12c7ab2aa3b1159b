/* verify and check over servers in memory (mock_connector.h): what differs is told by its name, what
 * does not is not; links break at any call and change nothing of it; neither server is changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "flow/survey.h"
#include "flow/verify.h"
#include "mock_connector.h"

struct world {
	struct mock_server source, target;
	unsigned told[CAUSE_COUNT];
	char said[20000]; /* exceptions as lines: cause folder id */
	struct verify_summary verify;
	struct survey_summary survey;
	unsigned reports;
};

static void on_progress(void *arg, const struct copy_progress *p)
{
	(void)arg, (void)p;
}

static void on_folder(
    void *arg, const char *source, const char *target, uint64_t items, uint64_t stored)
{
	(void)arg, (void)source, (void)target, (void)items, (void)stored;
	fail_msg("nothing is copied here");
}

static void on_exception(void *arg, const struct exception *x)
{
	struct world *w = arg;
	size_t len = strlen(w->said);

	w->told[x->cause]++;
	snprintf(w->said + len, sizeof(w->said) - len, "%s %s %s\n", cause_name(x->cause),
	    *x->folder ? x->folder : x->target, x->id);
}

static void on_note(void *arg, const char *text)
{
	(void)arg, (void)text;
}

static void on_report(
    void *arg, const char *source, const char *target, const struct folder_report *r)
{
	(void)source, (void)target, (void)r;
	((struct world *)arg)->reports++;
}

static struct endpoint endpoint_of(const struct mock_server *s, enum err_side side)
{
	return (struct endpoint){.scheme = s->scheme,
	    .url = s->scheme,
	    .user = "u",
	    .host = s->scheme,
	    .identity = s->scheme,
	    .side = side};
}

static int look(struct world *w, enum job_kind job, const struct verify_options *how)
{
	struct endpoint from = endpoint_of(&w->source, ERR_SOURCE);
	struct endpoint to = endpoint_of(&w->target, ERR_DESTINATION);
	struct flow_options options = {.source = &from, .destination = &to, .verify = *how};
	struct flow_watch watch = {
	    on_progress, on_folder, on_exception, on_note, on_report, .arg = w};
	struct flow_context context = {.watch = &watch};
	struct err e = {0};
	int failed;

	memset(w->told, 0, sizeof(w->told));
	w->said[0] = '\0';
	w->reports = 0;
	w->verify = (struct verify_summary){0};
	w->survey = (struct survey_summary){0};
	waitset_new(&context.waits, -1);
	waitset_add(context.waits, mock_waiter());
	failed = job == JOB_VERIFY ? flow_verify(&w->verify, &options, &context, &e)
				   : flow_survey(&w->survey, &options, &context, &e);
	waitset_remove(context.waits, mock_waiter());
	waitset_free(&context.waits);
	if (w->source.fault || w->target.fault)
		fail_msg("contract: %s", w->source.fault ? w->source.fault : w->target.fault);
	if (failed)
		fail_msg("%s", e.text);
	return failed;
}

static void deliver(struct mock_server *s, const char *folder, int n, const char *flags)
{
	struct mock_folder *f = mock_folder_find(s, view_of(folder));
	struct date date = {1500000000 + 60 * n, 0, true};
	char text[200];

	snprintf(text, sizeof(text),
	    "From: a@b\r\nSubject: number %d\r\nMessage-ID: <%d@x>\r\n\r\nBody of %d\r\n", n, n, n);
	mock_deliver(s, f ? f : mock_folder_add(s, folder), view_of(text), flags, date);
}

static void world_open(struct world *w)
{
	static struct mock_server *servers[2];

	*w = (struct world){.source = {.scheme = "first", .random = {3}},
	    .target = {.scheme = "target", .random = {4}, .manners = {.ids_told = 1000}}};
	w->source.manners.condstore = w->target.manners.condstore = true;
	servers[0] = &w->source;
	servers[1] = &w->target;
	mock_install(servers, 2);
	clock_fake(mock_clock);
	for (int n = 0; n < 9; n++) {
		deliver(&w->source, "INBOX", n, n % 2 ? "\\Seen" : "");
		deliver(&w->target, "INBOX", n, n % 2 ? "\\Seen" : "");
	}
	for (int n = 0; n < 3; n++) { /* twins */
		deliver(&w->source, "Work", 50, "");
		deliver(&w->target, "Work", 50, "");
	}
}

static void world_close(struct world *w)
{
	mock_server_free(&w->source);
	mock_server_free(&w->target);
	mock_install(NULL, 0);
	clock_fake(NULL);
}

static const struct verify_options quick, whole = {.digest = true},
					  some = {.sample = 4, .seed = 17};

static void test_same(void **state)
{
	const struct verify_options *const ways[] = {&quick, &whole, &some};
	struct world w;

	(void)state;
	world_open(&w);
	for (size_t i = 0; i < COUNT_OF(ways); i++) {
		look(&w, JOB_VERIFY, ways[i]);
		assert_string_equal(w.said, "");
		assert_int_equal(w.reports, 2);
		assert_int_equal(w.verify.folders, 2);
		assert_int_equal(w.verify.all.same, 12);
		assert_int_equal(w.verify.all.source_items, 12);
	}
	assert_int_equal(w.verify.all.read_whole, 4 + 3); /* of the twins three, or none */
	assert_int_equal(w.verify.seed, 17);
	look(&w, JOB_VERIFY, &whole);
	assert_int_equal(w.verify.all.read_whole, 12);
	world_close(&w);
}

/* Replace the body of message INDEX at the destination by one of the same length. */
static void change_byte(struct world *w, size_t index, size_t from_end)
{
	struct mock_folder *f = mock_folder_find(&w->target, view_of("INBOX"));
	struct view bytes = f->messages[index].bytes;
	char *copy = arena_text(&w->target.arena, bytes);

	copy[bytes.len - from_end] ^= 1;
	f->messages[index].bytes = view_make(copy, bytes.len);
}

static void test_differences(void **state)
{
	struct world w;
	struct mock_folder *f;

	(void)state;
	world_open(&w);
	f = mock_folder_find(&w.target, view_of("INBOX"));
	f->messages[0].deleted = true;
	mock_set_flags(&w.target, f, 1, "\\Seen kw");
	f->messages[2].date.instant += 3600;
	change_byte(&w, 3, 3);                             /* in the body */
	change_byte(&w, 4, f->messages[4].bytes.len - 20); /* in the Subject */
	deliver(&w.target, "INBOX", 99, "");
	deliver(&w.target, "Mine", 98, "");
	deliver(&w.source, "Gone", 97, "");
	look(&w, JOB_VERIFY, &quick);
	assert_string_equal(w.said, "flags-differ INBOX 2\ndate-differs INBOX 3\n"
				    "bytes-differ INBOX 5\nmissing INBOX 1\nextra INBOX \n"
				    "missing Gone \nextra Mine \n");
	assert_int_equal(w.verify.all.missing, 2);
	assert_int_equal(w.verify.all.extra, 2);
	assert_int_equal(w.verify.folders_missing, 1);
	assert_int_equal(w.verify.folders_extra, 1);
	look(&w, JOB_VERIFY, &whole);
	assert_int_equal(w.told[CAUSE_BYTES_DIFFER], 2);
	assert_non_null(strstr(w.said, "bytes-differ INBOX 4\n"));
	assert_int_equal(w.verify.all.same, 12 - 5);
	world_close(&w);
}

/* The same seed finds the same; all seeds together find it all. */
static void test_samples(void **state)
{
	struct world w;
	unsigned found = 0;

	(void)state;
	world_open(&w);
	change_byte(&w, 3, 3);
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct verify_options how = {.sample = 3, .seed = seed};
		unsigned first;

		look(&w, JOB_VERIFY, &how);
		first = w.told[CAUSE_BYTES_DIFFER];
		look(&w, JOB_VERIFY, &how);
		assert_int_equal(w.told[CAUSE_BYTES_DIFFER], first);
		found += first;
	}
	assert_in_range(found, 5, 25); /* of forty a third */
	world_close(&w);
}

/* A link that breaks, at each call in turn, changes nothing of what is found. */
static void test_breaks(void **state)
{
	struct world w;

	(void)state;
	for (uint64_t at = 1; at < 40; at++) {
		world_open(&w);
		mock_folder_find(&w.target, view_of("INBOX"))->messages[0].deleted = true;
		w.source.break_at =
		    at % 2 ? at / 2 + 2 : 0; /* logging in itself is not tried again */
		w.target.break_at = at % 2 ? 0 : at / 2 + 2;
		look(&w, JOB_VERIFY, &whole);
		assert_string_equal(w.said, "missing INBOX 1\n");
		assert_int_equal(w.verify.all.same, 11);
		world_close(&w);
	}
}

static void test_told_twice(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	w.source.faults.twice = w.target.faults.twice = 500;
	look(&w, JOB_VERIFY, &quick);
	assert_string_equal(w.said, "");
	assert_int_equal(w.verify.all.source_items, 12);
	world_close(&w);
}

static void test_survey(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	deliver(&w.source, "New", 1, "kw");
	w.target.manners.max_size = 10;
	look(&w, JOB_CHECK, &quick);
	assert_int_equal(w.survey.folders, 3);
	assert_int_equal(w.survey.folders_there, 2);
	assert_int_equal(w.survey.items, 13);
	assert_int_equal(w.survey.target_items, 12);
	assert_int_equal(w.survey.with_keywords, 1);
	assert_int_equal(w.survey.too_big, 13);
	assert_int_equal(w.told[CAUSE_TOO_BIG], 13);
	assert_true(w.survey.limit_told);
	assert_int_equal(w.survey.keywords, SURVEY_KEYWORDS_UNKNOWN);
	assert_false(w.survey.quota_told);
	assert_true(w.survey.probe_bytes > 0);
	assert_int_equal(w.survey.needed_at_most, 0); /* what is refused needs no room */
	w.target.manners.max_size = 0;
	look(&w, JOB_CHECK, &quick);
	assert_int_equal(w.survey.needed_at_most, w.survey.bytes);
	assert_true(w.survey.needed > 0 && w.survey.needed < w.survey.needed_at_most);
	assert_int_equal(w.target.puts, 0);
	assert_int_equal(w.target.folder_count, 2);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_same),
	    cmocka_unit_test(test_differences), cmocka_unit_test(test_samples),
	    cmocka_unit_test(test_breaks), cmocka_unit_test(test_told_twice),
	    cmocka_unit_test(test_survey)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
