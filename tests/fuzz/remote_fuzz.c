/* remote_fuzz.c - both ends of the store's channel, and the other end a stranger. A hostile worker's
 * frames break nothing at the controller's side, and are answered by at most one frame each; a hostile
 * controller's break nothing at the worker's. The same bytes are sent to either. */
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "memory_store.h"
#include "net/channel.h"

enum { INPUT_MAX = 60000, ROWS_MAX = 1000 };

/* A channel whose other end has said INPUT and then no more; it still listens. Who waits for more is
 * STOPPED, or waits for good. */
struct line {
	struct waitset *waits;
	struct channel *ch;
	int far, bell;
};

static void line_open(struct line *l, struct view input, bool stopped)
{
	int pair[2];

	must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), "a socket pair");
	l->far = pair[1];
	must(write(l->far, input.data, input.len) == (ssize_t)input.len, "it takes the input");
	l->bell = stopped ? eventfd(1, EFD_CLOEXEC) : -1;
	waitset_new(&l->waits, l->bell);
	channel_new(&l->ch, pair[0], l->waits);
}

static void line_close(struct line *l)
{
	channel_free(&l->ch);
	waitset_free(&l->waits);
	close(l->far);
	if (l->bell >= 0)
		close(l->bell);
}

/* What was answered goes away, so that nobody waits for it; how many bytes that was. */
static size_t drain(const struct line *l)
{
	char bytes[65536];
	size_t all = 0;
	ssize_t n;

	waitset_pump(l->waits, NULL);
	while ((n = recv(l->far, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
		all += (size_t)n;
		waitset_pump(l->waits, NULL);
	}
	return all;
}

static void check_server(struct view input)
{
	struct memory_disk *disk;
	struct store *store;
	struct store_server *sv;
	struct line l;
	struct view payload;
	uint8_t type;
	struct err e = {0};
	int failed = 0;

	memory_disk_new(&disk);
	memory_store_open(&store, disk);
	line_open(&l, input, false);
	store_server_new(&sv, store, l.ch);
	while (!failed && channel_try(l.ch, &type, &payload, &e) > 0) {
		failed = type < STORE_FRAME_LAST ? store_server_frame(sv, type, payload, &e)
						 : store_server_commit(sv, &e);
		must(drain(&l) <= 2 * (256u << 10), "an answer is bounded");
	}
	must(
	    !failed || (e.cause == CAUSE_BUG && e.scope == ERR_RUN), "whose fault it was, is told");
	must(failed || !store_server_commit(sv, &e) || e.scope == ERR_RUN, "or that it has gone");
	must(failed || memory_disk_pending(disk) == 0, "what came well is kept");
	store_server_free(&sv);
	line_close(&l);
	store->ops->close(&store);
	memory_disk_free(&disk);
}

struct taken {
	struct view prefix;
	char last[STORE_KEY_MAX];
	size_t last_len, count;
};

static int take(void *arg, const struct store_row *row, struct err *e)
{
	struct taken *t = arg;
	struct view last = {t->last, t->last_len};

	(void)e;
	must(row->key.len && row->key.len <= STORE_KEY_MAX && row->value.len <= STORE_VALUE_MAX &&
		 row->value.data,
	    "a row is a row");
	must(row->key.len >= t->prefix.len && !memcmp(row->key.data, t->prefix.data, t->prefix.len),
	    "of those asked for");
	must(!t->count || view_cmp(row->key, last) > 0, "in order");
	memcpy(t->last, row->key.data, row->key.len);
	t->last_len = row->key.len;
	return ++t->count > ROWS_MAX;
}

static int take_other(void *arg, uint8_t type, struct view payload, struct err *e)
{
	(void)payload, (void)e;
	must(type == 0 || type >= STORE_FRAME_LAST, "the store keeps its own frames");
	++*(size_t *)arg;
	return 0;
}

static int ask(struct store *s, struct err *e)
{
	struct taken scanned = {.prefix = {"k", 1}}, got = {.prefix = {"k", 1}};
	const struct view keys[] = {{"k1", 2}, {"k2", 2}, {"k9", 2}};
	uint64_t ticket;

	return s->ops->barrier(s, &ticket, e) || s->ops->wait(s, ticket, e) ||
	       s->ops->scan(s, scanned.prefix, (struct view){0}, 0, take, &scanned, e) ||
	       s->ops->get(s, keys, COUNT_OF(keys), take, &got, e) ||
	       s->ops->barrier(s, &ticket, e) || s->ops->wait(s, ticket, e);
}

static void check_client(struct view input)
{
	struct store *s;
	struct line l;
	struct err e = {0};
	size_t others = 0;

	line_open(&l, input, true);
	must(!store_remote_open(&s, l.ch, take_other, &others, &e), "it opens");
	for (int i = 0; i < 2; i++)
		must(!ask(s, &e) || (e.cause != CAUSE_NONE && *e.text), "what is wrong is told");
	s->ops->close(&s);
	line_close(&l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > INPUT_MAX)
		return 0;
	check_server(view_make(data, size));
	check_client(view_make(data, size));
	return 0;
}
