/* The least that a copy between two IMAP servers can cost: what the servers, TLS and the line take,
 * and next to nothing of its own. No ledger, no checks, no memory of what was there, no order of
 * messages across connections; whatever goes wrong ends it. To be measured beside godwit.
 *
 *   limit fetch|append|copy CONNECTIONS CA-FILE PASSWORD-FILE HOST PORT USER [HOST PORT USER]
 *
 * fetch reads everything and throws it away. append reads everything first, and its clock runs only
 * while it stores. copy does both at once. Source first, destination (which must be empty) second;
 * hosts as IPv4 addresses, since a look-up is no business of this.
 *
 * CONNECTIONS pairs of them, moved by one thread that never waits but in poll(). All that can be
 * sent ahead is: LOGIN with the TLS handshake, LIST (RETURN STATUS) behind it, FETCHes of whole
 * folders, CREATEs, and APPENDs with non-synchronizing literals, up to BATCH_MESSAGES or
 * BATCH_BYTES in one (MULTIAPPEND). The bytes of a message go from one connection's buffer into
 * the other's as they come. With several pairs the folders are cut into pieces, of which each pair
 * takes the next one as it gets through those it has.
 *
 * Prints one line of JSON. Status 1 where a server refused anything; its words are on stderr. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PAIRS 16u
#define IN_SIZE ((size_t)256 << 10)
#define OUT_SIZE ((size_t)512 << 10)
#define LINE_ROOM ((size_t)16 << 10) /* what a FETCH line can make at the destination, at most */
#define RECORD ((size_t)16 << 10)    /* TLS records are filled where more is to come */
#define READ_AHEAD ((size_t)128 << 10)
#define BATCH_MESSAGES 64u
#define BATCH_BYTES ((size_t)4 << 20)
#define PIECES 6u /* of about equal size for each pair, where there are several */
#define AHEAD 3u  /* pieces that a pair has asked for at once */

struct end {
	const char *what, *host, *port, *user;
};

struct conn {
	const struct end *end;
	int fd;
	SSL *ssl;
	bool connected, grows; /* grows: OUT takes all there is, to be sent later */
	short events;          /* what poll() is to look for */
	char *in, *out;
	size_t in_at, in_end, out_at, out_end, out_size;
	size_t first; /* bytes that may go before the login is answered: servers dislike more */
	unsigned long sent, answered, refused; /* commands */
};

struct piece {
	unsigned folder;
	unsigned long first, last;
};

struct pair {
	struct conn source, destination;
	unsigned asked, done; /* pieces */
	unsigned folder;      /* that is being read */
	size_t literal;       /* bytes of a message still to come */
	unsigned batch_messages;
	size_t batch_bytes;
	bool batch_open;
};

struct folder {
	char *name; /* without quotes, as the servers write it */
	unsigned long messages;
};

static SSL_CTX *tls;
static const char *password_text;
static bool fetching, appending;
static struct pair pairs[PAIRS];
static unsigned pair_count;
static struct folder *folders;
static unsigned folder_count;
static struct piece *pieces;
static unsigned piece_count, piece_next;
static bool listed;
static unsigned long creates; /* commands at the first destination that the others wait for */
static unsigned long long message_count, byte_count;

/* ---- small things ---- */

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...)
{
	va_list list;
	va_start(list, format);
	fputs("limit: ", stderr);
	vfprintf(stderr, format, list);
	fputc('\n', stderr);
	va_end(list);
	exit(2);
}

static void *grown(void *memory, size_t size)
{
	memory = realloc(memory, size);
	if (!memory)
		die("out of memory");
	return memory;
}

static double seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static const char *first_line(const char *path)
{
	static char line[256];
	FILE *file = fopen(path, "re");
	if (!file || !fgets(line, sizeof line, file))
		die("%s cannot be read", path);
	fclose(file);
	line[strcspn(line, "\r\n")] = 0;
	return line;
}

/* ---- a connection ---- */

static void move_up(char *buffer, size_t *at, size_t *end)
{
	memmove(buffer, buffer + *at, *end - *at);
	*end -= *at;
	*at = 0;
}

/* Bytes are moved up by half a buffer at a time, so that each is moved once at most. */
static size_t conn_room(struct conn *c)
{
	if (c->grows)
		return SIZE_MAX;
	if (c->out_at >= c->out_size / 2)
		move_up(c->out, &c->out_at, &c->out_end);
	return c->out_size - c->out_end;
}

