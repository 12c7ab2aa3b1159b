/* ledger_test.c - the invariants at the head of ledger.c, each by itself, and then all of them after
 * a crash at every store call of a long life with every prefix of what was not durable. */
#include "ledger/ledger.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ledger/schema.h"
#include "memory_store.h"

#define SOURCE "a@source"
#define TARGET "b@target"

/* One ledger over one disk. */
struct place {
	struct memory_disk *disk;
	struct store *store;
	struct flags_table *flags;
	struct ledger *ledger;
	struct ledger_folder *folder; /* "INBOX" */
	struct arena arena;
};

static int try_open(struct place *p, const char *source, const struct ledger_hook *hook)
{
	struct err e = {0};

	memory_store_open(&p->store, p->disk);
	flags_table_new(&p->flags);
	if (ledger_open(&p->ledger, p->store, source, TARGET, p->flags, hook, &e)) {
		assert_true(e.cause == CAUSE_STATE || e.cause == CAUSE_DAMAGED);
		assert_int_equal(e.scope, ERR_RUN);
		return -1;
	}
	p->folder = ledger_folder(p->ledger, view_of("INBOX"));
	return 0;
}

static void shut(struct place *p)
{
	ledger_close(&p->ledger);
	flags_table_free(&p->flags);
	p->store->ops->close(&p->store);
	arena_free(&p->arena);
	p->folder = NULL;
}

static void begin(struct place *p)
{
	*p = (struct place){0};
	memory_disk_new(&p->disk);
	assert_int_equal(try_open(p, SOURCE, NULL), 0);
}

static void end(struct place *p)
{
	shut(p);
	memory_disk_free(&p->disk);
}

/* The process dies; all but KEEP batches behind the last barrier is lost; a new one opens. */
static void crash(struct place *p, size_t keep)
{
	shut(p);
	memory_disk_crash(p->disk, keep);
	assert_int_equal(try_open(p, SOURCE, NULL), 0);
}

static void reopen(struct place *p)
{
	crash(p, SIZE_MAX);
}

/* ---- windows ---- */

struct load {
	struct window w;
	struct window_item items[8];
	char ids[8][12];
};

static struct window_item item_of(const char *id, uint32_t flags)
{
	struct window_item item = {.id = view_of(id),
	    .size = 100,
	    .date = {1700000000, 60, true},
	    .flags = flags,
	    .flags_told = flags,
	    .state = ITEM_READ,
	    .reason = "",
	    .msgid = ""};

	item.identity.size = strtoul(id, NULL, 10);
	memset(item.identity.header, (int)item.identity.size, sizeof(item.identity.header));
	return item;
}

static void load(struct place *p, struct load *l, const unsigned *ids, size_t count)
{
	*l = (struct load){0};
	l->w.items = l->items;
	l->w.count = count;
	for (size_t i = 0; i < count; i++) {
		char flags[40];
		snprintf(flags, sizeof(flags), "\\Seen kw%u", ids[i] % 3);
		snprintf(l->ids[i], sizeof(l->ids[i]), "%u", ids[i]);
		l->items[i] = item_of(l->ids[i], flags_intern(p->flags, view_of(flags)));
	}
}

#define LOAD(p, l, ...)                                                                            \
	load((p), (l), (const unsigned[]){__VA_ARGS__}, COUNT_OF(((const unsigned[]){__VA_ARGS__})))

static struct cursor cursor_of(const char *text)
{
	struct cursor c = {""};

	snprintf(c.text, sizeof(c.text), "%s", text);
	return c;
}

static int intend(struct place *p, struct load *l, const char *now)
{
	struct cursor c = cursor_of(now);
	struct err e;

	return ledger_intend(p->ledger, p->folder, &l->w, INTENT_OPEN, &c, &e) ||
	       ledger_durable(p->ledger, l->w.ticket, &e);
}

static int receive(struct place *p, const struct load *l)
{
	struct err e;

	return ledger_receive(p->ledger, p->folder, &l->w, &e);
}

static void stored(struct load *l, size_t i, const char *target_id)
{
	l->items[i].state = ITEM_STORED;
	l->items[i].stored_id = view_of(target_id);
}

static void refused(struct load *l, size_t i)
{
	l->items[i].state = ITEM_REFUSED;
	l->items[i].cause = CAUSE_VIRUS;
	l->items[i].reason = "it has a virus";
}

/* ---- looking ---- */

static bool find_row(struct place *p, const char *id, struct ledger_row *row)
{
	struct view ids[1] = {view_of(id)};
	bool found;
	struct err e;

	assert_int_equal(ledger_find(p->ledger, p->folder, ids, 1, row, &found, &p->arena, &e), 0);
	return found;
}

static bool find_intent(struct place *p, const char *id, struct ledger_intent *out)
{
	struct ledger_intent *list;
	size_t count;
	struct err e;

	assert_int_equal(ledger_intents(p->ledger, p->folder, &list, &count, &p->arena, &e), 0);
	for (size_t i = 0; i < count; i++)
		if (view_is(list[i].source_id, id)) {
			*out = list[i];
			return true;
		}
	return false;
}

struct count {
	uint64_t stored, refused, owed, all;
};

static int count_rows(void *arg, const struct ledger_row *row, struct err *e)
{
	struct count *c = arg;

	(void)e;
	c->stored += row->state == ROW_STORED || row->state == ROW_ADOPTED;
	c->refused += row->state == ROW_REFUSED;
	c->owed += row->state == ROW_OWED;
	c->all++;
	return 0;
}

/* Invariant 8. */
static void expect_counts(
    struct place *p, uint64_t stored_rows, uint64_t refused_rows, uint64_t owed)
{
	struct count c = {0};
	struct err e;

	assert_int_equal(ledger_each_row(p->ledger, p->folder, count_rows, &c, &e), 0);
	assert_int_equal(c.stored, stored_rows);
	assert_int_equal(c.refused, refused_rows);
	assert_int_equal(c.owed, owed);
	assert_int_equal(p->folder->stored, stored_rows);
	assert_int_equal(p->folder->refused, refused_rows);
	assert_int_equal(p->folder->owed, owed);
}

static size_t count_intents(struct place *p)
{
	struct ledger_intent *list;
	size_t count;
	struct err e;

	assert_int_equal(ledger_intents(p->ledger, p->folder, &list, &count, &p->arena, &e), 0);
	return count;
}

/* Write what is gathered. */
static void save(struct place *p)
{
	struct err e;

	assert_int_equal(ledger_save_folder(p->ledger, p->folder, &e), 0);
}

/* ---- one window ---- */

/* Invariant 1: the ticket is of a barrier, and behind it everything is on disk. */
static void test_intents_are_durable(void **state)
{
	struct ledger_intent i;
	struct place p;
	struct load l;

	(void)state;
	begin(&p);
	LOAD(&p, &l, 1, 2, 3);
	l.items[1].state = ITEM_STREAM;
	l.items[2].state = ITEM_GONE; /* is not put, gets none */
	assert_int_equal(intend(&p, &l, "9 1 0"), 0);
	assert_true(l.w.ticket > 0);
	assert_int_equal(memory_disk_pending(p.disk), 0);
	crash(&p, 0);
	assert_true(find_intent(&p, "1", &i) && i.state == INTENT_OPEN);
	assert_true(find_intent(&p, "2", &i) && i.state == INTENT_OPEN);
	assert_false(find_intent(&p, "3", &i));
	assert_int_equal(p.folder->open, 2);
	end(&p);
}

