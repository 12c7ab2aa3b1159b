/* sqlite.c - the store in one SQLite file, DIR/ledger.db.
 *
 * On the data's way: beneath ledger.c, in the controller; it is where a promise becomes a fact.
 * Promises: batches are gathered in memory and applied in one short transaction, so that several
 * controllers can share the file; a barrier is a commit that was synced; a commit that only makes
 * room, or lets a read see the writes, is not synced, yet the write-ahead log keeps its order, so
 * a crash leaves a prefix. After the first failure nothing more is written and every call repeats
 * that failure: there is never a hole.
 * Does not: know what the records mean; touch a file that is not a godwit ledger of this version;
 * guard against two threads on one handle. */
#include "ledger/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define APPLICATION_ID 0x67647774 /* "gdwt": what we, and file(1), know a ledger by */
#define FORMAT_VERSION 2
#define GATHER_MAX (1u << 20) /* bytes of batches held in memory before they are applied */
#define BUSY_MS 60000         /* how long another process may hold the lock */

/* Commits that need not be durable yet are not synced (_EARLY); a barrier's is. */
enum commit_kind { COMMIT_EARLY, COMMIT_SYNCED };

struct sqlite_store {
	struct store base;
	sqlite3 *db;
	char *path;
	struct buf gathered; /* batches not yet applied, one behind the other */
	bool unsynced;       /* there are commits since the last sync */
	bool held;           /* no commit before the next barrier */
	enum commit_kind mode;
	bool taking; /* a take callback runs */
	bool broken;
	struct err error; /* when broken */
	uint64_t ticket;
	sqlite3_stmt *put, *delete, *scan, *get;
};

static const struct store_ops sqlite_ops;

static struct sqlite_store *sqlite_of(struct store *s)
{
	assert(s->ops == &sqlite_ops);
	return (struct sqlite_store *)s;
}

/* ---- what went wrong, in words ---- */

/* The rest of a sentence that begins with the file's name; NULL = none of these. */
static const char *fault_text(int rc)
{
	switch (rc) {
	case SQLITE_FULL:
		return "lies on a full disk: make room there, then run it again";
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return "has been locked by another process for over a minute: end that process, "
		       "then run it again";
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return "is damaged, or is not a godwit ledger";
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return "may not be written: its disk is read-only, or this user may not write to "
		       "it and its directory; mend that, or name another directory with --state";
	case SQLITE_CANTOPEN:
		return "cannot be opened: look at its directory's owner and rights, or name "
		       "another directory with --state";
	case SQLITE_IOERR:
		return "cannot be read or written: look at the disk and the system's log, then "
		       "run it again";
	case SQLITE_NOMEM:
		return "cannot be worked on, memory ran out: free some, then run it again";
	default:
		return NULL;
	}
}

static int fault_kept(struct sqlite_store *s, struct err *e)
{
	s->broken = true;
	if (e)
		*e = s->error;
	return -1;
}

/* The errno behind a failed read or write, 0 = not known. A commit's is kept only with the file that
 * it happened on: the database or its log. */
static int file_errno(sqlite3 *db)
{
	sqlite3_file *log = NULL;
	int number = sqlite3_system_errno(db);

	if (!number)
		sqlite3_file_control(db, NULL, SQLITE_FCNTL_LAST_ERRNO, &number);
	if (!number)
		sqlite3_file_control(db, NULL, SQLITE_FCNTL_JOURNAL_POINTER, &log);
	if (log && log->pMethods)
		log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &number);
	return number;
}

