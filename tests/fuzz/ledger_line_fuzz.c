/* ledger_line_fuzz.c - lines that shall be imported into a ledger. A line is read or refused with a
 * reason; what a ledger took from such lines it tells as lines again, and another ledger that reads
 * these holds the same records.
 *
 * inspect.c is included, not linked, so that it stands on the store in memory. */
#include "ledger/inspect.c"

#include "cli/ledger_line.h"
#include "fuzz.h"
#include "memory_store.h"

enum { LINES_MAX = 1 << 22 };

static const struct inspect_pair pair = {"a@one.example", "a@two.example"};

static void open_on(struct inspect *i, struct memory_disk *disk)
{
	*i = (struct inspect){.key = BUF_INIT(STORE_KEY_MAX), .value = BUF_INIT(STORE_VALUE_MAX)};
	memory_store_open(&i->store, disk);
	store_batch_init(&i->batch);
}

static void close_it(struct inspect *i)
{
	i->store->ops->close(&i->store);
	store_batch_free(&i->batch);
	buf_free(&i->key);
	buf_free(&i->value);
}

static bool take_line(struct inspect *i, struct view line)
{
	struct arena a AUTO(arena_free) = ARENA_INIT;
	json_t *o = json_loadb(line.data, line.len, JSON_REJECT_DUPLICATES, NULL);
	struct inspect_record r;
	struct err e = {0};
	bool taken;

	if (!json_is_object(o)) {
		json_decref(o);
		return false;
	}
	taken = !ledger_line_read(o, &r, &a, &e) && !inspect_put(i, &pair, &r, &e);
	must(taken || (e.cause == CAUSE_USAGE && *e.text), "what is wrong is told");
	json_decref(o);
	return taken;
}

static int tell_line(void *arg, const struct inspect_record *r, struct err *e)
{
	struct buf *lines = arg;

	(void)e;
	must(!inspect_find(r, "no such value"), "it has what it has");
	jsonline_add(lines, ledger_line_object(r));
	return 0;
}

static int export(struct inspect *i, struct buf *lines, struct err *e)
{
	for (size_t kind = 0; kind < INSPECT_KINDS; kind++)
		if (inspect_each(i, &pair, (enum inspect_kind)kind, 0, tell_line, lines, e))
			return -1;
	return 0;
}

static void check_export(struct inspect *i, struct memory_disk *disk)
{
	AUTO(buf_free) struct buf lines = BUF_INIT(LINES_MAX);
	struct memory_disk *other;
	struct inspect again;
	struct view rest;
	struct err e = {0};

	if (inspect_commit(i, &e) || export(i, &lines, &e)) {
		must(e.cause == CAUSE_DAMAGED, "damage is called so");
		return;
	}
	memory_disk_new(&other);
	open_on(&again, other);
	for (rest = buf_view(&lines); rest.len;)
		must(take_line(&again, cut_at(&rest, '\n')), "what was told is taken");
	must(!inspect_commit(&again, &e), "and kept");
	must(memory_disk_equal(disk, other), "and is the same");
	close_it(&again);
	memory_disk_free(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view input = view_make(data, size);
	struct memory_disk *disk;
	struct inspect i;

	memory_disk_new(&disk);
	open_on(&i, disk);
	while (input.len)
		take_line(&i, cut_at(&input, '\n'));
	check_export(&i, disk);
	close_it(&i);
	memory_disk_free(&disk);
	return 0;
}
