/* The report for people, and the report file for programs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/report.h"
#include "cli/report_file.h"

static const struct copy_options options = {
    .source = {.identity = "anna@old.example"}, .destination = {.identity = "anna@new.example"}};

static struct exception exception(enum cause cause, const char *id)
{
	return (struct exception){.cause = cause,
	    .folder = "Archive/\033[31m2024",
	    .target = "",
	    .id = id,
	    .msgid = "<a@b>",
	    .reason = "NO message too large"};
}

static void print(struct buf *out, const struct copy_summary *s, const struct tally *t, bool ended,
    const char *file)
{
	const struct report r = {
	    .options = &options, .summary = s, .tally = t, .ended = ended, .file = file};

	report_print(out, &r);
	for (size_t i = 0; i < out->len; i++)
		assert_true((unsigned char)out->data[i] >= ' ' || out->data[i] == '\n');
}

static void test_clean_pass(void **state)
{
	static const struct copy_summary s = {.folders = 42,
	    .folders_made = 12,
	    .items_stored = 12345,
	    .bytes_stored = (uint64_t)1229 << 20,
	    .items_before = 678,
	    .marks = 3,
	    .items_checked = 12345,
	    .elapsed_ms = 125400,
	    .checked = true};
	AUTO(tally_free) struct tally t = {0};
	AUTO(buf_free) struct buf out = BUF_INIT(100000);

	(void)state;
	print(&out, &s, &t, true, NULL);
	assert_string_equal(out.data,
	    "anna@old.example to anna@new.example: finished after 2m05s\n"
	    "\n"
	    "  Folders   42, 12 of them made at the destination\n"
	    "  Messages  12,345 copied, 1.2 GiB, 9.7 MiB/s; 678 there from before\n"
	    "  Flags     changed on 3 messages\n"
	    "\n"
	    "Checked: all 12,345 messages of this pass are at the destination.\n");
}

static void test_nothing_new(void **state)
{
	static const struct copy_summary s = {
	    .folders = 1, .items_before = 1, .marks = 1, .reconnects = 1, .checked = true};
	AUTO(tally_free) struct tally t = {0};
	AUTO(buf_free) struct buf out = BUF_INIT(100000);

	(void)state;
	print(&out, &s, &t, true, NULL);
	assert_non_null(strstr(out.data, "0 copied; 1 there from before\n"));
	assert_non_null(strstr(out.data, "changed on 1 message\n"));
	assert_non_null(strstr(out.data, "connected again 1 time\n"));
	assert_non_null(strstr(out.data, "There was nothing new to copy."));
	assert_null(strstr(out.data, "Checked"));
}

static void test_exceptions(void **state)
{
	static const struct copy_summary s = {
	    .folders = 1, .items_stored = 5, .items_checked = 5, .not_copied = 8, .checked = true};
	static const char *const ids[] = {"1", "2", "3", "4", "5", "6", "7"};
	AUTO(tally_free) struct tally t = {0};
	AUTO(buf_free) struct buf out = BUF_INIT(100000);
	struct exception x;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(ids); i++) {
		x = exception(CAUSE_TOO_BIG, ids[i]);
		tally_add(&t, &x);
	}
	x = exception(CAUSE_ALTERED, "9");
	tally_add(&t, &x);
	x = (struct exception){CAUSE_FOLDER_REFUSED, "A/B", "A.B", "", "", "NO"};
	tally_add(&t, &x);
	print(&out, &s, &t, true, "/tmp/r.jsonl");
	assert_non_null(strstr(out.data, "Not copied, or in doubt:\n  folder-refused: 1\n"
					 "    A/B (here A.B): NO\n    > Make the folder"));
	assert_non_null(strstr(
	    out.data, "  too-big: 7\n    Archive/?[31m2024, uid 1 <a@b>: NO message too large\n"));
	assert_non_null(strstr(out.data, "uid 5 "));
	assert_null(strstr(out.data, "uid 6 "));
	assert_non_null(strstr(out.data, "    ... and 2 more\n    > Raise the destination's"));
	assert_non_null(strstr(out.data, "Copied, but worth knowing:\n  altered: 1\n"));
	assert_non_null(strstr(out.data, "The whole list, one JSON object a line: /tmp/r.jsonl\n"));
}

static void test_success_is_not_said_unchecked(void **state)
{
	static const struct copy_summary s = {.folders = 1, .items_stored = 5, .items_checked = 4};
	AUTO(tally_free) struct tally t = {0};
	AUTO(buf_free) struct buf out = BUF_INIT(100000), stopped = BUF_INIT(100000);

	(void)state;
	print(&out, &s, &t, true, NULL);
	assert_null(strstr(out.data, "Checked"));
	assert_non_null(strstr(out.data, "NOT CHECKED: 4 of the 5 messages"));
	print(&stopped, &s, &t, false, NULL);
	assert_null(strstr(stopped.data, "Checked"));
	assert_non_null(strstr(stopped.data, "not finished after"));
	assert_non_null(strstr(stopped.data, "goes on from there"));
}

struct place {
	char dir[40], file[60], part[60];
};

static void place_make(struct place *p)
{
	strcpy(p->dir, "/tmp/godwit-report-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->file, sizeof(p->file), "%s/r", p->dir);
	snprintf(p->part, sizeof(p->part), "%s/r.part", p->dir);
}

static void place_remove(struct place *p)
{
	unlink(p->file);
	unlink(p->part);
	rmdir(p->dir);
}

static void check_file(const char *path, const char *content)
{
	char text[4000];
	FILE *f = fopen(path, "r");
	size_t len;

	assert_non_null(f);
	len = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[len] = '\0';
	assert_string_equal(text, content);
}

#define LINE                                                                                       \
	"{\"folder\":\"Archive/"                                                                   \
	"\\u001B[31m2024\",\"uid\":17,\"msgid\":\"<a@b>\",\"cause\":\"nul\","                      \
	"\"reason\":\"NO message too large\",\"remedy\":\"The message holds NUL bytes, which "     \
	"this "                                                                                    \
	"destination does not take; --repair stores it in other bytes.\"}\n"

static void test_file(void **state)
{
	AUTO(place_remove) struct place p;
	AUTO(report_file_free) struct report_file f = REPORT_FILE_NONE;
	struct exception x = exception(CAUSE_NUL, "17");
	struct stat st;
	struct err e;

	(void)state;
	place_make(&p);
	assert_int_equal(report_file_open(&f, p.file, &e), 0);
	report_file_add(&f, &x);
	check_file(p.part, LINE); /* a crash now would leave it */
	assert_int_equal(access(p.file, F_OK), -1);
	report_file_add(&f, &x);
	assert_int_equal(report_file_finish(&f, &e), 0);
	check_file(p.file, LINE LINE);
	assert_int_equal(access(p.part, F_OK), -1);
	assert_int_equal(stat(p.file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_file_of_a_folder(void **state)
{
	AUTO(place_remove) struct place p;
	AUTO(report_file_free) struct report_file f = REPORT_FILE_NONE;
	const struct exception x = {CAUSE_FOLDER_GONE, "A", "", "", "", ""};
	struct err e;

	(void)state;
	place_make(&p);
	assert_int_equal(report_file_open(&f, p.file, &e), 0);
	report_file_add(&f, &x);
	assert_int_equal(report_file_finish(&f, &e), 0);
	check_file(p.file,
	    "{\"folder\":\"A\",\"uid\":null,\"msgid\":null,\"cause\":\"folder-gone\",\"reason\":"
	    "\"\",\"remedy\":\"Look at the folder with a mail program; run it again when it can be "
	    "opened.\"}\n");
}

/* A run that never began leaves the report of the one before. */
static void test_file_not_begun(void **state)
{
	AUTO(place_remove) struct place p;
	struct report_file f = REPORT_FILE_NONE;
	struct err e;
	FILE *old;

	(void)state;
	place_make(&p);
	old = fopen(p.file, "w");
	assert_non_null(old);
	fputs("old", old);
	fclose(old);
	assert_int_equal(report_file_open(&f, p.file, &e), 0);
	report_file_free(&f);
	check_file(p.file, "old");
	assert_int_equal(access(p.part, F_OK), -1);
}

static void test_file_unwritable(void **state)
{
	static const char *const paths[] = {"/nonexistent/r", "/", "/tmp"};
	struct report_file f = REPORT_FILE_NONE;
	struct err e;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(paths); i++) {
		assert_int_equal(report_file_open(&f, paths[i], &e), -1);
		assert_int_equal(e.cause, CAUSE_USAGE);
		assert_non_null(strstr(e.text, paths[i]));
		report_file_free(&f);
	}
}

/* /dev/full takes nothing, and is no regular file that could be replaced. */
static void test_file_full(void **state)
{
	AUTO(report_file_free) struct report_file f = REPORT_FILE_NONE;
	struct exception x = exception(CAUSE_NUL, "17");
	struct err e;

	(void)state;
	assert_int_equal(report_file_open(&f, "/dev/full", &e), 0);
	report_file_add(&f, &x);
	report_file_add(&f, &x);
	assert_int_equal(report_file_finish(&f, &e), -1);
	assert_int_equal(e.cause, CAUSE_STATE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_clean_pass),
	    cmocka_unit_test(test_nothing_new), cmocka_unit_test(test_exceptions),
	    cmocka_unit_test(test_success_is_not_said_unchecked), cmocka_unit_test(test_file),
	    cmocka_unit_test(test_file_of_a_folder), cmocka_unit_test(test_file_not_begun),
	    cmocka_unit_test(test_file_unwritable), cmocka_unit_test(test_file_full)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