static void conn_put(struct conn *c, const char *bytes, size_t length)
{
	if (c->out_size - c->out_end < length) {
		/* commands may come in one go, bodies only where there is room for them */
		c->out_size = 2 * c->out_size + length;
		c->out = grown(c->out, c->out_size);
	}
	memcpy(c->out + c->out_end, bytes, length);
	c->out_end += length;
}

/* Write, and count the commands that begin here by their tags. */
__attribute__((format(printf, 3, 4))) static void conn_say(
    struct conn *c, unsigned commands, const char *format, ...)
{
	char text[LINE_ROOM];
	va_list list;
	va_start(list, format);
	int length = vsnprintf(text, sizeof text, format, list);
	va_end(list);
	if (length < 0 || (size_t)length >= sizeof text)
		die("a command is too long");
	conn_put(c, text, (size_t)length);
	c->sent += commands;
}

static void conn_open(struct conn *c, const struct end *end)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int one = 1;
	address.sin_port = htons((uint16_t)strtoul(end->port, NULL, 10));
	if (inet_pton(AF_INET, end->host, &address.sin_addr) != 1)
		die("%s is not an IPv4 address", end->host);
	c->end = end;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one))
		die("socket: %s", strerror(errno));
	if (connect(c->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)
		die("%s: %s", end->what, strerror(errno));
	c->events = POLLOUT;
	c->ssl = SSL_new(tls);
	if (!c->ssl || !X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(c->ssl), end->host) ||
	    !SSL_set_fd(c->ssl, c->fd))
		die("TLS cannot be set up");
	SSL_set_connect_state(c->ssl);
}

static void conn_make(struct conn *c, const struct end *end)
{
	c->fd = -1;
	c->in = grown(NULL, IN_SIZE);
	c->out_size = OUT_SIZE;
	c->out = grown(NULL, c->out_size);
	c->end = end;
	conn_say(c, 1, "L LOGIN \"%s\" \"%s\"\r\n", end->user, password_text);
}

static bool conn_is_up(struct conn *c)
{
	struct pollfd look = {.fd = c->fd, .events = POLLOUT};
	int error = 0;
	socklen_t size = sizeof error;
	if (c->connected)
		return true;
	if (c->fd < 0 || poll(&look, 1, 0) != 1)
		return false;
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) || error)
		die("%s: %s", c->end->what, strerror(error));
	return c->connected = true;
}

