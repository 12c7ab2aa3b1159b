/* The live line: never wider than the terminal, gone when asked, silent where nobody looks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/progress.h"
#include "cli/show.h"

static int64_t fake_now;

static int64_t fake_clock(void)
{
	return fake_now;
}

static struct copy_progress busy(const char *folder)
{
	struct copy_progress p = {.phase = COPY_COPYING,
	    .items_done = 1234567,
	    .items_total = 9999999,
	    .bytes_done = (uint64_t)123 << 30,
	    .bytes_total = (uint64_t)999 << 30};

	snprintf(p.folder, sizeof(p.folder), "%s", folder);
	return p;
}

static void test_render(void **state)
{
	static const struct {
		const char *folder;
		size_t width;
		int64_t left;
		const char *line;
	} cases[] = {
	    {"INBOX", 79, 11045,
		"INBOX  1234567/9999999 msgs  123/999 GiB  12.3 MiB/s  left 3h04m"},
	    {"INBOX", 79, -1, "INBOX  1234567/9999999 msgs  123/999 GiB  12.3 MiB/s  left unknown"},
	    {"Archive/2024/Correspondence with everybody", 79, 11045,
		"Archiv…ith everybody  1234567/9999999 msgs  123/999 GiB  12.3 MiB/s  left 3h04m"},
	    {"日本語のフォルダー/受信トレイ", 79, 11045,
		"日本語…ー/受信トレイ  1234567/9999999 msgs  123/999 GiB  12.3 MiB/s  left 3h04m"},
	    {"Archive/2024/Correspondence with everybody", 39, 11045,
		"Archi…h everybody  1234567/9999999 msgs"},
	    {"INBOX", 39, 42, "INBOX  1234567/9999999 msgs  left 42s"},
	    {"INBOX", 5, 42, "INBOX"},
	    {"INBOX", 3, 42, "…OX"},
	    {"INBOX", 0, 42, ""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct copy_progress now = busy(cases[i].folder);
		AUTO(buf_free) struct buf out = BUF_INIT(1000);
		progress_render(&out, &now, 12920000, cases[i].left, cases[i].width);
		assert_true(show_columns(out.data ? out.data : "") <= cases[i].width);
		assert_string_equal(out.data ? out.data : "", cases[i].line);
	}
}

static void test_render_phases(void **state)
{
	static const char *const lines[] = {[COPY_CONNECTING] = "Connecting to source",
	    [COPY_LISTING] = "Comparing folders: 3 of 7",
	    [COPY_CHECKING] = "Checking the destination: 3 of 7",
	    [COPY_DONE] = "Finishing"};

	(void)state;
	for (int i = 0; i < (int)COUNT_OF(lines); i++) {
		struct copy_progress now = {
		    .phase = (enum copy_phase)i, .folders_done = 3, .folders_total = 7};
		AUTO(buf_free) struct buf out = BUF_INIT(1000), narrow = BUF_INIT(1000);
		if (!lines[i])
			continue;
		progress_render(&out, &now, 0, -1, 79);
		assert_non_null(strstr(out.data, lines[i]));
		progress_render(&narrow, &now, 0, -1, 6);
		assert_true(show_columns(narrow.data) <= 6);
	}
}

/* Every width, the largest and the smallest numbers, difficult names. */
static void test_never_too_wide(void **state)
{
	static const char *const names[] = {"", "x", "日", "\xff\xff\xff", "e\xcc\x81\xcc\x81/f",
	    "a\033[31mb", "Ⅷ/ｆｕｌｌ/한국어 폴더/🦆🦆🦆🦆🦆🦆🦆🦆🦆",
	    "a very long name that nobody would ever give to a folder, but somebody did, and more"};
	static const uint64_t numbers[] = {0, 1, 1023, 123456789, UINT64_MAX};

	(void)state;
	for (size_t n = 0; n < COUNT_OF(names); n++) {
		for (size_t k = 0; k < COUNT_OF(numbers) * 5; k++) {
			struct copy_progress now = busy(names[n]);
			now.items_total = now.bytes_total = numbers[k / 5];
			now.items_done = now.bytes_done = numbers[k % 5];
			for (size_t width = 0; width < 130; width++) {
				AUTO(buf_free) struct buf out = BUF_INIT(1000);
				progress_render(&out, &now, numbers[k % 5],
				    (int64_t)(numbers[k / 5] / 2), width);
				assert_true(show_columns(out.data ? out.data : "") <= width);
			}
		}
	}
}

struct terminal {
	int master, slave;
};

static struct terminal terminal_open(unsigned short columns)
{
	struct winsize size = {.ws_row = 24, .ws_col = columns};
	struct terminal t;