/* Without the wait nothing is: the next intent may be written while a window is on the wire. */
static void test_intend_does_not_wait(void **state)
{
	struct cursor now = cursor_of("9 1 0");
	struct place p;
	struct load l;
	struct err e;

	(void)state;
	begin(&p);
	LOAD(&p, &l, 1);
	assert_int_equal(ledger_intend(p.ledger, p.folder, &l.w, INTENT_OPEN, &now, &e), 0);
	assert_true(memory_disk_pending(p.disk) > 0);
	crash(&p, 0);
	assert_int_equal(count_intents(&p), 0);
	assert_int_equal(p.folder->open, 0);
	end(&p);
}

static void test_intent_keeps_what_it_is_told(void **state)
{
	struct ledger_intent i;
	struct place p;
	struct load l;

	(void)state;
	begin(&p);
	LOAD(&p, &l, 42);
	l.items[0].msgid = "<m@x>";
	l.items[0].flags_told = flags_intern(p.flags, view_of("told \\Flagged"));
	memset(l.items[0].identity.body, 7, 16);
	assert_int_equal(intend(&p, &l, "9 1 0"), 0);
	reopen(&p);
	assert_true(find_intent(&p, "42", &i));
	assert_memory_equal(&i.identity.header, &l.items[0].identity.header, 16);
	assert_memory_equal(&i.identity.body, &l.items[0].identity.body, 16);
	assert_int_equal(i.identity.size, 42);
	assert_int_equal(i.date.instant, 1700000000);
	assert_int_equal(i.date.zone, 60);
	assert_true(i.date.known);
	assert_string_equal(i.msgid, "<m@x>");
	assert_string_equal(flags_text(p.flags, i.flags), "\\Seen kw0");
	assert_string_equal(flags_text(p.flags, i.flags_told), "\\Flagged told");
	end(&p);
}

/* Each receipt, and what is left of the intent. Invariants 3, 4 and 5. */
static void test_receipts(void **state)
{
	static const struct {
		enum item_state told;
		const char *target_id;
		unsigned row, intent; /* 0 = none */
	} table[] = {
	    {ITEM_STORED, "70", ROW_STORED, 0}, {ITEM_STORED, "", ROW_STORED, INTENT_UNLOCATED},
	    {ITEM_REFUSED, "", ROW_REFUSED, 0}, {ITEM_AGAIN, "", 0, 0},
	    {ITEM_UNKNOWN, "", 0, INTENT_OPEN},
	    {ITEM_READ, "", 0, INTENT_OPEN}, /* came back by abandon, never put */
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct ledger_intent intent = {0};
		struct ledger_row row = {0};
		struct place p;
		struct load l;

		begin(&p);
		LOAD(&p, &l, 5);
		assert_int_equal(intend(&p, &l, "9 1 0"), 0);
		l.items[0].state = table[i].told;
		l.items[0].stored_id = view_of(table[i].target_id);
		assert_int_equal(receive(&p, &l), 0);
		for (int round = 0; round < 2; round++, reopen(&p)) {
			assert_int_equal(find_row(&p, "5", &row), table[i].row != 0);
			assert_int_equal(find_intent(&p, "5", &intent), table[i].intent != 0);
			assert_int_equal(row.state, table[i].row);
			assert_int_equal(intent.state, table[i].intent);
			assert_int_equal(p.folder->open, table[i].intent != 0);
			assert_int_equal(p.folder->tail.text[0] != 0, table[i].intent != 0);
			if (table[i].row)
				assert_true(view_is(row.target_id, table[i].target_id));
			expect_counts(
			    &p, table[i].row == ROW_STORED, table[i].row == ROW_REFUSED, 0);
		}
		end(&p);
	}
}

/* Stored at once, or adopted after a doubt: the row knows the header at the source and the one sent. */
static void test_repaired(void **state)
{
	static const char *const repair = "mended: parts encoded";
	unsigned char told[16], sent[16];

	(void)state;
	memset(told, 1, sizeof(told));
	memset(sent, 2, sizeof(sent));
	for (int adopted = 0; adopted < 2; adopted++) {
		struct ledger_intent intent = {0};
		struct ledger_row row = {0};
		struct place p;
		struct load l;
		struct err e;

		begin(&p);
		LOAD(&p, &l, 5);
		l.items[0].repair = repair;
		memcpy(l.items[0].identity.header, sent, sizeof(sent));
		memcpy(l.items[0].header_told, told, sizeof(told));
		assert_int_equal(intend(&p, &l, "9 1 0"), 0);
		if (adopted) {
			reopen(&p);
			assert_true(find_intent(&p, "5", &intent));
			assert_memory_equal(intent.identity.header, sent, sizeof(sent));
			assert_int_equal(ledger_adopt(p.ledger, p.folder, &intent, view_of("8"),
					     FLAGS_NONE, 0, &e),
			    0);
		} else {
			l.items[0].state = ITEM_STORED;
			l.items[0].stored_id = view_of("8");
			assert_int_equal(receive(&p, &l), 0);
		}
		for (int round = 0; round < 2; round++, reopen(&p)) {
			assert_true(find_row(&p, "5", &row));
			assert_int_equal(row.state, adopted ? ROW_ADOPTED : ROW_STORED);
			assert_true(ledger_is_repaired(&row));
			assert_string_equal(row.reason, repair);
			assert_memory_equal(row.digest, told, sizeof(told));
			assert_memory_equal(ledger_sent_digest(&row), sent, sizeof(sent));
		}
		end(&p);
	}
}

static void test_row_keeps_what_it_is_told(void **state)
{
	struct ledger_row row;
	struct place p;
	struct load l;
	uint32_t pass;

	(void)state;
	begin(&p);
	LOAD(&p, &l, 1, 2);
	l.items[0].flags_told = flags_intern(p.flags, view_of("told"));
	assert_int_equal(intend(&p, &l, "9 1 0"), 0);
	stored(&l, 0, "71");
	refused(&l, 1);
	assert_int_equal(receive(&p, &l), 0);
	pass = ledger_pass(p.ledger);
	reopen(&p);
	assert_true(find_row(&p, "1", &row));
	assert_string_equal(flags_text(p.flags, row.source_base), "told");
	assert_string_equal(flags_text(p.flags, row.target_base), "\\Seen kw1");
	assert_true(row.target_assumed);
	assert_int_equal(row.pass, pass);
	assert_memory_equal(row.digest, l.items[0].identity.header, 16);
	assert_int_equal(row.cause, CAUSE_NONE);
	assert_true(find_row(&p, "2", &row));
	assert_int_equal(row.cause, CAUSE_VIRUS);
	assert_string_equal(row.reason, "it has a virus");
	end(&p);
}

/* ---- the tail (invariant 2) ---- */

static void expect_tail(struct place *p, const char *text)
{
	assert_string_equal(p->folder->tail.text, text);
	reopen(p);
	assert_string_equal(p->folder->tail.text, text);
}

