/* size_test.c - what a message costs in the ledger on disk, the way the engine writes it: windows of
 * intents, receipts, a barrier each. DESIGN §7: at most 128 bytes.
 *
 *     GODWIT_LEDGER_ROWS=1000000 ledger_size_test      as many messages as that; prints the figure */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "ledger/ledger.h"

#define WINDOW 128u

static struct store *store_at(const char *directory)
{
	struct store *s;
	struct err e;

	if (store_sqlite_open(&s, directory, &e))
		fail_msg("%s", e.text);
	return s;
}

/* Items FIRST to FIRST + count of one window, as a source with CONDSTORE and a destination with UIDPLUS
 * would have them. */
static void fill(struct window *w, unsigned first, char (*ids)[2][12], struct flags_table *flags)
{
	static const char *const some[] = {"\\Seen", "", "\\Answered \\Seen", "\\Flagged"};

	for (unsigned i = 0; i < w->count; i++) {
		struct window_item *item = &w->items[i];

		snprintf(ids[i][0], 12, "%u", 1000 + first + i);
		snprintf(ids[i][1], 12, "%u", 500000 + first + i);
		*item = (struct window_item){.id = view_of(ids[i][0]),
		    .size = 2000 + (first + i) * 7 % 90000,
		    .flags = flags_intern(flags, view_of(some[(first + i) % 4])),
		    .state = ITEM_READ,
		    .stored_id = view_of(ids[i][1]),
		    .reason = "",
		    .msgid = ""};
		item->flags_told = item->flags;
		randombytes_buf(item->identity.header, sizeof(item->identity.header));
	}
}

static void write_rows(struct ledger *l, struct flags_table *flags, unsigned rows)
{
	struct ledger_folder *f = ledger_folder(l, view_of("INBOX"));
	struct window_item items[WINDOW];
	char ids[WINDOW][2][12];
	struct window w = {.items = items};
	struct cursor now = {"1700000000 500000 77"};
	struct err e;

	for (unsigned first = 0; first < rows; first += WINDOW) {
		w.count = rows - first < WINDOW ? rows - first : WINDOW;
		fill(&w, first, ids, flags);
		assert_int_equal(ledger_intend(l, f, &w, INTENT_OPEN, &now, &e), 0);
		assert_int_equal(ledger_durable(l, w.ticket, &e), 0);
		for (unsigned i = 0; i < w.count; i++)
			items[i].state = ITEM_STORED;
		assert_int_equal(ledger_receive(l, f, &w, &e), 0);
	}
	assert_int_equal(ledger_finish(l, f, &(struct cursor){"1700000000 2000000 99"}, 0, &e), 0);
	assert_int_equal(f->stored, rows);
}

/* Bytes of all its files; they are removed. */
static uint64_t take_away(const char *directory)
{
	DIR *d = opendir(directory);
	struct dirent *entry;
	uint64_t bytes = 0;
	char path[400];
	struct stat st;

	while ((entry = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%.200s", directory, entry->d_name);
		if (!stat(path, &st) && S_ISREG(st.st_mode)) {
			bytes += (uint64_t)st.st_size;
			unlink(path);
		}
	}
	closedir(d);
	rmdir(directory);
	return bytes;
}

static void test_bytes_a_message(void **state)
{
	const char *wish = getenv("GODWIT_LEDGER_ROWS");
	unsigned rows = wish ? (unsigned)strtoul(wish, NULL, 10) : 30000;
	char directory[] = "/tmp/godwit-ledger-XXXXXX";
	struct flags_table *flags;
	struct ledger *l;
	struct store *s;
	struct err e;
	double each;

	(void)state;
	assert_non_null(mkdtemp(directory));
	flags_table_new(&flags);
	s = store_at(directory);
	assert_int_equal(
	    ledger_open(&l, s, "anna@old.example", "anna@new.example", flags, NULL, &e), 0);
	write_rows(l, flags, rows);
	ledger_close(&l);
	s->ops->close(&s);
	flags_table_free(&flags);
	each = (double)take_away(directory) / rows;
	print_message("%u messages: %.1f bytes each\n", rows, each);
	assert_true(each <= 128);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_bytes_a_message)};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("ledger size", tests, NULL, NULL);
}
