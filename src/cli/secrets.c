/* secrets.c - passwords and tokens of both sides, from a file, a variable, a command or the
 * terminal, handed out when a session logs in.
 * Promises: they lie only in vaults and in the buffer of whoever asked; the environment variable
 * is gone for us, our children and /proc once it was read; a pipe given as a file is read once.
 * Does not: talk with servers, or decide whether to try again. */
#include "cli/secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/prompt.h"
#include "cli/secret_command.h"

#define COMMAND_MS 60000

struct opening {
	struct secrets *secrets;
	const struct secrets_listener *listener;
	struct err *e;
};

static const char *side_name(enum err_side side)
{
	return side == ERR_SOURCE ? "source" : "destination";
}

static void close_fd(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static void note_if_public(const struct opening *o, int fd, const char *path)
{
	char text[400];
	struct stat st;

	if (!o->listener || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !(st.st_mode & S_IROTH))
		return;
	snprintf(text, sizeof(text),
	    "the password file %s can be read by every user here; chmod 600 it", path);
	o->listener->note(o->listener->arg, text);
}

static int read_all(int fd, struct vault *v)
{
	while (v->len < VAULT_SIZE) {
		ssize_t n = read(fd, v->data + v->len, VAULT_SIZE - v->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (!n)
			break;
		v->len += (size_t)n;
	}
	return 0;
}

static int open_file(const struct opening *o, struct secret *s)
{
	AUTO(close_fd) int fd = open(s->origin.file, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0 || read_all(fd, &s->vault) < 0)
		return err_set(o->e, CAUSE_USAGE, ERR_RUN,
		    "cannot read the %s's password file %s: %s", side_name(s->side), s->origin.file,
		    strerror(errno));
	note_if_public(o, fd, s->origin.file);
	return vault_keep_line(&s->vault, s->origin.file, o->e);
}

static int open_env(const struct opening *o, struct secret *s)
{
	const char *value = getenv(s->origin.env);

	if (!value)
		return err_set(o->e, CAUSE_USAGE, ERR_RUN,
		    "the variable %s, named for the %s's password, is not set", s->origin.env,
		    side_name(s->side));
	s->vault.len = strnlen(value, VAULT_SIZE);
	memcpy(s->vault.data, value, s->vault.len);
	return vault_keep_line(&s->vault, s->origin.env, o->e);
}

/* The bytes themselves go too: /proc/PID/environ shows them even after unsetenv. */
static void forget_env(const char *name)
{
	char *value = name ? getenv(name) : NULL;

	if (!value)
		return;
	explicit_bzero(value, strlen(value));
	unsetenv(name);
}

static int fail_nowhere(const struct opening *o, enum err_side side)
{
	const char *name = side_name(side);

	return err_set(o->e, CAUSE_USAGE, ERR_RUN,
	    "no password for the %s, and no terminal to ask on; give --%s-password-file FILE, "
	    "--%s-password-env NAME or --%s-password-command COMMAND",
	    name, name, name, name);
}

static int open_prompt(const struct opening *o, struct secret *s, const struct endpoint *where)
{
	AUTO(close_fd) int tty = -1;
	char account[200], question[300];

	if (isatty(STDIN_FILENO))
		tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (tty < 0)
		return fail_nowhere(o, s->side);
	text_printable(account, sizeof(account), where->identity, strlen(where->identity));
	snprintf(question, sizeof(question), "Password of %s (%s): ", account, side_name(s->side));
	return prompt_ask(tty, o->secrets->stop_fd, question, &s->vault, o->e);
}

static int open_one(const struct opening *o, struct secret *s, const struct endpoint *where)
{
	int result;

	if (vault_open(&s->vault, o->e) < 0)
		return -1;
	if (s->origin.command || where->path) /* run when needed; no login at all */
		return 0;
	if (s->origin.file)
		result = open_file(o, s);
	else if (s->origin.env)
		result = open_env(o, s);
	else
		result = open_prompt(o, s, where);
	if (result < 0 && o->e)
		o->e->side = s->side;
	return result;
}

int secrets_open(struct secrets *s, const struct secret_origin *source,
    const struct secret_origin *destination, const struct endpoint *from, const struct endpoint *to,
    int stop_fd, const struct secrets_listener *listener, struct err *e)
{
	struct opening o = {.secrets = s, .listener = listener, .e = e};
	int result;

	*s = (struct secrets){.source = {.origin = *source, .side = ERR_SOURCE},
	    .destination = {.origin = *destination, .side = ERR_DESTINATION},
	    .stop_fd = stop_fd,
	    .command_ms = COMMAND_MS};
	result = open_one(&o, &s->source, from);
	if (result == 0)
		result = open_one(&o, &s->destination, to);
	forget_env(source->env); /* only now: both sides may share one variable */
	forget_env(destination->env);
	if (result < 0)
		secrets_free(s);
	return result;
}

static const char *origin_text(const struct secret_origin *origin)
{
	return origin->file  ? "the password file"
	       : origin->env ? "the environment variable"
			     : "the terminal";
}

static int hand_out(const struct secret *s, struct buf *out, struct err *e)
{
	/* in one step: a growing buffer would leave copies behind */
	if (buf_add(out, s->vault.data, s->vault.len) == 0)
		return 0;
	return err_set(
	    e, CAUSE_LOGIN, ERR_MAILBOX, "the %s's password is too long", side_name(s->side));
}

int secrets_get(
    struct secrets *s, enum err_side side, bool was_refused, struct buf *out, struct err *e)
{
	struct secret *one = side == ERR_SOURCE ? &s->source : &s->destination;
	int result;

	if (one->origin.command) {
		result = secret_command_run(
		    one->origin.command, s->stop_fd, s->command_ms, &one->vault, e);
		if (result == 0)
			result = hand_out(one, out, e);
		explicit_bzero(one->vault.data, VAULT_SIZE);
		one->vault.len = 0;
	} else if (was_refused) {
		result = err_set(e, CAUSE_LOGIN, ERR_MAILBOX, "the %s refused the password from %s",
		    side_name(side), origin_text(&one->origin));
	} else {
		result = hand_out(one, out, e);
	}
	if (result < 0 && e)
		e->side = side;
	return result;
}

void secrets_free(struct secrets *s)
{
	vault_free(&s->source.vault);
	vault_free(&s->destination.vault);
}