/* Break the store with the sentence for RC and the library's own words. */
static int sqlite_fault(struct sqlite_store *s, int rc, struct err *e)
{
	int kind = rc & 0xff;
	bool by_system = kind == SQLITE_IOERR || kind == SQLITE_CANTOPEN;
	int number = by_system && s->db ? file_errno(s->db) : 0;
	const char *text;

	if (number == ENOSPC || number == EDQUOT)
		kind = SQLITE_FULL;
	if (kind == SQLITE_CANTOPEN && s->db && sqlite3_db_readonly(s->db, "main") == 1)
		kind = SQLITE_READONLY; /* its log could not be made beside it */
	text = fault_text(kind);
	if (text)
		err_set(&s->error,
		    kind == SQLITE_CORRUPT || kind == SQLITE_NOTADB ? CAUSE_DAMAGED : CAUSE_STATE,
		    ERR_RUN, "%s %s", s->path, text);
	else
		err_set(&s->error, CAUSE_BUG, ERR_RUN, "%s: the database library refused a call",
		    s->path);
	err_detail(&s->error, "SQLite %d: %s%s%s", s->db ? sqlite3_extended_errcode(s->db) : rc,
	    s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc), number ? ": " : "",
	    number ? strerror(number) : "");
	return fault_kept(s, e);
}

static int sqlite_sound(struct sqlite_store *s, struct err *e)
{
	assert(!s->taking);
	return s->broken ? fault_kept(s, e) : 0;
}

/* ---- small steps; they return SQLite's codes ---- */

static int db_run(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static int db_set(sqlite3 *db, const char *pragma, int number)
{
	char sql[80];

	snprintf(sql, sizeof(sql), "PRAGMA %s=%d", pragma, number);
	return db_run(db, sql);
}

static int db_number(sqlite3 *db, const char *sql, int *out)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		*out = sqlite3_column_int(st, 0);
		rc = SQLITE_OK;
	}
	sqlite3_finalize(st);
	return rc;
}

static int statement_make(sqlite3 *db, const char *sql, sqlite3_stmt **st)
{
	return sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, st, NULL);
}

/* The bytes must outlive the step. Never binds NULL: an empty value is a value. */
static int bind_view(sqlite3_stmt *st, int at, struct view v)
{
	return sqlite3_bind_blob(st, at, v.len ? v.data : "", (int)v.len, SQLITE_STATIC);
}

static struct view column_view(sqlite3_stmt *st, int at)
{
	const void *data = sqlite3_column_blob(st, at);

	return view_make(data ? data : "", (size_t)sqlite3_column_bytes(st, at));
}

/* ---- writing ---- */

