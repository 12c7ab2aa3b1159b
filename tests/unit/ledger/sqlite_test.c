/* sqlite_test.c - the store in a file: the suite, and everything that can be wrong with a file, a
 * disk or a neighbour. The process's own sync, write and sleep calls are caught here, so that a
 * disk can fill or fail at call N, and a minute of waiting for a lock takes no time. */
#include "ledger/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "store_suite.h"

/* ---- the system's calls, ours now ---- */

static struct {
	int syncs;        /* so far */
	int fail_sync_at; /* 0 = never */
	int writes;
	int fail_write_at; /* this write and all behind it; 0 = never */
	int error;         /* with which errno */
	bool no_sleep;
} calls;

static int sync_or_fail(int fd)
{
	calls.syncs++;
	if (calls.fail_sync_at && calls.syncs >= calls.fail_sync_at) {
		errno = calls.error;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

int fdatasync(int fd)
{
	return sync_or_fail(fd);
}

int fsync(int fd)
{
	return sync_or_fail(fd);
}

int usleep(useconds_t us)
{
	struct timespec t = {.tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000) * 1000};

	return calls.no_sleep ? 0 : (int)syscall(SYS_nanosleep, &t, NULL);
}

int nanosleep(const struct timespec *wanted, struct timespec *left)
{
	return calls.no_sleep ? 0 : (int)syscall(SYS_nanosleep, wanted, left);
}

static ssize_t write_or_fail(int fd, const void *data, size_t len, off_t at)
{
	calls.writes++;
	if (calls.fail_write_at && calls.writes >= calls.fail_write_at) {
		errno = calls.error;
		return -1;
	}
	return (ssize_t)syscall(SYS_pwrite64, fd, data, len, at);
}

static void calls_catch(void)
{
	static const char *const names[] = {"pwrite", "pwrite64"};
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (vfs->xGetSystemCall(vfs, names[i]))
			vfs->xSetSystemCall(vfs, names[i], (sqlite3_syscall_ptr)write_or_fail);
}

/* ---- a directory for each test ---- */

static char home[64];

static void remove_tree(const char *path)
{
	char command[256];

	snprintf(command, sizeof(command), "rm -rf '%s'", path);
	assert_int_equal(system(command), 0);
}

static int setup(void **state)
{
	(void)state;
	memset(&calls, 0, sizeof(calls));
	snprintf(home, sizeof(home), "/tmp/godwit-sqlite-XXXXXX");
	return mkdtemp(home) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	remove_tree(home);
	return 0;
}

static const char *below(const char *name)
{
	static char path[4][256];
	static unsigned turn;
	char *p = path[turn++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", home, name);
	return p;
}

static struct store *open_at(const char *dir)
{
	struct store *s = NULL;
	struct err e = {0};

	if (store_sqlite_open(&s, dir, &e))
		fail_msg("%s (%s)", e.text, e.detail);
	return s;
}

static void expect_fault(const char *dir, const char *part)
{
	struct store *s = NULL;
	struct err e = {0};

	assert_int_equal(store_sqlite_open(&s, dir, &e), -1);
	assert_null(s);
	assert_int_equal(e.cause, strstr(part, "damaged") ? CAUSE_DAMAGED : CAUSE_STATE);
	assert_int_equal(e.scope, ERR_RUN);
	if (!strstr(e.text, part))
		fail_msg("\"%s\" does not say \"%s\"", e.text, part);
}

/* Every call fails, with the same words. */
static void expect_broken(struct store *s, const char *part)
{
	AUTO(store_batch_free) struct store_batch b;
	struct view key = view_of("k");
	struct suite_seen seen = {0};
	struct err e[5] = {0};
	uint64_t ticket = 77;

	store_batch_init(&b);
	store_batch_put(&b, key, key);
	assert_int_equal(s->ops->write(s, &b, &e[0]), -1);
	assert_int_equal(s->ops->barrier(s, &ticket, &e[1]), -1);
	assert_int_equal(s->ops->wait(s, 0, &e[2]), -1);
	assert_int_equal(s->ops->scan(s, key, key, 0, suite_take, &seen, &e[3]), -1);
	assert_int_equal(s->ops->get(s, &key, 1, suite_take, &seen, &e[4]), -1);
	assert_int_equal(ticket, 77);
	for (size_t i = 0; i < COUNT_OF(e); i++) {
		assert_int_equal(e[i].cause, strstr(part, "damaged") ? CAUSE_DAMAGED : CAUSE_STATE);
		assert_string_equal(e[i].text, e[0].text);
	}
	if (!strstr(e[0].text, part))
		fail_msg("\"%s\" does not say \"%s\" (%s)", e[0].text, part, e[0].detail);
}

static unsigned mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static void sql(const char *path, const char *text)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void file_write(const char *path, const char *text, size_t len)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	fclose(f);
}

static struct buf file_read(const char *path)
{
	struct buf b = BUF_INIT(64u << 20);
	FILE *f = fopen(path, "r");
	size_t n;

	while (f && (n = fread(buf_room(&b, 65536), 1, 65536, f)) > 0)
		buf_grown(&b, n);
	if (f)
		fclose(f);
	return b;
}

/* ---- making and finding the file ---- */

static void test_makes_the_directory_for_us_alone(void **state)
{
	mode_t before = umask(0022);
	struct store *s = open_at(below("a/b//c/"));

	(void)state;
	suite_put(s, "k", "v");
	suite_sync(s);
	assert_int_equal(mode_of(below("a")), 0700);
	assert_int_equal(mode_of(below("a/b")), 0700);
	assert_int_equal(mode_of(below("a/b/c")), 0700);
	assert_int_equal(mode_of(below("a/b/c/ledger.db")), 0600);
	assert_int_equal(mode_of(below("a/b/c/ledger.db-wal")), 0600);
	assert_int_equal(mode_of(below("a/b/c/ledger.db-shm")), 0600);
	s->ops->close(&s);
	assert_int_equal(chmod(below("a"), 0755), 0);
	s = open_at(below("a"));
	assert_int_equal(mode_of(below("a")), 0755);
	s->ops->close(&s);
	umask(before);
}

static void test_relative_directory(void **state)
{
	char before[512];
	struct store *s;

	(void)state;
	assert_non_null(getcwd(before, sizeof(before)));
	assert_int_equal(chdir(home), 0);
	s = open_at("state");
	s->ops->close(&s);
	s = open_at(".");
	s->ops->close(&s);
	assert_int_equal(chdir(before), 0);
	assert_int_equal(mode_of(below("state/ledger.db")), 0600);
	assert_int_equal(mode_of(below("ledger.db")), 0600);
}

static void test_directories_that_cannot_be(void **state)
{
	(void)state;
	file_write(below("file"), "x", 1);
	expect_fault(below("file"), "not a directory");
	expect_fault(below("file/below"), "not a directory");
	expect_fault("/proc/nothing/here", "/proc/nothing");
	expect_fault("", "no name");
	assert_int_equal(mkdir(below("odd"), 0700), 0);
	assert_int_equal(mkdir(below("odd/ledger.db"), 0700), 0);
	expect_fault(below("odd"), "cannot be opened");
}

static void test_other_files_are_left_alone(void **state)
{
	static const struct {
		const char *sql, *says;
	} table[] = {
	    {"CREATE TABLE t(x); INSERT INTO t VALUES(1)", "another program"},
	    {"PRAGMA application_id=7; CREATE TABLE t(x)", "another program"},
	    {"PRAGMA user_version=1; CREATE TABLE record(key, value)", "another program"},
	    {"PRAGMA application_id=0x67647774; PRAGMA user_version=3", "version 3, and this"},
	    {"PRAGMA application_id=0x67647774; PRAGMA user_version=1", "version 1, and this"},
	    {"PRAGMA application_id=0x67647774; CREATE TABLE t(x)", "version 0, and this"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct buf before, after;
		unlink(below("ledger.db"));
		sql(below("ledger.db"), table[i].sql);
		before = file_read(below("ledger.db"));
		expect_fault(home, table[i].says);
		expect_fault(home, below("ledger.db"));
		after = file_read(below("ledger.db"));
		assert_true(before.len > 0 && view_eq(buf_view(&before), buf_view(&after)));
		buf_free(&before);
		buf_free(&after);
	}
}

static void test_not_a_database(void **state)
{
	char text[8192];

	(void)state;
	memset(text, 'x', sizeof(text));
	file_write(below("ledger.db"), text, sizeof(text));
	expect_fault(home, "damaged, or is not");
}

/* A first start that was killed leaves an empty file: that is a new one. */
static void test_empty_file_is_new(void **state)
{
	struct store *s;

	(void)state;
	file_write(below("ledger.db"), "", 0);
	s = open_at(home);
	suite_put(s, "k", "v");
	suite_expect(s, "", "k=v;");
	s->ops->close(&s);
	sql(below("ledger.db"), "PRAGMA journal_mode=WAL"); /* ours by now */
	s = open_at(home);
	suite_expect(s, "", "k=v;");
	s->ops->close(&s);
}

static void test_the_file_says_what_it_is(void **state)
{
	struct store *s = open_at(home);
	struct buf b;

	(void)state;
	s->ops->close(&s);
	b = file_read(below("ledger.db"));
	assert_memory_equal(b.data + 68, "gdwt", 4);
	assert_memory_equal(b.data + 60, "\0\0\0\2", 4);
	buf_free(&b);
}

static void test_damage_is_found_and_named(void **state)
{
	struct suite_seen seen = {.text = BUF_INIT(64u << 20)};
	struct store *s = open_at(home);
	struct err e = {0};
	int fd;

	(void)state;
	suite_fill(s, "k", 0, 20000, 1000);
	s->ops->close(&s);
	fd = open(below("ledger.db"), O_WRONLY);
	for (off_t page = 3; page < 60; page++)
		assert_int_equal(
		    write_or_fail(fd, "\xee\xee\xee\xee\xee\xee\xee\xee", 8, page * 4096), 8);
	close(fd);
	s = open_at(home);
	assert_int_equal(s->ops->scan(s, view_of(""), view_of(""), 0, suite_take, &seen, &e), -1);
	expect_broken(s, "damaged");
	s->ops->close(&s);
	buf_free(&seen.text);
}

/* ---- durability ---- */

static void test_only_a_barrier_syncs(void **state)
{
	struct store *s = open_at(home);
	int before;

	(void)state;
	suite_put(s, "a", "1");
	before = calls.syncs;
	suite_expect(s, "", "a=1;"); /* applies it: not synced */
	suite_put(s, "b", "1");
	suite_expect(s, "", "a=1;b=1;");
	assert_int_equal(calls.syncs, before);
	suite_sync(s); /* nothing new, but something unsynced */
	assert_true(calls.syncs > before);
	before = calls.syncs;
	suite_sync(s);
	suite_expect(s, "", "a=1;b=1;");
	assert_int_equal(calls.syncs, before);
	suite_put(s, "c", "1");
	assert_int_equal(calls.syncs, before);
	suite_sync(s);
	assert_true(calls.syncs > before);
	s->ops->close(&s);
}

/* Writes of 20 rows a batch, a barrier each third; returns how many rows were waited for. */
static size_t write_until_it_fails(struct store *s, size_t batches, struct err *e)
{
	AUTO(store_batch_free) struct store_batch b;
	size_t durable = 0;
	uint64_t ticket;

	store_batch_init(&b);
	for (size_t n = 0; n < batches; n++) {
		store_batch_clear(&b);
		for (size_t i = n * 20; i < n * 20 + 20; i++) {
			char key[32], value[32];
			snprintf(key, sizeof(key), "k%08zu", i);
			snprintf(value, sizeof(value), "%zu", i);
			store_batch_put(&b, view_of(key), view_of(value));
		}
		if (s->ops->write(s, &b, e))
			return durable;
		if (n % 3 != 2)
			continue;
		if (s->ops->barrier(s, &ticket, e) || s->ops->wait(s, ticket, e))
			return durable;
		durable = (n + 1) * 20;
	}
	return durable;
}

static void expect_prefix(size_t least)
{
	struct store *s = open_at(home);
	size_t left = suite_prefix(s, "k");

	if (left < least || left % 20)
		fail_msg("%zu rows are left, %zu were durable", left, least);
	s->ops->close(&s);
}

/* The disk fills, or fails, at every write and every sync in turn. */
static void disk_walk(int error, bool at_sync, const char *says)
{
	for (int n = 1, ended = 0; !ended; n++) {
		struct store *s = open_at(home);
		struct err e = {0};
		size_t durable;
		calls.writes = calls.syncs = 0;
		calls.error = error;
		*(at_sync ? &calls.fail_sync_at : &calls.fail_write_at) = n;
		durable = write_until_it_fails(s, 12, &e);
		ended = !e.cause;
		if (!ended)
			expect_broken(s, says);
		s->ops->close(&s);
		calls.fail_sync_at = calls.fail_write_at = 0;
		expect_prefix(durable);
		remove_tree(below("ledger.db"));
		remove_tree(below("ledger.db-wal"));
		remove_tree(below("ledger.db-shm"));
		assert_true(ended ? n > 3 : n < 500);
	}
}

static void test_disk_fills_at_every_write(void **state)
{
	(void)state;
	disk_walk(ENOSPC, false, "full disk: make room");
}

static void test_quota_ends_at_every_write(void **state)
{
	(void)state;
	disk_walk(EDQUOT, false, "full disk: make room");
}

static void test_disk_fails_at_every_write(void **state)
{
	(void)state;
	disk_walk(EIO, false, "cannot be read or written");
}

static void test_disk_fails_at_every_sync(void **state)
{
	(void)state;
	disk_walk(EIO, true, "cannot be read or written");
}

/* ---- other processes ---- */

/* As fork; what fails in the child ends the child, instead of running its copy of the tests. */
static pid_t child_begin(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		setenv("CMOCKA_TEST_ABORT", "1", 1);
	return pid;
}

static void child_ends_well(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void write_and_tell(int out)
{
	struct store *s = open_at(home);
	uint64_t ticket;
	struct err e;

	for (size_t n = 0;; n++) {
		size_t durable = (n + 1) * 20;
		suite_fill(s, "k", n * 20, 20, 20);
		if (n % 5 != 4)
			continue;
		if (s->ops->barrier(s, &ticket, &e) || s->ops->wait(s, ticket, &e) ||
		    write(out, &durable, sizeof(durable)) != sizeof(durable))
			_exit(1);
	}
}

static void test_kill_keeps_a_prefix(void **state)
{
	(void)state;
	for (int round = 0; round < 12; round++) {
		size_t durable = 0, told;
		int ends[2], status;
		pid_t pid;
		assert_int_equal(pipe(ends), 0);
		pid = child_begin();
		if (pid == 0)
			write_and_tell(ends[1]);
		close(ends[1]);
		for (int n = 0; n <= round * 3; n++)
			assert_int_equal(read(ends[0], &durable, sizeof(durable)), sizeof(durable));
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		while (read(ends[0], &told, sizeof(told)) == sizeof(told))
			durable = told;
		close(ends[0]);
		expect_prefix(durable);
		remove_tree(below("ledger.db"));
	}
}

static void write_as(char who)
{
	char prefix[2] = {who, 0};
	struct store *s = open_at(below("shared"));

	for (size_t n = 0; n < 60; n++) {
		suite_fill(s, prefix, n * 10, 10, 5);
		if (n % 3 == 0)
			suite_sync(s);
		if (n % 7 == 0 && suite_prefix(s, prefix) != n * 10 + 10)
			_exit(2);
	}
	s->ops->close(&s);
	_exit(0);
}

/* They also make the file at once. */
static void test_several_processes_share_the_file(void **state)
{
	(void)state;
	for (int round = 0; round < 5; round++) {
		pid_t pids[4];
		struct store *s;
		for (size_t i = 0; i < COUNT_OF(pids); i++) {
			pids[i] = child_begin();
			if (pids[i] == 0)
				write_as((char)('a' + i));
		}
		for (size_t i = 0; i < COUNT_OF(pids); i++)
			child_ends_well(pids[i]);
		s = open_at(below("shared"));
		for (size_t i = 0; i < COUNT_OF(pids); i++)
			assert_int_equal(suite_prefix(s, (char[]){(char)('a' + i), 0}), 600);
		assert_int_equal(suite_count(s, ""), 2400);
		s->ops->close(&s);
		remove_tree(below("shared"));
	}
}

static void test_another_keeps_the_lock(void **state)
{
	struct store *s = open_at(home);
	struct err e = {0};
	uint64_t ticket;
	sqlite3 *db;

	(void)state;
	assert_int_equal(sqlite3_open(below("ledger.db"), &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	suite_expect(s, "", ""); /* reading needs no lock */
	suite_put(s, "k", "v");
	calls.no_sleep = true;
	assert_int_equal(s->ops->barrier(s, &ticket, &e), -1);
	assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	expect_broken(s, "locked by another process");
	sqlite3_close(db);
	s->ops->close(&s);
	s = open_at(home);
	suite_expect(s, "", "");
	s->ops->close(&s);
}

/* Another program in the way already when we open. */
static void test_locked_while_it_is_made(void **state)
{
	sqlite3 *db;

	(void)state;
	calls.no_sleep = true;
	assert_int_equal(sqlite3_open(below("ledger.db"), &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
	expect_fault(home, "locked by another process");
	assert_int_equal(
	    sqlite3_exec(db, "COMMIT; BEGIN; SELECT * FROM sqlite_schema", NULL, NULL, NULL),
	    SQLITE_OK);
	expect_fault(home, "locked by another process"); /* a reader is in the way of the journal */
	sqlite3_close(db);
}

/* ---- rights and real disks: in a child that gives up what root may do ---- */

static void as_nobody(void (*what)(void))
{
	pid_t pid;

	if (geteuid() != 0) {
		print_message("SKIPPED: not root, so rights cannot be given up\n");
		return;
	}
	pid = child_begin();
	if (pid == 0) {
		if (setgid(65534) || setuid(65534))
			_exit(9);
		what();
		_exit(0);
	}
	child_ends_well(pid);
}

static void open_without_rights(void)
{
	struct store *s = NULL;
	AUTO(store_batch_free) struct store_batch b;
	struct err e = {0};
	uint64_t ticket;

	expect_fault(below("closed/new"), "cannot be made");
	expect_fault(below("listed"), "cannot be opened");
	if (store_sqlite_open(&s, below("reading"), &e) == 0) { /* may be told at the first write */
		store_batch_init(&b);
		store_batch_put(&b, view_of("k"), view_of("v"));
		assert_int_equal(s->ops->write(s, &b, &e), 0);
		assert_int_equal(s->ops->barrier(s, &ticket, &e), -1);
	}
	assert_int_equal(e.cause, CAUSE_STATE);
	assert_non_null(strstr(e.text, "may not be written"));
}

static void test_rights_are_missing(void **state)
{
	struct store *s;

	(void)state;
	assert_int_equal(mkdir(below("closed"), 0755), 0);
	assert_int_equal(mkdir(below("listed"), 0755), 0);
	s = open_at(below("reading"));
	s->ops->close(&s);
	assert_int_equal(chmod(home, 0755), 0);
	assert_int_equal(chmod(below("reading"), 0777), 0);
	assert_int_equal(chmod(below("reading/ledger.db"), 0444), 0);
	as_nobody(open_without_rights);
}

/* 0 = a small file system of its own lies on home. */
static int small_disk(const char *options)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNS) ||
	    mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return -1;
	return mount("tmpfs", home, "tmpfs", 0, options);
}

static void fill_small_disk(void)
{
	struct store *s;
	struct err e = {0};
	size_t durable, left;
	int fd;

	s = open_at(home);
	durable = write_until_it_fails(s, 100000, &e);
	expect_broken(s, "full disk: make room");
	s->ops->close(&s);
	assert_true(durable > 0);
	assert_int_equal(mount("tmpfs", home, "tmpfs", MS_REMOUNT, "size=4m"), 0);
	expect_prefix(durable);
	/* so full that not even the first page fits */
	fd = open(below("ballast"), O_WRONLY | O_CREAT, 0600);
	while (write(fd, home, sizeof(home)) > 0)
		;
	close(fd);
	assert_int_equal(mkdir(below("b"), 0700), 0);
	expect_fault(below("b"), "full disk: make room");
	/* and read-only */
	unlink(below("ballast"));
	s = open_at(home);
	left = suite_prefix(s, "k");
	s->ops->close(&s);
	assert_int_equal(mount("tmpfs", home, "tmpfs", MS_REMOUNT | MS_RDONLY, NULL), 0);
	expect_fault(below("c"), "cannot be made");
	expect_fault(home, "may not be written");
	assert_true(left >= durable);
}

static void test_real_disk_fills(void **state)
{
	pid_t pid = child_begin();
	int status;

	(void)state;
	if (pid == 0) {
		if (small_disk("size=300k"))
			_exit(77);
		fill_small_disk();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		print_message("SKIPPED: a small file system cannot be mounted here\n");
	else
		assert_int_equal(status, 0);
}

/* ---- the suite ---- */

struct place {
	char dir[96];
	int turn;
};

static void sqlite_fresh(void *arg)
{
	struct place *p = arg;

	snprintf(p->dir, sizeof(p->dir), "%s/suite-%d", home, p->turn++);
}

static void sqlite_at(void *arg, struct store **s)
{
	*s = open_at(((struct place *)arg)->dir);
}

static void sqlite_shut(void *arg, struct store **s)
{
	(void)arg;
	(*s)->ops->close(s);
}

/* What a killed process leaves: the files as they are. */
static void sqlite_crash(void *arg, struct store **s)
{
	struct place *p = arg;
	char command[512], from[96];

	snprintf(from, sizeof(from), "%s", p->dir);
	sqlite_fresh(p);
	snprintf(command, sizeof(command), "mkdir %s && cp %s/ledger.db %s/ledger.db-wal %s",
	    p->dir, from, from, p->dir);
	assert_int_equal(system(command), 0);
	(*s)->ops->close(s);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_makes_the_directory_for_us_alone),
	    TEST(test_relative_directory),
	    TEST(test_directories_that_cannot_be),
	    TEST(test_other_files_are_left_alone),
	    TEST(test_not_a_database),
	    TEST(test_empty_file_is_new),
	    TEST(test_the_file_says_what_it_is),
	    TEST(test_damage_is_found_and_named),
	    TEST(test_only_a_barrier_syncs),
	    TEST(test_disk_fills_at_every_write),
	    TEST(test_quota_ends_at_every_write),
	    TEST(test_disk_fails_at_every_write),
	    TEST(test_disk_fails_at_every_sync),
	    TEST(test_kill_keeps_a_prefix),
	    TEST(test_several_processes_share_the_file),
	    TEST(test_another_keeps_the_lock),
	    TEST(test_locked_while_it_is_made),
	    TEST(test_rights_are_missing),
	    TEST(test_real_disk_fills),
	};
	struct place p = {0};
	const struct suite_place place = {sqlite_fresh, sqlite_at, sqlite_shut, sqlite_crash, &p};
	int failed;

	calls_catch();
	failed = cmocka_run_group_tests_name("sqlite", tests, NULL, NULL);
	setup(NULL);
	failed += suite_run("store: sqlite", &place);
	teardown(NULL);
	return failed;
}