static void test_tail(void **state)
{
	struct ledger_intent i;
	struct place p;
	struct load a, b;
	struct err e;

	(void)state;
	begin(&p);
	expect_tail(&p, "");
	LOAD(&p, &a, 1, 2);
	assert_int_equal(intend(&p, &a, "9 1 0"), 0);
	expect_tail(&p, "9 1 0");
	LOAD(&p, &b, 3, 4);
	assert_int_equal(intend(&p, &b, "9 3 0"), 0); /* does not move up under open intents */
	expect_tail(&p, "9 1 0");
	stored(&a, 0, "1");
	stored(&a, 1, ""); /* stored, and not located: it can still be anywhere behind the tail */
	assert_int_equal(receive(&p, &a), 0);
	expect_tail(&p, "9 1 0");
	stored(&b, 0, "3");
	b.items[1].state = ITEM_AGAIN;
	assert_int_equal(receive(&p, &b), 0);
	expect_tail(&p, "9 1 0");
	assert_true(find_intent(&p, "2", &i));
	assert_int_equal(ledger_adopt(p.ledger, p.folder, &i, view_of("2"), 0, ROW_STORED, &e), 0);
	assert_int_equal(count_intents(&p), 0);
	expect_tail(&p, "");
	LOAD(&p, &b, 4);
	assert_int_equal(intend(&p, &b, "9 4 0"), 0);
	expect_tail(&p, "9 4 0");
	end(&p);
}

/* Whatever prefix a crash keeps: an intent on disk has its tail on disk. */
static void test_tail_comes_with_the_first_intent(void **state)
{
	for (size_t keep = 0; keep < 4; keep++) {
		struct cursor now = cursor_of("9 1 0");
		struct place p;
		struct load l;
		struct err e;

		(void)state;
		begin(&p);
		LOAD(&p, &l, 1, 2, 3);
		assert_int_equal(ledger_intend(p.ledger, p.folder, &l.w, INTENT_OPEN, &now, &e), 0);
		crash(&p, keep);
		assert_int_equal(count_intents(&p), p.folder->open);
		assert_int_equal(p.folder->open != 0, p.folder->tail.text[0] != 0);
		end(&p);
	}
}

/* ---- doubt ---- */

static void test_adopted_after_doubt(void **state)
{
	struct ledger_intent i;
	struct ledger_row row;
	struct place p;
	struct load l;
	struct err e;
	uint32_t shown;

	(void)state;
	begin(&p);
	LOAD(&p, &l, 1);
	assert_int_equal(intend(&p, &l, "9 1 0"), 0);
	crash(&p, 0);
	assert_true(find_intent(&p, "1", &i));
	shown = flags_intern(p.flags, view_of("\\Flagged"));
	assert_int_equal(ledger_adopt(p.ledger, p.folder, &i, view_of("8"), shown, 0, &e), 0);
	expect_counts(&p, 1, 0, 0);
	reopen(&p);
	assert_true(find_row(&p, "1", &row));
	assert_int_equal(row.state, ROW_ADOPTED);
	assert_true(view_is(row.target_id, "8"));
	assert_false(row.target_assumed);
	assert_string_equal(flags_text(p.flags, row.target_base), "\\Flagged");
	assert_string_equal(flags_text(p.flags, row.source_base), "\\Seen kw1");
	expect_counts(&p, 1, 0, 0);
	assert_int_equal(count_intents(&p), 0);
	end(&p);
}

static void test_located(void **state)
{
	struct ledger_intent i;
	struct ledger_row row;
	struct place p;
	struct load l;
	struct err e;

	(void)state;
	begin(&p);
	LOAD(&p, &l, 1);
	assert_int_equal(intend(&p, &l, "9 1 0"), 0);
	stored(&l, 0, "");
	assert_int_equal(receive(&p, &l), 0);
	reopen(&p);
	assert_true(find_intent(&p, "1", &i));
	assert_int_equal(ledger_adopt(p.ledger, p.folder, &i, view_of("8"), 0, ROW_STORED, &e), 0);
	save(&p);
	reopen(&p);
	assert_true(find_row(&p, "1", &row));
	assert_int_equal(row.state, ROW_STORED);
	assert_true(view_is(row.target_id, "8"));
	expect_counts(&p, 1, 0, 0); /* counted once */
	assert_int_equal(p.folder->open, 0);
	end(&p);
}

/* Doubted, still on record; released, gone; and where it was unlocated its row stays. */
static void test_doubt_and_release(void **state)
{
	struct ledger_intent i;
	struct ledger_row row;
	struct place p;
	struct load l;
	struct err e;

	(void)state;
	begin(&p);
	LOAD(&p, &l, 1, 2);
	assert_int_equal(intend(&p, &l, "9 1 0"), 0);
	stored(&l, 1, "");
	assert_int_equal(receive(&p, &l), 0);
	assert_true(find_intent(&p, "1", &i));
	assert_int_equal(ledger_doubt(p.ledger, p.folder, &i, &e), 0);
	assert_int_equal(p.folder->open, 2);
	assert_int_equal(count_intents(&p), 2);
	reopen(&p);
	assert_true(find_intent(&p, "1", &i) && i.state == INTENT_DOUBTED);
	assert_int_equal(ledger_release(p.ledger, p.folder, &i, &e), 0);
	assert_true(find_intent(&p, "2", &i) && i.state == INTENT_UNLOCATED);
	assert_string_equal(p.folder->tail.text, "9 1 0");
	assert_int_equal(ledger_release(p.ledger, p.folder, &i, &e), 0);
	assert_int_equal(count_intents(&p), 0);
	expect_tail(&p, "");
	assert_false(find_row(&p, "1", &row));
	assert_true(find_row(&p, "2", &row) && row.state == ROW_STORED && !row.target_id.len);
	expect_counts(&p, 1, 0, 0);
	end(&p);
}

/* ---- rows that were never put, and that end ---- */

static void refuse(struct place *p, const char *id, enum row_state as, unsigned was)
{
	struct window_item item = item_of(id, 0);
	struct err e;

	item.cause = CAUSE_UNREADABLE;
	item.reason = "no";
	item.was = was;
	item.stored_id = view_of("never");
	assert_int_equal(ledger_refuse(p->ledger, p->folder, &item, as, &e), 0);
}

static void test_refused_and_owed(void **state)
{
	struct ledger_row row;
	struct place p;
	struct load l;

	(void)state;
	begin(&p);
	refuse(&p, "1", ROW_REFUSED, 0);
	refuse(&p, "2", ROW_OWED, 0);
	refuse(&p, "3", ROW_OWED, 0);
	expect_counts(&p, 0, 1, 2);
	refuse(&p, "2", ROW_OWED, ROW_OWED); /* tried again in vain */
	refuse(&p, "3", ROW_REFUSED, ROW_OWED);
	expect_counts(&p, 0, 2, 1);
	reopen(&p);
	expect_counts(&p, 0, 2, 1);
	assert_true(find_row(&p, "2", &row));
	assert_int_equal(row.cause, CAUSE_UNREADABLE);
	assert_int_equal(row.target_id.len, 0);
	LOAD(&p, &l, 2, 3);
	assert_int_equal(intend(&p, &l, "9 1 0"), 0);
	stored(&l, 0, "5");
	l.items[0].was = ROW_OWED;
	refused(&l, 1);
	l.items[1].was = ROW_REFUSED;
	assert_int_equal(receive(&p, &l), 0);
	expect_counts(&p, 1, 2, 0);
	reopen(&p);
	expect_counts(&p, 1, 2, 0);
	end(&p);
}