static int apply_one(struct sqlite_store *s, struct view key, struct view value)
{
	sqlite3_stmt *st = value.data ? s->put : s->delete;
	int rc = bind_view(st, 1, key);

	if (rc == SQLITE_OK && value.data)
		rc = bind_view(st, 2, value);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	sqlite3_reset(st);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int apply_gathered(struct sqlite_store *s)
{
	struct unpack u = unpack_start(buf_view(&s->gathered));
	struct view key, value;
	int rc = SQLITE_OK, more = 0;

	while (rc == SQLITE_OK && (more = store_batch_next(&u, &key, &value)) == 1)
		rc = apply_one(s, key, value);
	assert(more >= 0);
	return rc;
}

/* Outside a transaction only. In a write-ahead log, FULL syncs the log at each commit, and with it
 * every earlier commit; NORMAL leaves that to the next one. */
static int commit_mode(struct sqlite_store *s, enum commit_kind kind)
{
	int rc = SQLITE_OK;

	if (s->mode != kind)
		rc = db_run(s->db, kind == COMMIT_SYNCED ? "PRAGMA synchronous=FULL"
							 : "PRAGMA synchronous=NORMAL");
	if (rc == SQLITE_OK)
		s->mode = kind;
	return rc;
}

static int transact(struct sqlite_store *s, enum commit_kind kind)
{
	bool begun = !sqlite3_get_autocommit(s->db);
	int rc = begun ? SQLITE_OK : commit_mode(s, s->held ? COMMIT_SYNCED : kind);

	if (rc == SQLITE_OK && !begun)
		rc = db_run(s->db, "BEGIN IMMEDIATE");
	if (rc == SQLITE_OK && s->gathered.len)
		rc = apply_gathered(s);
	else if (rc == SQLITE_OK) /* nothing new, but a commit must sync the old: touch page 1 */
		rc = db_set(s->db, "user_version", FORMAT_VERSION);
	if (rc != SQLITE_OK || (s->held && kind == COMMIT_EARLY))
		return rc;
	s->held = false;
	return db_run(s->db, "COMMIT");
}

static int sqlite_apply(struct sqlite_store *s, enum commit_kind kind, struct err *e)
{
	int rc;

	if (!s->gathered.len && (kind == COMMIT_EARLY || !s->unsynced))
		return 0;
	rc = transact(s, kind);
	if (rc != SQLITE_OK) {
		sqlite_fault(s, rc, e);
		if (!sqlite3_get_autocommit(s->db))
			db_run(s->db, "ROLLBACK");
		return -1;
	}
	s->unsynced = kind == COMMIT_EARLY;
	buf_clear(&s->gathered);
	return 0;
}

static int sqlite_write(struct store *store, const struct store_batch *b, struct err *e)
{
	struct sqlite_store *s = sqlite_of(store);
	int added;

	if (sqlite_sound(s, e))
		return -1;
	added = buf_add_view(&s->gathered, buf_view(&b->ops));
	assert(added == 0);
	(void)added;
	return s->gathered.len > GATHER_MAX ? sqlite_apply(s, COMMIT_EARLY, e) : 0;
}

static int sqlite_barrier(struct store *store, uint64_t *ticket, struct err *e)
{
	struct sqlite_store *s = sqlite_of(store);

	if (sqlite_sound(s, e) || sqlite_apply(s, COMMIT_SYNCED, e))
		return -1;
	s->held = false;
	*ticket = ++s->ticket;
	return 0;
}

static int sqlite_wait(struct store *store, uint64_t ticket, struct err *e)
{
	struct sqlite_store *s = sqlite_of(store);

	assert(ticket <= s->ticket);
	return sqlite_sound(s, e);
}

int store_sqlite_hold(struct store *store, struct err *e)
{
	struct sqlite_store *s = sqlite_of(store);

	if (sqlite_sound(s, e) || sqlite_apply(s, COMMIT_EARLY, e))
		return -1;
	s->held = true;
	return 0;
}

/* ---- reading ---- */

/* The least key above all that begin with PREFIX. Where there is none (nothing but 0xff), a key
 * longer than any. */
static struct view prefix_end(struct view prefix, char end[STORE_KEY_MAX + 1])
{
	size_t len = prefix.len;

	while (len && (unsigned char)prefix.data[len - 1] == 0xff)
		len--;
	if (!len) {
		memset(end, 0xff, STORE_KEY_MAX + 1);
		return view_make(end, STORE_KEY_MAX + 1);
	}
	memcpy(end, prefix.data, len);
	end[len - 1] = (char)((unsigned char)end[len - 1] + 1);
	return view_make(end, len);
}

/* The least key that may come: AFTER's successor is AFTER and a zero byte. */
static struct view scan_start(struct view prefix, struct view after, char start[STORE_KEY_MAX + 1])
{
	if (!after.len || view_cmp(after, prefix) < 0)
		return prefix;
	memcpy(start, after.data, after.len);
	start[after.len] = '\0';
	return view_make(start, after.len + 1);
}

static int give(
    struct sqlite_store *s, struct store_row row, store_take *take, void *arg, struct err *e)
{
	int answer;

	s->taking = true;
	answer = take(arg, &row, e);
	s->taking = false;
	return answer;
}

static int scan_rows(struct sqlite_store *s, store_take *take, void *arg, struct err *e)
{
	int rc, answer = 0;

	while ((rc = sqlite3_step(s->scan)) == SQLITE_ROW) {
		struct store_row row = {column_view(s->scan, 0), column_view(s->scan, 1)};
		answer = give(s, row, take, arg, e);
		if (answer)
			break;
	}
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		sqlite_fault(s, rc, e);
	sqlite3_reset(s->scan);
	return answer < 0 || s->broken ? -1 : 0;
}

static int sqlite_scan(struct store *store, struct view prefix, struct view after, size_t limit,
    store_take *take, void *arg, struct err *e)
{
	struct sqlite_store *s = sqlite_of(store);
	char start[STORE_KEY_MAX + 1], end[STORE_KEY_MAX + 1];
	sqlite3_int64 most = limit && limit < INT64_MAX ? (sqlite3_int64)limit : -1;
	int rc;

	assert(prefix.len <= STORE_KEY_MAX && after.len <= STORE_KEY_MAX);
	if (sqlite_sound(s, e) || sqlite_apply(s, COMMIT_EARLY, e))
		return -1;
	rc = bind_view(s->scan, 1, scan_start(prefix, after, start));
	if (rc == SQLITE_OK)
		rc = bind_view(s->scan, 2, prefix_end(prefix, end));
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(s->scan, 3, most);
	return rc == SQLITE_OK ? scan_rows(s, take, arg, e) : sqlite_fault(s, rc, e);
}

/* 1 = enough, 0 = go on, -1 = failed. */
static int get_one(
    struct sqlite_store *s, struct view key, store_take *take, void *arg, struct err *e)
{
	int answer = 0, rc = bind_view(s->get, 1, key);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(s->get);
	if (rc == SQLITE_ROW)
		answer = give(s, (struct store_row){key, column_view(s->get, 0)}, take, arg, e);
	else if (rc != SQLITE_DONE)
		answer = sqlite_fault(s, rc, e);
	sqlite3_reset(s->get);
	return answer;
}

static int sqlite_get(struct store *store, const struct view *keys, size_t count, store_take *take,
    void *arg, struct err *e)
{
	struct sqlite_store *s = sqlite_of(store);
	bool together; /* one lock for all, not one for each */
	int answer = 0;

	if (sqlite_sound(s, e) || sqlite_apply(s, COMMIT_EARLY, e))
		return -1;
	together =
	    count > 1 && sqlite3_get_autocommit(s->db) && db_run(s->db, "BEGIN") == SQLITE_OK;
	for (size_t i = 0; i < count && !answer; i++)
		answer = get_one(s, keys[i], take, arg, e);
	if (together)
		db_run(s->db, "COMMIT");
	return answer < 0 ? -1 : 0;
}

/* ---- opening and closing ---- */

static void sqlite_free(struct sqlite_store **s)
{
	if (!*s)
		return;
	sqlite3_finalize((*s)->put);
	sqlite3_finalize((*s)->delete);
	sqlite3_finalize((*s)->scan);
	sqlite3_finalize((*s)->get);
	sqlite3_close((*s)->db);
	buf_free(&(*s)->gathered);
	free((*s)->path);
	free(*s);
	*s = NULL;
}

static void sqlite_close(struct store **store)
{
	struct sqlite_store *s;

	if (!*store)
		return;
	s = sqlite_of(*store);
	if (!s->broken && !s->held) /* what was held and had no barrier did not happen */
		sqlite_apply(s, COMMIT_SYNCED, NULL);
	sqlite_free(&s);
	*store = NULL;
}

static const struct store_ops sqlite_ops = {
    .write = sqlite_write,
    .barrier = sqlite_barrier,
    .wait = sqlite_wait,
    .scan = sqlite_scan,
    .get = sqlite_get,
    .close = sqlite_close,
};

/* A new directory whose name is not yet on disk would take a durable ledger with it. */
static void parent_sync(const char *path)
{
	char *parent = mem_strdup(path), *slash = strrchr(parent, '/');
	int fd;

	if (slash)
		slash[slash == parent] = '\0';
	fd = open(slash ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	free(parent);
}

static int directory_make_one(const char *path)
{
	struct stat st;
	int number;

	if (mkdir(path, 0700) == 0) {
		parent_sync(path);
		return 0;
	}
	number = errno;
	if (stat(path, &st) == 0) {
		errno = ENOTDIR;
		return S_ISDIR(st.st_mode) ? 0 : -1;
	}
	errno = number;
	return -1;
}

static int directory_fault(const char *dir, const char *path, int number, struct err *e)
{
	const char *why = number == ENOTDIR ? "it is not a directory" : strerror(number);

	err_set(e, CAUSE_STATE, ERR_RUN,
	    "the state directory %s cannot be made, for %s: %s; name another with --state", dir,
	    path, why);
	err_detail(e, "mkdir %s: %s", path, strerror(number));
	return -1;
}

/* DIR and every directory above it that is missing. */
static int directory_make(const char *dir, struct err *e)
{
	char *path = mem_strdup(dir), *at = path;
	int failed = 0;

	while (!failed && at && *at) {
		at = strchr(at + 1, '/');
		if (at)
			*at = '\0';
		if (directory_make_one(path))
			failed = directory_fault(dir, path, errno, e);
		if (at)
			*at = '/';
	}
	free(path);
	return failed;
}

/* SQLite would give a new file what the umask leaves; its companions take over our mode. Only a
 * new file is opened here: closing an old one would drop the locks this process has on it. */
static void file_make(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
}

/* What the file says it is. */
struct file_facts {
	int application, version, tables;
};

/* Inside a transaction: somebody else may be making the file at this moment. */
static int facts_read(sqlite3 *db, struct file_facts *f)
{
	int rc = db_number(db, "SELECT count(*) FROM sqlite_schema", &f->tables);

	if (rc == SQLITE_OK)
		rc = db_number(db, "PRAGMA application_id", &f->application);
	if (rc == SQLITE_OK)
		rc = db_number(db, "PRAGMA user_version", &f->version);
	return rc;
}

static bool facts_are_new(const struct file_facts *f)
{
	return !f->application && !f->version && !f->tables;
}

/* 0 = new or ours. */
static int facts_check(struct sqlite_store *s, const struct file_facts *f, struct err *e)
{
	if (facts_are_new(f) || (f->application == APPLICATION_ID && f->version == FORMAT_VERSION))
		return 0;
	if (f->application != APPLICATION_ID)
		err_set(&s->error, CAUSE_STATE, ERR_RUN,
		    "%s is a database of another program, not a godwit ledger: name another "
		    "directory with --state",
		    s->path);
	else
		err_set(&s->error, CAUSE_STATE, ERR_RUN,
		    "%s is a godwit ledger of version %d, and this godwit knows version %d: use "
		    "the godwit that wrote it, or name another directory with --state",
		    s->path, f->version, FORMAT_VERSION);
	err_detail(
	    &s->error, "application_id %#x, user_version %d", (unsigned)f->application, f->version);
	return fault_kept(s, e);
}

/* Somebody else may make the tables at the same time: whoever gets the lock first does. */
static int tables_make(sqlite3 *db)
{
	struct file_facts facts = {0};
	int rc = db_run(db, "BEGIN IMMEDIATE");

	if (rc == SQLITE_OK)
		rc = facts_read(db, &facts);
	if (rc == SQLITE_OK && facts_are_new(&facts))
		rc = db_run(db, "CREATE TABLE record(key BLOB PRIMARY KEY NOT NULL, "
				"value BLOB NOT NULL) WITHOUT ROWID");
	if (rc == SQLITE_OK)
		rc = db_set(db, "application_id", APPLICATION_ID);
	if (rc == SQLITE_OK)
		rc = db_set(db, "user_version", FORMAT_VERSION);
	if (rc == SQLITE_OK)
		return db_run(db, "COMMIT");
	if (!sqlite3_get_autocommit(db))
		db_run(db, "ROLLBACK");
	return rc;
}

static int statements_make(struct sqlite_store *s)
{
	int rc = statement_make(
	    s->db, "INSERT OR REPLACE INTO record(key, value) VALUES(?1, ?2)", &s->put);

	if (rc == SQLITE_OK)
		rc = statement_make(s->db, "DELETE FROM record WHERE key = ?1", &s->delete);
	if (rc == SQLITE_OK)
		rc = statement_make(s->db,
		    "SELECT key, value FROM record WHERE key >= ?1 AND key < ?2 "
		    "ORDER BY key LIMIT ?3",
		    &s->scan);
	if (rc == SQLITE_OK)
		rc = statement_make(s->db, "SELECT value FROM record WHERE key = ?1", &s->get);
	return rc;
}

/* Turning a file to the write-ahead log needs it alone for a moment, and SQLite does not always wait
 * for that when two processes make the same file ready. */
static int journal_make(sqlite3 *db)
{
	const int step_ms = 20;
	int rc = sqlite3_busy_timeout(db, 0);

	for (int left = BUSY_MS; rc == SQLITE_OK && left > 0; left -= step_ms) {
		rc = db_run(db, "PRAGMA journal_mode=WAL");
		if (rc != SQLITE_BUSY)
			break;
		usleep((useconds_t)step_ms * 1000);
		rc = left > step_ms ? SQLITE_OK : SQLITE_BUSY;
	}
	return rc == SQLITE_OK ? sqlite3_busy_timeout(db, BUSY_MS) : rc;
}

/* The file was found new or ours. */
static int database_prepare(struct sqlite_store *s, bool is_new)
{
	int rc = journal_make(s->db);

	if (rc == SQLITE_OK)
		rc = db_run(s->db, "PRAGMA synchronous=FULL; PRAGMA cache_size=-1024");
	if (rc == SQLITE_OK && is_new)
		rc = tables_make(s->db);
	if (rc == SQLITE_OK)
		rc = statements_make(s);
	s->mode = COMMIT_SYNCED;
	return rc;
}

static int database_open(struct sqlite_store *s, struct err *e)
{
	struct file_facts facts = {0};
	int rc = sqlite3_open_v2(s->path, &s->db,
	    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_busy_timeout(s->db, BUSY_MS);
	if (rc == SQLITE_OK)
		rc = db_run(s->db, "BEGIN");
	if (rc == SQLITE_OK)
		rc = facts_read(s->db, &facts);
	if (rc == SQLITE_OK)
		rc = db_run(s->db, "COMMIT");
	if (rc == SQLITE_OK && facts_check(s, &facts, e))
		return -1;
	if (rc == SQLITE_OK)
		rc = database_prepare(s, facts_are_new(&facts));
	return rc == SQLITE_OK ? 0 : sqlite_fault(s, rc, e);
}

int store_sqlite_make_dir(const char *dir, struct err *e)
{
	if (!*dir)
		return err_set(e, CAUSE_STATE, ERR_RUN, "the state directory has no name");
	return directory_make(dir, e);
}

int store_sqlite_open(struct store **s, const char *dir, struct err *e)
{
	struct sqlite_store *new;
	struct buf path = BUF_INIT(SIZE_MAX / 2);

	if (store_sqlite_make_dir(dir, e))
		return -1;
	buf_printf(&path, "%s/ledger.db", dir);
	file_make(path.data);
	new = NEW(struct sqlite_store);
	*new = (struct sqlite_store){
	    .base = {&sqlite_ops},
	    .path = path.data,
	    .gathered = BUF_INIT(GATHER_MAX + STORE_BATCH_MAX),
	};
	if (database_open(new, e)) {
		sqlite_free(&new);
		return -1;
	}
	*s = &new->base;
	return 0;
}

int store_sqlite_set_aside(const char *dir, char *out, size_t size, struct err *e)
{
	static const char *const endings[] = {"", "-wal", "-shm"};
	struct stat st;

	for (int number = 1; number <= 99; number++) {
		snprintf(out, size, "%s/ledger.db.damaged-%d", dir, number);
		if (lstat(out, &st) && errno == ENOENT)
			break;
	}
	for (size_t i = 0; i < COUNT_OF(endings); i++) {
		struct buf old AUTO(buf_free) = BUF_INIT(8192), new AUTO(buf_free) = BUF_INIT(8192);

		buf_printf(&old, "%s/ledger.db%s", dir, endings[i]);
		buf_printf(&new, "%s%s", out, endings[i]);
		if (rename(old.data, new.data) && errno != ENOENT)
			return err_set(e, CAUSE_STATE, ERR_RUN, "cannot move %s away: %s", old.data,
			    strerror(errno));
	}
	return 0;
}
