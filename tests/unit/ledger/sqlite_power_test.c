/* sqlite_power_test.c - the power goes. Every write to the store's files is recorded until it was
 * synced; at random moments the files are built as a disk may then hold them (of what was not
 * synced: nothing, all, or some writes, some of them torn), and a store is opened on them.
 * It must hold a prefix of the batches, each whole, and all that a barrier had promised.
 * Does not: model a disk that lies about syncing. */
#include "ledger/store.h"

#include <errno.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "store_suite.h"

#define BATCH 20 /* rows */

/* A write that the disk may or may not have taken. */
struct pending {
	size_t at;
	struct buf data;
};

struct file {
	const char *name;
	struct buf synced;
	struct pending *pending;
	size_t count, size;
};

static struct {
	struct file files[2];
	char home[64];
	bool recording;
	unsigned seed, one_in;   /* how rarely the power goes */
	size_t durable, written; /* rows */
	int cuts;
	int checkpoints; /* syncs of the database itself */
} disk = {.files = {{.name = "/ledger.db"}, {.name = "/ledger.db-wal"}}};

/* ---- recording ---- */

static struct file *file_of(int fd)
{
	char link[64], path[256];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	path[len > 0 ? len : 0] = '\0';
	for (size_t i = 0; disk.recording && i < COUNT_OF(disk.files); i++) {
		const char *at = strrchr(path, '/');
		if (at && !strcmp(at, disk.files[i].name))
			return disk.files + i;
	}
	return NULL;
}

static void image_write(struct buf *image, size_t at, struct view data)
{
	size_t end = at + data.len;

	if (end > image->len) {
		char *room = buf_room(image, end - image->len);
		assert_non_null(room);
		memset(room, 0, end - image->len);
		buf_grown(image, end - image->len);
	}
	memcpy(image->data + at, data.data, data.len);
}

static void file_note(struct file *f, const void *data, size_t len, off_t at)
{
	if (f->count == f->size) {
		f->size = f->size ? f->size * 2 : 64;
		f->pending = mem_grow(f->pending, f->size, sizeof(*f->pending));
	}
	f->pending[f->count] = (struct pending){.at = (size_t)at, .data = BUF_INIT(1u << 20)};
	buf_add(&f->pending[f->count++].data, data, len);
}

static void file_forget(struct file *f)
{
	for (size_t i = 0; i < f->count; i++)
		buf_free(&f->pending[i].data);
	f->count = 0;
}

static void file_synced(struct file *f)
{
	for (size_t i = 0; i < f->count; i++)
		image_write(&f->synced, f->pending[i].at, buf_view(&f->pending[i].data));
	file_forget(f);
}

static void file_load(struct file *f)
{
	char path[128];
	FILE *in;
	size_t n;

	snprintf(path, sizeof(path), "%s%s", disk.home, f->name);
	in = fopen(path, "r");
	while (in && (n = fread(buf_room(&f->synced, 65536), 1, 65536, in)) > 0)
		buf_grown(&f->synced, n);
	if (in)
		fclose(in);
}

/* ---- the power goes ---- */

/* What the disk has made of the writes: CHANCE in 4 that it took one. */
static void image_age(struct file *f, int chance)
{
	for (size_t i = 0; i < f->count; i++) {
		struct view data = buf_view(&f->pending[i].data);
		if (rand_r(&disk.seed) % 4 >= chance)
			continue;
		if (chance < 4 && data.len > 512 && rand_r(&disk.seed) % 4 == 0)
			data.len = 512 * (1 + (size_t)rand_r(&disk.seed) % (data.len / 512));
		image_write(&f->synced, f->pending[i].at, data);
	}
}

static void image_store(const struct file *f, const char *dir)
{
	char path[128];
	FILE *out;

	snprintf(path, sizeof(path), "%s%s", dir, f->name);
	out = fopen(path, "w");
	assert_non_null(out);
	assert_int_equal(fwrite(f->synced.data, 1, f->synced.len, out), f->synced.len);
	fclose(out);
}

/* In a child: build the disk, open it, look. */
static void after_the_cut(void)
{
	char dir[96];
	struct store *s;
	struct err e;
	size_t left;

	disk.recording = false;
	snprintf(dir, sizeof(dir), "%s/cut", disk.home);
	assert_int_equal(mkdir(dir, 0700), 0);
	for (size_t i = 0; i < COUNT_OF(disk.files); i++) {
		image_age(disk.files + i, rand_r(&disk.seed) % 5);
		image_store(disk.files + i, dir);
	}
	if (store_sqlite_open(&s, dir, &e))
		fail_msg("%s (%s)", e.text, e.detail);
	left = suite_prefix(s, "k");
	if (left < disk.durable || left > disk.written || left % BATCH)
		fail_msg("cut %d: %zu rows are left; %zu were durable, %zu written", disk.cuts,
		    left, disk.durable, disk.written);
	s->ops->close(&s);
}