/* Invariant 6: forgetting takes exactly the row named; nothing else ever takes one. */
static void test_forget(void **state)
{
	struct ledger_row row;
	struct place p;
	struct err e;

	(void)state;
	begin(&p);
	refuse(&p, "1", ROW_REFUSED, 0);
	refuse(&p, "11", ROW_OWED, 0);
	refuse(&p, "111", ROW_OWED, 0);
	assert_true(find_row(&p, "11", &row));
	assert_int_equal(ledger_forget(p.ledger, p.folder, &row, &e), 0);
	expect_counts(&p, 0, 1, 1);
	reopen(&p);
	expect_counts(&p, 0, 1, 1);
	assert_true(find_row(&p, "1", &row));
	assert_false(find_row(&p, "11", &row));
	assert_true(find_row(&p, "111", &row));
	end(&p);
}

static void test_rebase(void **state)
{
	struct ledger_row row;
	struct place p;
	struct load l;
	struct err e;

	(void)state;
	begin(&p);
	LOAD(&p, &l, 1);
	assert_int_equal(intend(&p, &l, "9 1 0"), 0);
	stored(&l, 0, "5");
	assert_int_equal(receive(&p, &l), 0);
	assert_true(find_row(&p, "1", &row));
	row.source_base = flags_intern(p.flags, view_of("new \\Draft"));
	row.target_base = FLAGS_NONE;
	row.target_assumed = false;
	assert_int_equal(ledger_rebase(p.ledger, p.folder, &row, &e), 0);
	assert_true(find_row(&p, "1", &row)); /* a read sees what is not written yet */
	assert_string_equal(flags_text(p.flags, row.source_base), "\\Draft new");
	reopen(&p);
	assert_true(find_row(&p, "1", &row));
	assert_string_equal(flags_text(p.flags, row.source_base), "\\Draft new");
	assert_int_equal(row.target_base, FLAGS_NONE);
	assert_false(row.target_assumed);
	assert_true(view_is(row.target_id, "5"));
	expect_counts(&p, 1, 0, 0);
	end(&p);
}

/* ---- the cursor (invariant 7) ---- */

static void test_finish_is_durable(void **state)
{
	struct cursor c = cursor_of("1 2 3");
	struct place p;
	struct err e;

	(void)state;
	begin(&p);
	refuse(&p, "1", ROW_REFUSED, 0);
	assert_int_equal(ledger_finish(p.ledger, p.folder, &c, 0, &e), 0);
	assert_int_equal(ledger_sync(p.ledger, &e), 0);
	crash(&p, 0);
	assert_string_equal(p.folder->cursor.text, "1 2 3");
	expect_counts(&p, 0, 1, 0);
	end(&p);
}

/* Nobody waits for it; but what is put later is intended behind it. */
static void test_finish_before_later_intents(void **state)
{
	struct cursor c = cursor_of("1 2 3");
	struct place p;
	struct load l;
	struct err e;

	(void)state;
	begin(&p);
	refuse(&p, "1", ROW_REFUSED, 0);
	assert_int_equal(ledger_finish(p.ledger, p.folder, &c, 0, &e), 0);
	LOAD(&p, &l, 2);
	assert_int_equal(intend(&p, &l, "9 1 0"), 0);
	crash(&p, 0);
	assert_string_equal(p.folder->cursor.text, "1 2 3");
	assert_int_equal(p.folder->open, 1);
	end(&p);
}

/* Whatever a crash keeps: where the cursor is, all rows are. Many more than one batch holds. */
static void test_cursor_comes_last(void **state)
{
	enum { ROWS = 9000 };
	size_t batches = 0;

	(void)state;
	for (size_t keep = 0; keep <= batches; keep++) {
		struct cursor c = cursor_of("1 2 3");
		struct place p;
		struct err e;
		char id[12];

		begin(&p);
		for (unsigned i = 1; i <= ROWS; i++) {
			snprintf(id, sizeof(id), "%u", i);
			refuse(&p, id, ROW_REFUSED, 0);
		}
		p.disk->fail_at = p.disk->calls + 1000; /* counts only */
		assert_int_equal(ledger_finish(p.ledger, p.folder, &c, 0, &e), 0);
		batches = p.disk->written;
		p.disk->durable = 0; /* as if the power had gone before the barrier's end */
		crash(&p, keep);
		if (p.folder->cursor.text[0])
			expect_counts(&p, 0, ROWS, 0);
		assert_int_equal(p.folder->cursor.text[0] != 0, keep == batches);
		end(&p);
	}
	assert_true(batches >= 2);
}

