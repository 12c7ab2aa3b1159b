/* lock_test.c - one controller a destination account: the second is refused and told who the first is,
 * from the same state directory and from another; the lock of a dead process is no lock. */
#include "fleet/lock.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
	char one[40], two[40]; /* state directories */
	char identity[60];     /* of nobody else on this machine */
};

static int make_place(void **state)
{
	static struct place place;

	strcpy(place.one, "/tmp/lock_test.XXXXXX");
	strcpy(place.two, "/tmp/lock_test.XXXXXX");
	snprintf(place.identity, sizeof(place.identity), "user-%d@example", (int)getpid());
	*state = &place;
	return mkdtemp(place.one) && mkdtemp(place.two) ? 0 : -1;
}

static void remove_tree(const char *dir)
{
	char command[80];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

static int remove_place(void **state)
{
	const struct place *p = *state;

	remove_tree(p->one);
	remove_tree(p->two);
	return 0;
}

static void take(struct lock **l, const char *dir, const char *identity, const char *self)
{
	struct err e = {0};

	*l = NULL;
	if (lock_take(l, dir, identity, self, &e))
		fail_msg("%s", e.text);
	assert_non_null(*l);
}

/* It is refused, and the sentence holds all of the words given. */
static void expect_held(const char *dir, const char *identity, const char *word, const char *word2)
{
	struct lock *untouched = (struct lock *)(uintptr_t)1, *l = untouched;
	struct err e = {0};

	assert_int_equal(lock_take(&l, dir, identity, "the second", &e), -1);
	assert_ptr_equal(l, untouched);
	assert_int_equal(e.cause, CAUSE_LOCKED);
	assert_int_equal(e.scope, ERR_RUN);
	assert_non_null(strstr(e.text, identity));
	assert_non_null(strstr(e.text, word));
	assert_non_null(strstr(e.text, word2));
}

static void test_same_directory(void **state)
{
	const struct place *p = *state;
	struct lock *l;

	take(&l, p->one, p->identity, "the first, since Monday");
	expect_held(p->one, p->identity, "the first, since Monday", "");
	expect_held(p->one, p->identity, "the first, since Monday", ""); /* not overwritten */
	lock_release(&l);
	assert_null(l);
	lock_release(&l);
	take(&l, p->one, p->identity, "again");
	expect_held(p->one, p->identity, "again", "");
	lock_release(&l);
}

/* A shorter line leaves nothing of a longer one before it. */
static void test_holder_is_the_present_one(void **state)
{
	const struct place *p = *state;
	struct err e = {0};
	struct lock *l;

	take(&l, p->one, p->identity, "a long line about the one before");
	lock_release(&l);
	take(&l, p->one, p->identity, "short");
	assert_int_equal(lock_take(&l, p->one, p->identity, "x", &e), -1);
	assert_null(strstr(e.text, "before"));
	lock_release(&l);
}

/* There the lock file says nothing; the kernel knows whose socket it is. */
static void test_other_directory(void **state)
{
	const struct place *p = *state;
	char pid[30];
	struct lock *l, *other;

	snprintf(pid, sizeof(pid), "process %d", (int)getpid());
	take(&l, p->one, p->identity, "the first");
	expect_held(p->two, p->identity, pid, "lock_test");
	/* refused, it holds nothing there */
	expect_held(p->two, p->identity, pid, "lock_test");
	lock_release(&l);
	take(&other, p->two, p->identity, "in the other");
	lock_release(&other);
}

static void test_other_account(void **state)
{
	const struct place *p = *state;
	char identity[80];
	struct lock *l, *other;

	snprintf(identity, sizeof(identity), "other-%s", p->identity);
	take(&l, p->one, p->identity, "the first");
	take(&other, p->one, identity, "the second");
	expect_held(p->one, identity, "the second", "");
	lock_release(&other);
	expect_held(p->one, p->identity, "the first", "");
	lock_release(&l);
}

/* ---- other processes ---- */

/* A process that holds the lock until it is killed. */
static pid_t holder(const struct place *p, const char *dir)
{
	char ready;
	int ends[2];
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	if (!child) {
		struct lock *l;
		struct err e;

		prctl(PR_SET_PDEATHSIG, SIGKILL); /* when a test fails before it ends us */
		ready = lock_take(&l, dir, p->identity, "the child", &e) ? 'n' : 'y';
		if (write(ends[1], &ready, 1) == 1)
			for (;;)
				pause();
		_exit(1);
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], &ready, 1), 1);
	close(ends[0]);
	assert_int_equal(ready, 'y');
	return child;
}