static void power_may_go(void)
{
	char command[128];
	int status;
	pid_t pid;

	if ((unsigned)rand_r(&disk.seed) % disk.one_in)
		return;
	disk.cuts++;
	pid = fork();
	if (pid == 0) {
		setenv("CMOCKA_TEST_ABORT", "1", 1);
		after_the_cut();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	snprintf(command, sizeof(command), "rm -rf %s/cut", disk.home);
	assert_int_equal(system(command), 0);
}

/* ---- the system's calls, ours now ---- */

static int sync_file(int fd)
{
	struct file *f = file_of(fd);

	if (!f)
		return 0;
	power_may_go();
	file_synced(f);
	disk.checkpoints += f == disk.files;
	power_may_go();
	return 0;
}

int fdatasync(int fd)
{
	return sync_file(fd);
}

int fsync(int fd)
{
	return sync_file(fd);
}

static ssize_t write_file(int fd, const void *data, size_t len, off_t at)
{
	struct file *f = file_of(fd);
	ssize_t n = (ssize_t)syscall(SYS_pwrite64, fd, data, len, at);

	if (f && n > 0) {
		file_note(f, data, (size_t)n, at);
		power_may_go();
	}
	return n;
}

/* A checkpoint trims the database to the size that it has; no other trimming is modelled. */
static int trim_file(int fd, off_t size)
{
	struct stat st;

	if (file_of(fd)) {
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_size, size);
	}
	return (int)syscall(SYS_ftruncate, fd, size);
}

static void calls_catch(void)
{
	static const char *const names[] = {"pwrite", "pwrite64"};
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (vfs->xGetSystemCall(vfs, names[i]))
			vfs->xSetSystemCall(vfs, names[i], (sqlite3_syscall_ptr)write_file);
	vfs->xSetSystemCall(vfs, "ftruncate", (sqlite3_syscall_ptr)trim_file);
}

/* ---- the work ---- */

static void work_step(struct store *s)
{
	int dice = rand_r(&disk.seed) % 8;

	if (dice < 4) {
		disk.written += BATCH;
		suite_fill(s, "k", disk.written - BATCH, BATCH, BATCH);
	} else if (dice < 7) {
		suite_expect(s, "z", ""); /* a read: applies, does not sync */
	} else {
		suite_sync(s);
		disk.durable = disk.written;
	}
}

static int setup(void **state)
{
	(void)state;
	snprintf(disk.home, sizeof(disk.home), "/tmp/godwit-power-XXXXXX");
	disk.durable = disk.written = 0;
	disk.cuts = disk.checkpoints = 0;
	for (size_t i = 0; i < COUNT_OF(disk.files); i++)
		disk.files[i].synced = BUF_INIT(64u << 20);
	return mkdtemp(disk.home) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	disk.recording = false;
	for (size_t i = 0; i < COUNT_OF(disk.files); i++) {
		struct file *f = disk.files + i;
		file_forget(f);
		free(f->pending);
		buf_free(&f->synced);
		*f = (struct file){.name = f->name};
	}
	snprintf(command, sizeof(command), "rm -rf %s", disk.home);
	return system(command) ? -1 : 0;
}

static void work(unsigned seed, unsigned one_in, int steps)
{
	struct store *s = NULL;
	struct err e;

	disk.seed = seed;
	disk.one_in = one_in;
	assert_int_equal(store_sqlite_open(&s, disk.home, &e), 0);
	for (size_t i = 0; i < COUNT_OF(disk.files); i++)
		file_load(disk.files + i);
	disk.recording = true;
	for (int n = 0; n < steps; n++)
		work_step(s);
	disk.recording = false;
	s->ops->close(&s);
}

/* Short lives, and the power goes at nearly every step. */
static void test_young_store(void **state)
{
	for (unsigned seed = 1; seed <= 5; seed++) {
		work(seed, 4, 20);
		teardown(state);
		setup(state);
	}
}

/* Long enough for several checkpoints, and for the log to begin anew. */
static void test_old_store(void **state)
{
	(void)state;
	work(42, 150, 4000);
	assert_true(disk.checkpoints >= 2);
	assert_true(disk.cuts >= 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_young_store, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_old_store, setup, teardown),
	};

	calls_catch();
	return cmocka_run_group_tests_name("sqlite: power", tests, NULL, NULL);
}