	assert_int_equal(openpty(&t.master, &t.slave, NULL, NULL, &size), 0);
	return t;
}

static void terminal_close(struct terminal *t)
{
	close(t->master);
	close(t->slave);
}

static void terminal_read(struct terminal *t, char *out, size_t size)
{
	struct pollfd ready = {.fd = t->master, .events = POLLIN};
	size_t len = 0;

	while (poll(&ready, 1, 50) > 0) {
		ssize_t n = read(t->master, out + len, size - 1 - len);
		assert_true(n > 0);
		len += (size_t)n;
	}
	out[len] = '\0';
}

/* What was drawn is one carriage return, text within the width, and "clear to the end". */
static void check_drawn(const char *bytes, size_t columns)
{
	char line[2000];
	size_t len = strlen(bytes);

	assert_true(len > 4 && bytes[0] == '\r');
	assert_string_equal(bytes + len - 3, "\033[K");
	memcpy(line, bytes + 1, len - 4);
	line[len - 4] = '\0';
	assert_null(strpbrk(line, "\r\n\033"));
	assert_true(show_columns(line) < columns);
}

static void test_on_terminals(void **state)
{
	static const unsigned short widths[] = {80, 40, 200, 2, 1};
	const struct pace pace = {0};
	struct progress p;
	char bytes[4000];

	(void)state;
	setenv("TERM", "xterm", 1);
	for (size_t i = 0; i < COUNT_OF(widths); i++) {
		AUTO(terminal_close) struct terminal t = terminal_open(widths[i]);
		struct copy_progress now = busy("文書/二〇二四年/請求書と領収書/未払い");
		progress_open(&p, t.slave, true);
		progress_draw(&p, &now, &pace);
		assert_true(p.shown);
		terminal_read(&t, bytes, sizeof(bytes));
		check_drawn(widths[i] == 1 ? "\r.\033[K" : bytes, widths[i] == 1 ? 2 : widths[i]);
		progress_erase(&p);
		terminal_read(&t, bytes, sizeof(bytes));
		assert_string_equal(bytes, "\r\033[K");
		progress_erase(&p);
		terminal_read(&t, bytes, sizeof(bytes));
		assert_string_equal(bytes, "");
	}
}

static void test_follows_the_width(void **state)
{
	AUTO(terminal_close) struct terminal t = terminal_open(120);
	struct winsize narrow = {.ws_row = 24, .ws_col = 40};
	const struct pace pace = {0};
	struct copy_progress now = busy("Archive/A long name/Another long name/And a third one");
	struct progress p;
	char bytes[4000];

	(void)state;
	clock_fake(fake_clock);
	fake_now = 1000;
	progress_open(&p, t.slave, true);
	progress_draw(&p, &now, &pace);
	terminal_read(&t, bytes, sizeof(bytes));
	check_drawn(bytes, 120);
	assert_int_equal(ioctl(t.master, TIOCSWINSZ, &narrow), 0);
	progress_draw(&p, &now, &pace); /* too soon */
	terminal_read(&t, bytes, sizeof(bytes));
	assert_string_equal(bytes, "");
	fake_now += 100;
	progress_draw(&p, &now, &pace);
	terminal_read(&t, bytes, sizeof(bytes));
	check_drawn(bytes, 40);
	clock_fake(NULL);
}

static void test_silent(void **state)
{
	AUTO(terminal_close) struct terminal t = terminal_open(80);
	static const char *const terms[] = {"dumb", "", NULL, "xterm"};
	const struct pace pace = {0};
	struct copy_progress now = busy("INBOX");
	struct progress p;
	char bytes[400];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(terms); i++) {
		if (terms[i])
			setenv("TERM", terms[i], 1);
		else
			unsetenv("TERM");
		progress_open(&p, t.slave, i < 3); /* the last one: not wanted */
		progress_draw(&p, &now, &pace);
		progress_erase(&p);
	}
	terminal_read(&t, bytes, sizeof(bytes));
	assert_string_equal(bytes, "");
}

static void test_not_a_terminal(void **state)
{
	const struct pace pace = {0};
	struct copy_progress now = busy("INBOX");
	struct progress p;
	int ends[2];
	char byte;

	(void)state;
	assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
	setenv("TERM", "xterm", 1);
	progress_open(&p, ends[1], true);
	progress_draw(&p, &now, &pace);
	progress_erase(&p);
	assert_int_equal(read(ends[0], &byte, 1), -1);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_render),
	    cmocka_unit_test(test_render_phases), cmocka_unit_test(test_never_too_wide),
	    cmocka_unit_test(test_on_terminals), cmocka_unit_test(test_follows_the_width),
	    cmocka_unit_test(test_silent), cmocka_unit_test(test_not_a_terminal)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