/* Our own bug: asserted. */
static void test_no_cursor_over_open_intents(void **state)
{
	struct cursor c = cursor_of("1 2 3");
	struct place p;
	struct load l;
	struct err e;
	int status;
	pid_t child;

	(void)state;
	begin(&p);
	LOAD(&p, &l, 1);
	assert_int_equal(intend(&p, &l, "9 1 0"), 0);
	fflush(NULL);
	child = fork();
	if (!child) {
		signal(SIGABRT, SIG_DFL);
		close(STDERR_FILENO);
		ledger_finish(p.ledger, p.folder, &c, 0, &e);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	end(&p);
}

/* Invariants 5 and 8 where a batch is full in the midst of a group: a long folder name makes its
 * record large, so that the end of a batch falls between a row and its count again and again. */
static void test_groups_are_whole(void **state)
{
	struct place p;
	char *raw = memset(mem_new(20001, 1), 'x', 20000);
	size_t batches = 1;

	(void)state;
	for (size_t keep = 0; keep <= batches; keep++) {
		char id[12];

		begin(&p);
		p.folder = ledger_folder(p.ledger, view_of(raw));
		for (unsigned i = 0; i < 250; i++) {
			snprintf(id, sizeof(id), "%u", i + 1);
			refuse(&p, id, ROW_OWED, 0);
		}
		save(&p);
		batches = memory_disk_pending(p.disk);
		crash(&p, keep);
		p.folder = ledger_folder(p.ledger, view_of(raw));
		expect_counts(&p, 0, 0, p.folder->owed);
		end(&p);
	}
	assert_true(batches > 2);
	free(raw);
}

/* ---- folders, passes, pairs ---- */

static void test_folders(void **state)
{
	char *parts[] = {(char[]){"Sent"}, (char[]){"2024"}};
	struct ledger_folder *f;
	struct place p;
	struct err e;

	(void)state;
	begin(&p);
	assert_ptr_equal(ledger_folder(p.ledger, view_of("INBOX")), p.folder);
	f = ledger_folder(p.ledger, view_of("Gesendet"));
	assert_int_not_equal(f->number, p.folder->number);
	assert_int_equal(f->target_depth, 0);
	assert_int_equal(ledger_set_target(p.ledger, f, parts, 2, view_of("Sent.2024"), &e), 0);
	f->subscribed = true;
	f->target = cursor_of("77 1 1");
	assert_int_equal(ledger_save_folder(p.ledger, f, &e), 0);
	reopen(&p);
	f = ledger_folder(p.ledger, view_of("Gesendet"));
	assert_int_equal(f->target_depth, 2);
	assert_string_equal(f->target_parts[0], "Sent");
	assert_string_equal(f->target_parts[1], "2024");
	assert_true(view_is(f->target_raw, "Sent.2024"));
	assert_true(f->subscribed);
	assert_string_equal(f->target.text, "77 1 1");
	/* a third one gets neither's number */
	assert_true(ledger_folder(p.ledger, view_of("X"))->number > f->number);
	end(&p);
}

/* Rows and intents of one folder are not seen in another, even numbered alike in another pair. */
static void test_folders_are_apart(void **state)
{
	struct ledger_intent i;
	struct ledger_row row;
	struct place p;
	struct load l;

	(void)state;
	begin(&p);
	p.folder = ledger_folder(p.ledger, view_of("other"));
	LOAD(&p, &l, 1, 2);
	assert_int_equal(intend(&p, &l, "9 1 0"), 0);
	stored(&l, 0, "1");
	assert_int_equal(receive(&p, &l), 0);
	reopen(&p);
	assert_false(find_row(&p, "1", &row));
	assert_false(find_intent(&p, "2", &i));
	assert_int_equal(p.folder->open, 0);
	p.folder = ledger_folder(p.ledger, view_of("other"));
	assert_true(find_row(&p, "1", &row));
	assert_true(find_intent(&p, "2", &i));
	assert_int_equal(p.folder->open, 1);
	shut(&p);
	assert_int_equal(try_open(&p, "somebody@else", NULL), 0);
	assert_null(ledger_folders(p.ledger)->next);
	p.folder = ledger_folder(p.ledger, view_of("other"));
	assert_false(find_row(&p, "1", &row));
	assert_int_equal(p.folder->open, 0);
	end(&p);
}

static void test_passes(void **state)
{
	struct place p;

	(void)state;
	begin(&p);
	assert_int_equal(ledger_pass(p.ledger), 1);
	reopen(&p); /* nothing was written: as if it had not been */
	assert_int_equal(ledger_pass(p.ledger), 1);
	for (uint32_t pass = 1; pass < 5; pass++) {
		assert_int_equal(ledger_pass(p.ledger), pass);
		save(&p);
		reopen(&p);
	}
	shut(&p);
	assert_int_equal(try_open(&p, "another@source", NULL), 0);
	assert_int_equal(ledger_pass(p.ledger), 1);
	end(&p);
}

/* ---- owners ---- */

static void fill_owner(
    struct place *p, const char *source, const char *folder, const char *raw, const char *target_id)
{
	char *parts[] = {(char[]){"T"}};
	struct load l;
	struct err e;

	shut(p);
	assert_int_equal(try_open(p, source, NULL), 0);
	p->folder = ledger_folder(p->ledger, view_of(folder));
	assert_int_equal(ledger_set_target(p->ledger, p->folder, parts, 1, view_of(raw), &e), 0);
	LOAD(p, &l, 1, 2);
	assert_int_equal(intend(p, &l, "9 1 0"), 0);
	stored(&l, 0, target_id);
	refused(&l, 1);
	assert_int_equal(receive(p, &l), 0);
}

static int take_owner(void *arg, const struct ledger_row *row, struct err *e)
{
	(void)e;
	if (row->target_id.len) {
		buf_add_view(arg, row->target_id);
		buf_add_char(arg, ' ');
	}
	return 0;
}

static void expect_owners(struct place *p, const char *raw, const char *first, const char *second)
{
	AUTO(buf_free) struct buf seen = BUF_INIT(1000);
	struct err e;

	buf_add_text(&seen, " ");
	assert_int_equal(ledger_each_owner(p->ledger, view_of(raw), take_owner, &seen, &e), 0);
	assert_int_equal(seen.len, 1 + strlen(first) + strlen(second));
	assert_non_null(strstr(seen.data, first));
	assert_non_null(strstr(seen.data, second));
}

/* Two sources pour into one folder: what lies there for the other is not ours to adopt. */
static void test_owners(void **state)
{
	struct place p;
	struct err e;

	(void)state;
	begin(&p);
	fill_owner(&p, "a@source", "INBOX", "T", "10");
	fill_owner(&p, "a@source", "Sent", "U", "20");
	fill_owner(&p, "b@source", "Posta", "T", "30");
	expect_owners(&p, "T", "10 ", "30 ");
	expect_owners(&p, "U", "20 ", "");
	expect_owners(&p, "none", "", "");
	ledger_close(&p.ledger); /* the same folder name of another account */
	assert_int_equal(
	    ledger_open(&p.ledger, p.store, "a@source", "other@target", p.flags, NULL, &e), 0);
	expect_owners(&p, "T", "", "");
	end(&p);
}

/* ---- flags ---- */

/* Numbers are the ledger's own; a table filled in another order after reopening changes nothing,
 * and new sets never take an old one's number. */
static void test_flags_across_reopen(void **state)
{
	static const char *const texts[] = {"", "\\Seen", "a b c", "\\Flagged $Junk", "z"};
	struct ledger_row row;
	struct place p;
	char id[12];

	(void)state;
	begin(&p);
	for (size_t round = 0; round < COUNT_OF(texts); round++) {
		struct window_item item;
		struct err e;

		flags_intern(p.flags, view_of("something else first"));
		for (size_t i = COUNT_OF(texts); i-- > round + 1;)
			flags_intern(p.flags, view_of(texts[i]));
		snprintf(id, sizeof(id), "%zu", round);
		item = item_of(id, flags_intern(p.flags, view_of(texts[round])));
		assert_int_equal(ledger_refuse(p.ledger, p.folder, &item, ROW_OWED, &e), 0);
		save(&p);
		reopen(&p);
		for (size_t i = 0; i <= round; i++) {
			snprintf(id, sizeof(id), "%zu", i);
			assert_true(find_row(&p, id, &row));
			assert_string_equal(flags_text(p.flags, row.source_base), texts[i]);
			assert_string_equal(flags_text(p.flags, row.target_base), texts[i]);
		}
	}
	end(&p);
}

static void test_thousand_flag_sets(void **state)
{
	struct ledger_row row;
	struct place p;
	char id[12], text[20];

	(void)state;
	begin(&p);
	for (unsigned i = 1; i <= 1000; i++) {
		struct window_item item;
		struct err e;
		snprintf(id, sizeof(id), "%u", i);
		snprintf(text, sizeof(text), "kw%u", i);
		item = item_of(id, 0);
		item.flags_told = flags_intern(p.flags, view_of(text));
		assert_int_equal(ledger_refuse(p.ledger, p.folder, &item, ROW_OWED, &e), 0);
	}
	save(&p);
	reopen(&p);
	for (unsigned i = 1; i <= 1000; i++) {
		snprintf(id, sizeof(id), "%u", i);
		snprintf(text, sizeof(text), "kw%u", i);
		assert_true(find_row(&p, id, &row));
		assert_string_equal(flags_text(p.flags, row.source_base), text);
	}
	end(&p);
}

/* ---- find ---- */

static void test_find(void **state)
{
	const struct view ids[] = {
	    view_of("3"), view_of("9"), view_of("1"), view_of("3"), view_of("none"), view_of("2")};
	static const bool expected[] = {true, false, true, true, false, true};
	struct ledger_row rows[COUNT_OF(ids)];
	bool found[COUNT_OF(ids)];
	struct place p;
	struct err e;

	(void)state;
	begin(&p);
	for (unsigned i = 1; i <= 3; i++)
		refuse(&p, (char[]){(char)('0' + i), 0}, ROW_OWED, 0);
	assert_int_equal(
	    ledger_find(p.ledger, p.folder, ids, COUNT_OF(ids), rows, found, &p.arena, &e), 0);
	for (size_t i = 0; i < COUNT_OF(ids); i++) {
		assert_int_equal(found[i], expected[i]);
		if (found[i])
			assert_true(view_eq(rows[i].source_id, ids[i]));
	}
	assert_int_equal(ledger_find(p.ledger, p.folder, NULL, 0, NULL, found, &p.arena, &e), 0);
	end(&p);
}

/* ---- damage ---- */

static void test_damaged_records(void **state)
{
	static const struct {
		const char *id, *value;
		enum schema_kind kind;
		uint32_t number;
	} table[] = {
	    {"", "?", SCHEMA_PAIR, 0},
	    {"", "?", SCHEMA_FOLDER, 1},
	    {"", "?", SCHEMA_FOLDER, 0}, /* no number */
	    {"", "kw", SCHEMA_FLAGS, 0}, /* the empty set has no record */
	    {"", "?", SCHEMA_INTENT, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		AUTO(store_batch_free) struct store_batch b;
		AUTO(buf_free) struct buf key = BUF_INIT(STORE_KEY_MAX);
		unsigned char pair[SCHEMA_PAIR_SIZE];
		struct place p;
		struct err e;

		begin(&p);
		store_batch_init(&b);
		schema_pair_id(pair, SOURCE, TARGET);
		schema_key(&key, table[i].kind, pair, table[i].number, view_of(table[i].id));
		store_batch_put(&b, buf_view(&key), view_of(table[i].value));
		assert_int_equal(p.store->ops->write(p.store, &b, &e), 0);
		shut(&p);
		assert_int_equal(try_open(&p, SOURCE, NULL), -1);
		assert_null(p.ledger);
		end(&p);
	}
}

static void test_damaged_row(void **state)
{
	AUTO(store_batch_free) struct store_batch b;
	AUTO(buf_free) struct buf key = BUF_INIT(STORE_KEY_MAX);
	unsigned char pair[SCHEMA_PAIR_SIZE];
	struct ledger_intent *list;
	struct count c = {0};
	struct place p;
	struct err e;
	size_t count;

	(void)state;
	begin(&p);
	store_batch_init(&b);
	schema_pair_id(pair, SOURCE, TARGET);
	schema_key(&key, SCHEMA_ROW, pair, p.folder->number, view_of("1"));
	store_batch_put(&b, buf_view(&key), view_of("?"));
	schema_key(&key, SCHEMA_INTENT, pair, p.folder->number, view_of("1"));
	store_batch_put(&b, buf_view(&key), view_of("?"));
	assert_int_equal(p.store->ops->write(p.store, &b, &e), 0);
	assert_int_equal(ledger_each_row(p.ledger, p.folder, count_rows, &c, &e), -1);
	assert_int_equal(e.cause, CAUSE_DAMAGED);
	assert_int_equal(ledger_intents(p.ledger, p.folder, &list, &count, &p.arena, &e), -1);
	assert_int_equal(e.cause, CAUSE_DAMAGED);
	end(&p);
}

/* ---- the hook ---- */

static void note_step(void *arg, const char *name)
{
	buf_add_text(arg, name);
	buf_add_char(arg, ' ');
}

static void test_steps(void **state)
{
	AUTO(buf_free) struct buf steps = BUF_INIT(1000);
	struct ledger_hook hook = {note_step, &steps};
	struct cursor c = cursor_of("1 1 1");
	struct place p = {0};
	struct load l;
	struct err e;

	(void)state;
	memory_disk_new(&p.disk);
	assert_int_equal(try_open(&p, SOURCE, &hook), 0);
	LOAD(&p, &l, 1);
	assert_int_equal(intend(&p, &l, "9 1 0"), 0);
	stored(&l, 0, "1");
	assert_int_equal(receive(&p, &l), 0);
	assert_int_equal(ledger_finish(p.ledger, p.folder, &c, 0, &e), 0);
	assert_string_equal(steps.data,
	    "intend write written intended durable receive write written received "
	    "finish write written finished ");
	end(&p);
}

/* ---- a whole life, stopped everywhere ---- */

#define ITEMS 12

/* What the world outside knows; it outlives crashes. */
struct world {
	bool put[ITEMS];        /* an upload was begun, and not proven to have failed */
	bool told[ITEMS];       /* a receipt came, or it was refused or adopted: a row may be */
	bool located[ITEMS];    /* ... and its id */
	const char *now[ITEMS]; /* when its latest intent was made */
	bool finishing;
};

static int life_intend(struct place *p, struct world *w, struct load *l, const char *now)
{
	for (size_t i = 0; i < l->w.count; i++)
		w->now[atoi(l->ids[i])] = now;
	if (intend(p, l, now))
		return -1;
	for (size_t i = 0; i < l->w.count; i++)
		w->put[atoi(l->ids[i])] = true;
	return 0;
}

static int life_receive(struct place *p, struct world *w, struct load *l)
{
	for (size_t i = 0; i < l->w.count; i++) {
		int n = atoi(l->ids[i]);
		enum item_state s = l->items[i].state;
		w->told[n] = w->told[n] || s == ITEM_STORED || s == ITEM_REFUSED;
		w->located[n] = w->located[n] || l->items[i].stored_id.len;
		w->put[n] = w->put[n] && s != ITEM_AGAIN;
	}
	return receive(p, l);
}

static int life_first_windows(struct place *p, struct world *w)
{
	struct load l;

	LOAD(p, &l, 1, 2, 3, 4);
	if (life_intend(p, w, &l, "5 10 0"))
		return -1;
	stored(&l, 0, "10");
	stored(&l, 1, "");
	refused(&l, 2);
	l.items[3].state = ITEM_AGAIN;
	if (life_receive(p, w, &l))
		return -1;
	LOAD(p, &l, 4, 5, 6);
	if (life_intend(p, w, &l, "5 14 0"))
		return -1;
	stored(&l, 0, "14");
	l.items[1].state = l.items[2].state = ITEM_UNKNOWN;
	return life_receive(p, w, &l);
}

static int life_refuse(struct place *p, struct world *w, unsigned n, enum row_state as)
{
	struct window_item item;
	struct err e;
	char id[12];

	snprintf(id, sizeof(id), "%u", n);
	item = item_of(id, flags_intern(p->flags, view_of(n % 3 == 0   ? "\\Seen kw0"
							  : n % 3 == 1 ? "\\Seen kw1"
								       : "\\Seen kw2")));
	item.cause = CAUSE_UNREADABLE;
	w->told[n] = true;
	return ledger_refuse(p->ledger, p->folder, &item, as, &e);
}

static int life_adopt(struct place *p, struct world *w, const struct ledger_intent *i, int n)
{
	struct err e;

	w->told[n] = w->located[n] = true;
	return ledger_adopt(
	    p->ledger, p->folder, i, view_of("99"), i->flags, n == 2 ? ROW_STORED : 0, &e);
}

/* 2 is located, 5 adopted, 6 doubted and released. */
static int life_resolve(struct place *p, struct world *w)
{
	struct ledger_intent *list;
	size_t count;
	struct err e;

	if (ledger_intents(p->ledger, p->folder, &list, &count, &p->arena, &e))
		return -1;
	assert_int_equal(count, 3);
	if (life_adopt(p, w, &list[0], 2) || life_adopt(p, w, &list[1], 5) ||
	    ledger_doubt(p->ledger, p->folder, &list[2], &e))
		return -1;
	if (ledger_intents(p->ledger, p->folder, &list, &count, &p->arena, &e))
		return -1;
	assert_int_equal(count, 1);
	w->put[6] = false; /* surely not there */
	return ledger_release(p->ledger, p->folder, list, &e);
}

static int life_again(struct place *p, struct world *w)
{
	struct load l;

	LOAD(p, &l, 6, 7);
	l.items[1].was = ROW_OWED;
	if (life_intend(p, w, &l, "5 16 0"))
		return -1;
	stored(&l, 0, "16");
	stored(&l, 1, "17");
	return life_receive(p, w, &l);
}

static int life_end(struct place *p, struct world *w)
{
	struct cursor c = cursor_of("1 9 0");
	struct ledger_row row = {.source_id = view_of("8"), .state = ROW_REFUSED};
	struct err e;

	w->told[8] = false;
	if (ledger_forget(p->ledger, p->folder, &row, &e))
		return -1;
	w->finishing = true;
	return ledger_finish(p->ledger, p->folder, &c, 0, &e);
}

static int life(struct place *p, struct world *w)
{
	char *parts[] = {(char[]){"T"}};
	struct err e;

	if (ledger_set_target(p->ledger, p->folder, parts, 1, view_of("T"), &e) ||
	    life_first_windows(p, w) || life_refuse(p, w, 7, ROW_OWED) ||
	    life_refuse(p, w, 8, ROW_REFUSED) || life_resolve(p, w) || life_again(p, w))
		return -1;
	return life_end(p, w);
}

static void check_flags(struct place *p, int n, uint32_t flags)
{
	char expected[40];

	snprintf(expected, sizeof(expected), "\\Seen kw%d", n % 3);
	assert_string_equal(flags_text(p->flags, flags), expected);
}

/* What must hold of one item, whenever the world ended. */
static void check_item(struct place *p, const struct world *w, int n)
{
	struct ledger_intent intent;
	struct ledger_row row;
	char id[12];
	bool has_row, has_intent;

	snprintf(id, sizeof(id), "%d", n);
	has_row = find_row(p, id, &row);
	has_intent = find_intent(p, id, &intent);
	if (w->put[n])
		assert_true(has_row || has_intent); /* 1, 5 */
	if (has_row && n != 8)
		assert_true(w->told[n]);
	if (has_row && row.target_id.len)
		assert_true(w->located[n]);
	if (has_row && row.state == ROW_STORED && !row.target_id.len)
		assert_true(has_intent && intent.state == INTENT_UNLOCATED); /* 4 */
	if (has_intent) {                                                    /* 2 */
		assert_true(p->folder->tail.text[0] != 0);
		assert_true(strcmp(p->folder->tail.text, w->now[n]) <= 0);
		check_flags(p, n, intent.flags);
	}
	if (has_row && n != 8)
		check_flags(p, n, row.source_base);
	if (p->folder->cursor.text[0]) /* 7 */
		assert_true(!has_intent && has_row == w->told[n]);
}

static void check_world(struct place *p, const struct world *w)
{
	struct count c = {0};
	struct err e;

	for (int n = 1; n < ITEMS; n++)
		check_item(p, w, n);
	assert_int_equal(ledger_each_row(p->ledger, p->folder, count_rows, &c, &e), 0);
	assert_int_equal(c.stored, p->folder->stored); /* 8 */
	assert_int_equal(c.refused, p->folder->refused);
	assert_int_equal(c.owed, p->folder->owed);
	assert_int_equal(count_intents(p), p->folder->open);
	if (p->folder->cursor.text[0])
		assert_true(w->finishing);
}

/* Every ending that a crash may give this disk. Returns how many. */
static unsigned check_endings(const struct memory_disk *disk, const struct world *w)
{
	size_t pending = memory_disk_pending(disk);

	for (size_t keep = 0; keep <= pending; keep++) {
		struct place p = {0};

		memory_disk_copy(&p.disk, disk);
		memory_disk_crash(p.disk, keep);
		assert_int_equal(try_open(&p, SOURCE, NULL), 0);
		check_world(&p, w);
		end(&p);
	}
	return (unsigned)pending + 1;
}

static void test_crash_everywhere(void **state)
{
	unsigned endings = 0, calls = 0;

	(void)state;
	for (unsigned how = MEMORY_BEFORE; how <= MEMORY_AFTER; how++) {
		int failed = -1;
		for (unsigned n = 1; failed; n++) {
			struct world w = {0};
			struct place p = {0};

			memory_disk_new(&p.disk);
			p.disk->fail_at = n;
			p.disk->how = (enum memory_failure)how;
			failed = try_open(&p, SOURCE, NULL) || life(&p, &w);
			endings += check_endings(p.disk, &w);
			calls += !failed ? 0 : 1;
			end(&p);
		}
	}
	print_message("%u calls stopped, %u endings\n", calls, endings);
	assert_true(endings > calls);
}

/* The store dies silently before or behind each announced step. */
struct stopper {
	struct place *p;
	unsigned at, steps;
};

static void stop_step(void *arg, const char *name)
{
	struct stopper *s = arg;

	(void)name;
	if (++s->steps == s->at)
		s->p->disk->down = true;
}

static void test_stop_at_every_step(void **state)
{
	unsigned endings = 0, at = 1;
	struct stopper s;

	(void)state;
	do {
		struct world w = {0};
		struct place p = {0};
		struct ledger_hook hook = {stop_step, &s};

		s = (struct stopper){&p, at++, 0};
		memory_disk_new(&p.disk);
		if (!try_open(&p, SOURCE, &hook))
			life(&p, &w);
		endings += check_endings(p.disk, &w);
		end(&p);
	} while (s.steps >= s.at);
	print_message("%u steps, %u endings\n", at - 2, endings);
	assert_true(at > 30);
}

/* ---- several lanes ---- */

/* Another lane's ledger in the pass of FIRST, with another folder. */
static void join(struct place *p, struct place *first, unsigned lane, const char *folder)
{
	struct err e;

	*p = (struct place){.disk = first->disk};
	memory_store_open(&p->store, p->disk);
	flags_table_new(&p->flags);
	assert_int_equal(
	    ledger_join(&p->ledger, first->ledger, lane, p->store, p->flags, NULL, &e), 0);
	assert_int_equal(ledger_pass(p->ledger), ledger_pass(first->ledger));
	p->folder = ledger_folder(p->ledger, view_of(folder));
}

static void copy_one(struct place *p, unsigned id, const char *flags)
{
	struct ledger_row row;
	struct load l;

	load(p, &l, &id, 1);
	l.items[0].flags = l.items[0].flags_told = flags_intern(p->flags, view_of(flags));
	assert_int_equal(intend(p, &l, "9 1 0"), 0);
	stored(&l, 0, "7");
	assert_int_equal(receive(p, &l), 0);
	save(p);
	assert_true(find_row(p, l.ids[0], &row));
}

static void expect_flags(struct place *p, const char *folder, const char *id, const char *flags)
{
	struct ledger_row row;

	p->folder = ledger_folder(p->ledger, view_of(folder));
	assert_true(find_row(p, id, &row));
	assert_string_equal(flags_text(p->flags, row.source_base), flags);
}

/* Each numbers its flag sets; all of them mean the same to whoever reads later. */
static void test_lanes_share_a_pass(void **state)
{
	static const char *const folders[] = {"INBOX", "Sent", "Archive"};
	struct place lanes[3];
	char flags[40], id[12];
	struct err e;

	(void)state;
	begin(&lanes[0]);
	copy_one(&lanes[0], 1, "\\Seen");
	for (size_t i = 1; i < COUNT_OF(folders); i++) {
		struct ledger_folder *f = ledger_folder(lanes[0].ledger, view_of(folders[i]));

		assert_int_equal(ledger_save_folder(lanes[0].ledger, f, &e), 0);
	}
	assert_int_equal(ledger_share(lanes[0].ledger, COUNT_OF(lanes), &e), 0);
	/* one is at work before the next has joined */
	for (size_t i = 1; i < COUNT_OF(lanes); i++) {
		join(&lanes[i], &lanes[0], (unsigned)i, folders[i]);
		snprintf(flags, sizeof(flags), "early%u", (unsigned)i);
		copy_one(&lanes[i], 9, flags);
	}
	for (unsigned round = 2; round < 6; round++)
		for (size_t i = 0; i < COUNT_OF(lanes); i++) {
			snprintf(flags, sizeof(flags), "\\Seen k%u", (unsigned)(round + i) % 4);
			copy_one(&lanes[i], round, flags);
		}
	for (size_t i = COUNT_OF(lanes) - 1; i > 0; i--)
		shut(&lanes[i]);
	reopen(&lanes[0]);
	expect_flags(&lanes[0], "INBOX", "1", "\\Seen");
	expect_flags(&lanes[0], "Sent", "9", "early1");
	expect_flags(&lanes[0], "Archive", "9", "early2");
	for (unsigned round = 2; round < 6; round++)
		for (size_t i = 0; i < COUNT_OF(folders); i++) {
			snprintf(id, sizeof(id), "%u", round);
			snprintf(flags, sizeof(flags), "\\Seen k%u", (unsigned)(round + i) % 4);
			expect_flags(&lanes[0], folders[i], id, flags);
		}
	end(&lanes[0]);
}

/* Two lanes with one INBOX in hand. */
static void begin_two(struct place *first, struct place *other)
{
	struct err e;

	begin(first);
	save(first);
	assert_int_equal(ledger_share(first->ledger, 2, &e), 0);
	join(other, first, 1, "INBOX");
}

/* A lane leaves its folder in the middle: whoever takes it over knows what it did. */
static void test_lane_takes_over(void **state)
{
	struct place first, other;
	struct ledger_intent i;
	struct load l;
	struct err e;

	(void)state;
	begin_two(&first, &other);
	copy_one(&other, 1, "\\Seen new");
	LOAD(&other, &l, 2, 3);
	assert_int_equal(intend(&other, &l, "9 2 0"), 0);
	assert_int_equal(ledger_sync(other.ledger, &e), 0);
	assert_int_equal(first.folder->open, 0);
	assert_int_equal(ledger_reload(first.ledger, first.folder, &e), 0);
	assert_int_equal(first.folder->open, 2);
	assert_int_equal(first.folder->stored, 1);
	assert_string_equal(first.folder->tail.text, "9 2 0");
	expect_flags(&first, "INBOX", "1", "\\Seen new");
	assert_true(find_intent(&first, "3", &i));
	shut(&other);
	end(&first);
}

/* A lane that gave the folder new ids leaves it under its other number. */
static void test_lane_takes_over_a_successor(void **state)
{
	struct place first, other;
	struct ledger_folder *next;
	struct ledger_row row = {
	    .source_id = view_of("8"), .target_id = view_of("9"), .state = ROW_FOUND};
	struct err e;

	(void)state;
	begin_two(&first, &other);
	assert_int_equal(ledger_successor(other.ledger, other.folder, &next, &e), 0);
	assert_int_equal(ledger_put(other.ledger, next, &row, 0, &e), 0);
	assert_int_equal(ledger_succeed(other.ledger, other.folder, next, &e), 0);
	copy_one(&other, 1, "\\Seen new");
	assert_int_equal(ledger_sync(other.ledger, &e), 0);
	assert_int_equal(ledger_reload(first.ledger, first.folder, &e), 0);
	assert_int_equal(first.folder->number, other.folder->number);
	assert_int_equal(first.folder->found, 1);
	assert_true(find_row(&first, "8", &row));
	expect_flags(&first, "INBOX", "1", "\\Seen new");
	shut(&other);
	end(&first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_intents_are_durable),
	    cmocka_unit_test(test_intend_does_not_wait),
	    cmocka_unit_test(test_intent_keeps_what_it_is_told),
	    cmocka_unit_test(test_receipts),
	    cmocka_unit_test(test_repaired),
	    cmocka_unit_test(test_row_keeps_what_it_is_told),
	    cmocka_unit_test(test_tail),
	    cmocka_unit_test(test_tail_comes_with_the_first_intent),
	    cmocka_unit_test(test_adopted_after_doubt),
	    cmocka_unit_test(test_located),
	    cmocka_unit_test(test_doubt_and_release),
	    cmocka_unit_test(test_refused_and_owed),
	    cmocka_unit_test(test_forget),
	    cmocka_unit_test(test_rebase),
	    cmocka_unit_test(test_groups_are_whole),
	    cmocka_unit_test(test_finish_is_durable),
	    cmocka_unit_test(test_finish_before_later_intents),
	    cmocka_unit_test(test_cursor_comes_last),
	    cmocka_unit_test(test_no_cursor_over_open_intents),
	    cmocka_unit_test(test_folders),
	    cmocka_unit_test(test_folders_are_apart),
	    cmocka_unit_test(test_passes),
	    cmocka_unit_test(test_owners),
	    cmocka_unit_test(test_flags_across_reopen),
	    cmocka_unit_test(test_thousand_flag_sets),
	    cmocka_unit_test(test_find),
	    cmocka_unit_test(test_damaged_records),
	    cmocka_unit_test(test_damaged_row),
	    cmocka_unit_test(test_lanes_share_a_pass),
	    cmocka_unit_test(test_lane_takes_over),
	    cmocka_unit_test(test_lane_takes_over_a_successor),
	    cmocka_unit_test(test_steps),
	    cmocka_unit_test(test_crash_everywhere),
	    cmocka_unit_test(test_stop_at_every_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