static void end_holder(pid_t child)
{
	int status;

	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
}

static void test_killed_process(void **state)
{
	const struct place *p = *state;
	const char *const dirs[] = {p->one, p->two};

	for (size_t i = 0; i < COUNT_OF(dirs); i++) {
		pid_t child = holder(p, p->one);
		char pid[30];
		struct lock *l;

		snprintf(pid, sizeof(pid), "process %d", (int)child);
		if (i)
			expect_held(dirs[i], p->identity, pid, "");
		else
			expect_held(dirs[i], p->identity, "the child", "");
		end_holder(child);
		take(&l, dirs[i], p->identity, "the heir");
		expect_held(dirs[i], p->identity, i ? "" : "the heir", "");
		lock_release(&l);
	}
}

/* ---- places that will not do ---- */

static void expect_state(const char *dir, const char *identity, const char *word)
{
	struct lock *l = NULL;
	struct err e = {0};

	assert_int_equal(lock_take(&l, dir, identity, "me", &e), -1);
	assert_null(l);
	assert_int_equal(e.cause, CAUSE_STATE);
	assert_int_equal(e.scope, ERR_RUN);
	assert_non_null(strstr(e.text, word));
}

static void test_no_directory(void **state)
{
	const struct place *p = *state;
	struct lock *l;

	expect_state("/tmp/lock_test_that_is_not_there", p->identity, "not_there");
	take(&l, p->one, p->identity, "nothing was kept of that");
	lock_release(&l);
}

static void lock_path(const struct place *p, char *out, size_t size)
{
	char command[100];
	FILE *f;

	snprintf(command, sizeof(command), "echo %s/lock-*", p->one);
	f = popen(command, "r");
	assert_non_null(f);
	assert_non_null(fgets(out, (int)size, f));
	out[strcspn(out, "\n")] = '\0';
	pclose(f);
}

/* Nobody lures us into writing elsewhere; and nobody else reads who works on what. */
static void test_links_and_mode(void **state)
{
	const struct place *p = *state;
	char path[200], victim[60];
	struct stat st;
	struct lock *l;

	remove_tree(p->one);
	assert_int_equal(mkdir(p->one, 0700), 0);
	take(&l, p->one, p->identity, "me");
	lock_path(p, path, sizeof(path));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	lock_release(&l);
	snprintf(victim, sizeof(victim), "%s/victim", p->two);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(victim, path), 0);
	expect_state(p->one, p->identity, p->one);
	assert_int_equal(access(victim, F_OK), -1);
	assert_int_equal(unlink(path), 0);
}

/* What stands in the file came from a file: it cannot write to the terminal. */
static void test_strange_holder(void **state)
{
	const struct place *p = *state;
	char self[600];
	struct err e = {0};
	struct lock *l, *other = NULL;

	memset(self, 'x', sizeof(self) - 1);
	self[sizeof(self) - 1] = '\0';
	memcpy(self, "\x1b[2Jhello\n", 10);
	take(&l, p->one, p->identity, self);
	assert_int_equal(lock_take(&other, p->one, p->identity, "x", &e), -1);
	assert_int_equal(e.cause, CAUSE_LOCKED);
	assert_null(strchr(e.text, '\x1b'));
	assert_null(strchr(e.text, '\n'));
	assert_non_null(strstr(e.text, "hello"));
	lock_release(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_same_directory),
	    cmocka_unit_test(test_holder_is_the_present_one),
	    cmocka_unit_test(test_other_directory),
	    cmocka_unit_test(test_other_account),
	    cmocka_unit_test(test_killed_process),
	    cmocka_unit_test(test_no_directory),
	    cmocka_unit_test(test_links_and_mode),
	    cmocka_unit_test(test_strange_holder),
	};

	return cmocka_run_group_tests(tests, make_place, remove_place);
}