/* What came of SSL_read or SSL_write: bytes, or 0 where it must wait. */
static size_t conn_result(struct conn *c, int result)
{
	if (result > 0)
		return (size_t)result;
	switch (SSL_get_error(c->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		c->events |= POLLIN;
		return 0;
	case SSL_ERROR_WANT_WRITE:
		c->events |= POLLOUT;
		return 0;
	default:
		die("%s: the connection ended: %.*s", c->end->what, (int)(c->in_end - c->in_at),
		    c->in + c->in_at);
	}
}

static bool conn_write(struct conn *c, bool all)
{
	size_t length = c->out_end - c->out_at, written;
	if (!c->answered && length > c->first)
		length = c->first;
	if (!length || (!all && length < RECORD) || !conn_is_up(c))
		return false;
	if (length > (1u << 30))
		length = 1u << 30;
	written = conn_result(c, SSL_write(c->ssl, c->out + c->out_at, (int)length));
	c->out_at += written;
	c->first -= c->answered ? 0 : written;
	if (c->out_at == c->out_end)
		c->out_at = c->out_end = 0;
	return written > 0;
}

static bool conn_read(struct conn *c)
{
	size_t got;
	if (!conn_is_up(c))
		return false;
	if (c->in_at >= IN_SIZE / 2)
		move_up(c->in, &c->in_at, &c->in_end);
	if (c->in_end == IN_SIZE)
		return false;
	got = conn_result(c, SSL_read(c->ssl, c->in + c->in_end, (int)(IN_SIZE - c->in_end)));
	c->in_end += got;
	return got > 0;
}

/* The next line, NUL for its end; NULL where it has not come whole. */
static char *conn_line(struct conn *c)
{
	char *start = c->in + c->in_at, *end;
	end = memchr(start, '\n', c->in_end - c->in_at);
	if (!end) {
		if (!c->in_at && c->in_end == IN_SIZE)
			die("%s: a line that does not end", c->end->what);
		move_up(c->in, &c->in_at, &c->in_end);
		return NULL;
	}
	c->in_at = (size_t)(end - c->in) + 1;
	if (end > start && end[-1] == '\r')
		end--;
	*end = 0;
	return start;
}

/* Whether the line answers a command; counts refusals. */
static bool conn_is_answer(struct conn *c, const char *line)
{
	const char *space = strchr(line, ' ');
	if (line[0] == '*' || line[0] == '+' || line[0] == ' ' || line[0] == ')' || !space)
		return false;
	if (strncmp(space, " OK", 3) != 0) {
		c->refused++;
		fprintf(stderr, "limit: %s: %s\n", c->end->what, line);
		if (line[0] == 'L')
			die("no login");
	}
	c->answered++;
	return true;
}

static bool conn_is_idle(const struct conn *c)
{
	return c->out_at == c->out_end && c->answered == c->sent;
}

/* ---- folders and pieces ---- */

static char *plain_name(char *name)
{
	size_t length = strlen(name);
	if (length >= 2 && name[0] == '"' && name[length - 1] == '"') {
		name[length - 1] = 0;
		name++;
	}
	return name;
}

/* * LIST (\HasNoChildren) "/" name */
static void take_list(char *line)
{
	char *name = strstr(line, "\"/\" ");
	if (!name)
		die("a delimiter that is not \"/\": %s", line);
	if (strcasestr(line, "\\noselect") || strcasestr(line, "\\nonexistent"))
		return;
	folders = grown(folders, (folder_count + 1) * sizeof *folders);
	folders[folder_count++] = (struct folder){.name = strdup(plain_name(name + 4))};
}

/* * STATUS name (MESSAGES 12) */
static void take_status(char *line)
{
	char *name = line + strlen("* STATUS "), *count = strstr(name, " (MESSAGES ");
	if (!count)
		return;
	*count = 0;
	name = plain_name(name);
	for (unsigned i = 0; i < folder_count; i++)
		if (strcmp(folders[i].name, name) == 0)
			folders[i].messages = strtoul(count + strlen(" (MESSAGES "), NULL, 10);
}

/* One folder after the other, each time around a piece of each: pairs seldom meet in one. */
static void cut_pieces(void)
{
	unsigned long total = 0, size, again = 1;
	for (unsigned i = 0; i < folder_count; i++)
		total += folders[i].messages;
	size = pair_count == 1 ? total + 1 : total / ((unsigned long)pair_count * PIECES) + 1;
	for (unsigned long from = 1; again; from += size) {
		again = 0;
		for (unsigned i = 0; i < folder_count; i++) {
			unsigned long last = from + size - 1;
			if (from > folders[i].messages)
				continue;
			if (last > folders[i].messages)
				last = folders[i].messages;
			pieces = grown(pieces, (piece_count + 1) * sizeof *pieces);
			pieces[piece_count++] = (struct piece){i, from, last};
			again = 1;
		}
	}
}

static void create_folders(struct conn *destination)
{
	for (unsigned i = 0; i < folder_count; i++)
		if (strcasecmp(folders[i].name, "INBOX") != 0)
			conn_say(destination, 1, "C CREATE \"%s\"\r\n", folders[i].name);
	creates = destination->sent;
}

static void ask_pieces(struct pair *p)
{
	unsigned most = pair_count == 1 ? piece_count : AHEAD;
	while (listed && piece_next < piece_count && p->asked - p->done < most) {
		const struct piece *piece = &pieces[piece_next++];
		conn_say(&p->source, 2,
		    "E%u EXAMINE \"%s\"\r\nF FETCH %lu:%lu (FLAGS INTERNALDATE BODY.PEEK[])\r\n",
		    piece->folder, folders[piece->folder].name, piece->first, piece->last);
		p->asked++;
	}
}

/* ---- messages ---- */

static void end_batch(struct pair *p)
{
	if (p->batch_open)
		conn_put(&p->destination, "\r\n", 2);
	p->batch_open = false;
}

/* A flag list without \Recent, which belongs to the source. */
static void copy_flags(char *to, const char *from, const char *end)
{
	char *start = to;
	while (from < end) {
		size_t length = strcspn(from, " )");
		if (strncasecmp(from, "\\Recent", length) != 0) {
			if (to > start)
				*to++ = ' ';
			memcpy(to, from, length);
			to += length;
		}
		from += length + 1;
	}
	*to = 0;
}

static void begin_message(struct pair *p, const char *line)
{
	const char *flags = strstr(line, "FLAGS ("), *date = strstr(line, "INTERNALDATE \"");
	const char *end = flags ? strchr(flags, ')') : NULL;
	char text[LINE_ROOM / 2];
	if (!end || !date || (size_t)(end - flags) >= sizeof text)
		die("not understood: %s", line);
	copy_flags(text, flags + strlen("FLAGS ("), end);
	date += strlen("INTERNALDATE \"");
	if (p->batch_messages == BATCH_MESSAGES || p->batch_bytes >= BATCH_BYTES)
		end_batch(p);
	if (!p->batch_open) {
		conn_say(&p->destination, 1, "A APPEND \"%s\"", folders[p->folder].name);
		p->batch_open = true;
		p->batch_messages = 0;
		p->batch_bytes = 0;
	}
	conn_say(&p->destination, 0, " (%s) \"%.*s\" {%zu+}\r\n", text, (int)strcspn(date, "\""),
	    date, p->literal);
	p->batch_messages++;
	p->batch_bytes += p->literal;
}

static void take_body(struct pair *p, size_t most)
{
	struct conn *c = &p->source;
	size_t length = c->in_end - c->in_at;
	if (length > p->literal)
		length = p->literal;
	if (length > most)
		length = most;
	if (!fetching)
		conn_put(&p->destination, c->in + c->in_at, length);
	c->in_at += length;
	p->literal -= length;
	byte_count += length;
}

static void take_answer(struct pair *p, const char *line)
{
	switch (line[0]) {
	case 'T':
		listed = true;
		cut_pieces();
		if (!fetching)
			create_folders(&p->destination);
		break;
	case 'E':
		p->folder = (unsigned)strtoul(line + 1, NULL, 10);
		break;
	case 'F':
		end_batch(p);
		p->done++;
		break;
	default:
		break;
	}
}

static void take_source_line(struct pair *p, char *line)
{
	size_t length = strlen(line);
	const char *brace = length && line[length - 1] == '}' ? strrchr(line, '{') : NULL;
	if (brace && strstr(line, "BODY[] {")) {
		p->literal = strtoul(brace + 1, NULL, 10);
		message_count++;
		if (!fetching)
			begin_message(p, line);
	} else if (brace) {
		die("a literal where none is understood: %s", line);
	} else if (strncmp(line, "* LIST ", 7) == 0) {
		take_list(line);
	} else if (strncmp(line, "* STATUS ", 9) == 0) {
		take_status(line);
	} else if (conn_is_answer(&p->source, line)) {
		take_answer(p, line);
	}
}

static bool take_source(struct pair *p)
{
	struct conn *c = &p->source;
	bool moved = false;
	while (c->in_at < c->in_end) {
		size_t room = conn_room(&p->destination);
		char *line;
		if (room <= LINE_ROOM)
			break;
		if (p->literal) {
			take_body(p, room - LINE_ROOM);
		} else {
			line = conn_line(c);
			if (!line)
				break;
			take_source_line(p, line);
		}
		moved = true;
	}
	if (c->in_at == c->in_end)
		c->in_at = c->in_end = 0;
	return moved;
}

static bool take_destination(struct pair *p)
{
	bool moved = false;
	for (char *line; (line = conn_line(&p->destination)); moved = true)
		conn_is_answer(&p->destination, line);
	return moved;
}

/* ---- all of them ---- */

/* The folders are made over the first connection; before that the others can but log in. */
static bool pair_may_write(const struct pair *p)
{
	return p == pairs || !p->destination.answered ||
	       (creates && pairs[0].destination.answered >= creates);
}

static bool turn_source(struct pair *p)
{
	bool moved;
	ask_pieces(p);
	p->source.events = POLLIN;
	moved = conn_write(&p->source, true);
	if (conn_room(&p->destination) > LINE_ROOM)
		moved = conn_read(&p->source) || moved;
	else
		p->source.events &= (short)~POLLIN;
	return take_source(p) || moved;
}

static bool turn_destination(struct pair *p, bool all)
{
	bool moved;
	p->destination.events = POLLIN;
	moved = pair_may_write(p) && conn_write(&p->destination, all);
	moved = conn_read(&p->destination) || moved;
	return take_destination(p) || moved;
}

static void wait_for_any(void)
{
	struct pollfd polls[2 * PAIRS];
	nfds_t count = 0;
	for (unsigned i = 0; i < pair_count; i++) {
		struct conn *both[] = {&pairs[i].source, &pairs[i].destination};
		for (unsigned k = 0; k < 2; k++) {
			if (both[k]->fd < 0)
				continue;
			short events = both[k]->connected ? both[k]->events : POLLOUT;
			polls[count++] = (struct pollfd){.fd = both[k]->fd, .events = events};
		}
	}
	if (poll(polls, count, -1) < 0 && errno != EINTR)
		die("poll: %s", strerror(errno));
}

static bool is_read(void)
{
	if (!listed || piece_next < piece_count)
		return false;
	for (unsigned i = 0; i < pair_count; i++)
		if (pairs[i].asked != pairs[i].done)
			return false;
	return true;
}

static bool is_stored(void)
{
	for (unsigned i = 0; i < pair_count; i++)
		if (!conn_is_idle(&pairs[i].destination))
			return false;
	return true;
}

static void run(bool (*is_done)(void), bool reading, bool storing)
{
	while (!is_done()) {
		bool moved = false;
		for (unsigned i = 0; i < pair_count; i++) {
			bool came = reading && turn_source(&pairs[i]);
			moved = moved || came;
			if (storing)
				moved = turn_destination(&pairs[i], !came) || moved;
		}
		if (!moved)
			wait_for_any();
	}
}

static bool is_copied(void)
{
	return is_read() && is_stored();
}

static void open_all(bool source)
{
	for (unsigned i = 0; i < pair_count; i++) {
		struct conn *c = source ? &pairs[i].source : &pairs[i].destination;
		conn_open(c, c->end);
	}
}

static double work(void)
{
	double start = seconds();
	open_all(true);
	if (!fetching && !appending)
		open_all(false);
	run(appending || fetching ? is_read : is_copied, true, !appending && !fetching);
	if (appending) {
		start = seconds();
		open_all(false);
		run(is_stored, false, true);
	}
	return seconds() - start;
}

static void prepare(const struct end *source, const struct end *destination)
{
	for (unsigned i = 0; i < pair_count; i++) {
		conn_make(&pairs[i].source, source);
		conn_make(&pairs[i].destination, destination);
		pairs[i].destination.grows = appending;
	}
	conn_say(&pairs[0].source, 1, "T LIST \"\" * RETURN (STATUS (MESSAGES))\r\n");
	for (unsigned i = 0; i < pair_count; i++) {
		pairs[i].source.first = pairs[i].source.out_end;
		pairs[i].destination.first = pairs[i].destination.out_end;
	}
}

static void prepare_tls(const char *ca_file)
{
	tls = SSL_CTX_new(TLS_client_method());
	if (!tls || !SSL_CTX_load_verify_file(tls, ca_file))
		die("%s cannot be used", ca_file);
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(tls, 1);
	SSL_CTX_set_default_read_buffer_len(tls, READ_AHEAD);
}

int main(int argc, char **argv)
{
	unsigned long refused = 0;
	double duration;
	fetching = argc == 8 && strcmp(argv[1], "fetch") == 0;
	appending = argc == 11 && strcmp(argv[1], "append") == 0;
	if (!fetching && !appending && (argc != 11 || strcmp(argv[1], "copy") != 0))
		die("see the head of bench/limit.c");
	pair_count = (unsigned)strtoul(argv[2], NULL, 10);
	if (pair_count < 1 || pair_count > PAIRS)
		die("1 to %u connections", PAIRS);
	struct end source = {"the source", argv[5], argv[6], argv[7]}, destination = source;
	if (!fetching)
		destination = (struct end){"the destination", argv[8], argv[9], argv[10]};
	prepare_tls(argv[3]);
	password_text = first_line(argv[4]);
	prepare(&source, &destination);
	duration = work();
	for (unsigned i = 0; i < pair_count; i++)
		refused += pairs[i].source.refused + pairs[i].destination.refused;
	printf("{\"operation\": \"%s\", \"connections\": %u, \"messages\": %llu, \"bytes\": %llu, "
	       "\"seconds\": %.4f, \"refused\": %lu}\n",
	    argv[1], pair_count, message_count, byte_count, duration, refused);
	return refused ? 1 : 0;
}
