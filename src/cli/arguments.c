/* arguments.c - the options of `godwit copy`, `verify` and `check`, and what they amount to.
 * Promises: whatever contradicts itself is refused here, before anything is touched; no secret is
 * taken from the command line. Does not: open files or connections. */
#include "cli/arguments.h"

#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "cli/options.h"

#define DEFAULTS                                                                                   \
	((struct copy_arguments){.timeout_ms = 60000,                                              \
	    .settle_ms = 5000,                                                                     \
	    .deletions_limit = 20,                                                                 \
	    .lanes = 4,                                                                            \
	    .options.record = -1})

static const char *const output_names[] = {"text", "json", NULL};
static const char *const deletions_names[] = {"keep", "mirror", NULL}; /* as enum deletions */
static const char *const namespace_names[] = {"personal", "all", NULL};

#define AT(field) .offset = offsetof(struct copy_arguments, field)
#define NO_PASSWORD                                                                                \
	"everybody on this machine could read a password given so; use --source-password-file, "   \
	"-env or -command (and --destination-...), or type it when asked"

static const struct option_spec specs[] = {
    {"source-password-file", .kind = OPTION_TEXT, AT(source_secret.file)},
    {"source-password-env", .kind = OPTION_TEXT, AT(source_secret.env)},
    {"source-password-command", .kind = OPTION_TEXT, AT(source_secret.command)},
    {"destination-password-file", .kind = OPTION_TEXT, AT(destination_secret.file)},
    {"destination-password-env", .kind = OPTION_TEXT, AT(destination_secret.env)},
    {"destination-password-command", .kind = OPTION_TEXT, AT(destination_secret.command)},
    {"ca-file", .kind = OPTION_TEXT, AT(ca_file)},
    {"source-ca-file", .kind = OPTION_TEXT, AT(source_ca_file)},
    {"destination-ca-file", .kind = OPTION_TEXT, AT(destination_ca_file)},
    {"insecure", .kind = OPTION_FLAG, AT(insecure)},
    {"state", .kind = OPTION_TEXT, AT(state_dir)},
    {"timeout", .kind = OPTION_SECONDS, .min = 1, .max = 86400, AT(timeout_ms)},
    {"settle", .kind = OPTION_SECONDS, .min = 0, .max = 3600, AT(settle_ms)},
    {"max-size", .kind = OPTION_SIZE, AT(max_size)},
    {"lanes", .kind = OPTION_NUMBER, .min = 1, .max = LANES_MAX, AT(lanes)},
    {"retry-refused", .kind = OPTION_FLAG, AT(retry_refused)},
    {"repair", .kind = OPTION_FLAG, AT(repair)},
    {"keep-originals", .kind = OPTION_TEXT, AT(keep_originals)},
    {"deletions", .kind = OPTION_CHOICE, .choices = deletions_names, AT(deletions)},
    {"deletions-limit", .kind = OPTION_NUMBER, .min = 0, .max = 100, AT(deletions_limit)},
    {"recreate", .kind = OPTION_FLAG, AT(recreate)},
    {"dry-run", .letter = 'n', .kind = OPTION_FLAG, AT(dry_run)},
    {"namespace", .kind = OPTION_CHOICE, .choices = namespace_names, AT(namespace)},
    {"report", .kind = OPTION_TEXT, AT(report)},
    {"record", .kind = OPTION_TEXT, AT(record)},
    {"output", .kind = OPTION_CHOICE, .choices = output_names, AT(output)},
    {"debug", .kind = OPTION_FLAG, AT(debug)},
    {"quiet", .letter = 'q', .kind = OPTION_FLAG, AT(quiet)},
    {"help", .letter = 'h', .kind = OPTION_FLAG, AT(help)},
    {"password", .kind = OPTION_REFUSED, .help = NO_PASSWORD},
    {"source-password", .kind = OPTION_REFUSED, .help = NO_PASSWORD},
    {"destination-password", .kind = OPTION_REFUSED, .help = NO_PASSWORD},
};

/* Of these verify and check take a part ... */
static const char *const looking[] = {"source-password-file", "source-password-env",
    "source-password-command", "destination-password-file", "destination-password-env",
    "destination-password-command", "ca-file", "source-ca-file", "destination-ca-file", "insecure",
    "timeout", "namespace", "report", "record", "output", "debug", "quiet", "help", "password",
    "source-password", "destination-password"};

/* ... and have some of their own. */
static const struct option_spec verify_specs[] = {
    {"digest", .kind = OPTION_FLAG, AT(digest)},
    {"sample", .kind = OPTION_SIZE, AT(sample)},
    {"seed", .kind = OPTION_SIZE, AT(seed)},
    {"exact", .kind = OPTION_FLAG, AT(exact)},
};
static const struct option_spec check_specs[] = {
    {"max-size", .kind = OPTION_SIZE, AT(max_size)},
};

static const char *const job_names[] = {
    [JOB_COPY] = "copy", [JOB_VERIFY] = "verify", [JOB_CHECK] = "check"};

struct job_table {
	struct option_spec specs[COUNT_OF(specs) + COUNT_OF(verify_specs)];
	size_t count;
};

static bool is_looking(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(looking); i++)
		if (!strcmp(looking[i], name))
			return true;
	return false;
}

static void table_of(struct job_table *t, enum job_kind job)
{
	const struct option_spec *own = job == JOB_VERIFY ? verify_specs : check_specs;
	size_t count = job == JOB_VERIFY  ? COUNT_OF(verify_specs)
		       : job == JOB_CHECK ? COUNT_OF(check_specs)
					  : 0;

	t->count = 0;
	for (size_t i = 0; i < count; i++)
		t->specs[t->count++] = own[i];
	for (size_t i = 0; i < COUNT_OF(specs); i++)
		if (job == JOB_COPY || is_looking(specs[i].name))
			t->specs[t->count++] = specs[i];
}

const char *arguments_job_option(enum job_kind job, size_t n)
{
	struct job_table t;

	table_of(&t, job);
	return n < t.count && t.specs[n].kind != OPTION_REFUSED ? t.specs[n].name : NULL;
}

const char *arguments_option(size_t n)
{
	return arguments_job_option(JOB_COPY, n);
}

/* As it would be typed, where it is no text (which could be a path or a secret) and not DEFAULTS'. */
static void tell_option(
    struct buf *out, const struct option_spec *o, const void *args, const void *defaults)
{
	const char *at = (const char *)args + o->offset,
		   *usual = (const char *)defaults + o->offset;
	bool wide = o->kind == OPTION_SIZE, flag = o->kind == OPTION_FLAG;
	int number = 0;
	uint64_t size = 0;

	if (o->kind == OPTION_TEXT || o->kind == OPTION_REFUSED ||
	    !memcmp(at, usual,
		wide   ? sizeof(size)
		: flag ? sizeof(bool)
		       : sizeof(number)))
		return;
	buf_printf(out, "option --%s", o->name);
	if (wide)
		memcpy(&size, at, sizeof(size));
	else if (!flag)
		memcpy(&number, at, sizeof(number));
	if (wide)
		buf_printf(out, " %" PRIu64, size);
	else if (o->kind == OPTION_SECONDS)
		buf_printf(out, " %d.%03d", number / 1000, number % 1000);
	else if (o->kind == OPTION_CHOICE)
		buf_printf(out, " %s", o->choices[number]);
	else if (!flag)
		buf_printf(out, " %d", number);
	buf_add_char(out, '\n');
}

void arguments_tell(struct buf *out, const struct copy_arguments *args, enum job_kind job)
{
	const struct copy_arguments defaults = DEFAULTS;
	struct job_table t;

	table_of(&t, job);
	for (size_t i = 0; i < t.count; i++)
		tell_option(out, &t.specs[i], args, &defaults);
}

static int fail(struct err *e, const char *text)
{
	return err_set(e, CAUSE_USAGE, ERR_RUN, "%s", text);
}

static int check_secret(const struct secret_origin *s, const char *side, struct err *e)
{
	if (!!s->file + !!s->env + !!s->command <= 1)
		return 0;
	return err_set(e, CAUSE_USAGE, ERR_RUN,
	    "give only one of --%s-password-file, --%s-password-env and --%s-password-command",
	    side, side, side);
}

/* $XDG_STATE_HOME/godwit, else ~/.local/state/godwit. */
static const char *default_state_dir(struct arena *a)
{
	const char *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	const struct passwd *user;

	if (xdg && *xdg == '/') /* the standard wants relative ones ignored */
		return arena_printf(a, "%s/godwit", xdg);
	if (!home || *home != '/') {
		user = getpwuid(getuid());
		home = user ? user->pw_dir : NULL;
	}
	return home && *home == '/' ? arena_printf(a, "%s/.local/state/godwit", home) : NULL;
}

int arguments_state_dir(const char **out, const char *given, struct arena *a, struct err *e)
{
	const char *dir = given ? given : default_state_dir(a);

	if (!dir)
		return fail(e, "neither XDG_STATE_HOME nor HOME is set; name a place for godwit's "
			       "memory with --state DIR");
	*out = dir;
	return 0;
}

/* A CA file that cannot be read would show only after the passwords were asked for. */
static int check_ca_file(const char *path, struct err *e)
{
	if (!path || access(path, R_OK) == 0)
		return 0;
	return err_set(
	    e, CAUSE_USAGE, ERR_RUN, "cannot read the CA file %s: %s", path, strerror(errno));
}

/* The real name of what is not there yet: that of its directory, and its own. NULL = errno. */
static char *real_new_path(struct arena *a, const char *path)
{
	char *text = arena_strdup(a, path), *slash, *real, *joined;

	for (size_t len = strlen(text); len > 1 && text[len - 1] == '/';)
		text[--len] = '\0';
	slash = strrchr(text, '/');
	if (slash)
		*slash = '\0';
	real = realpath(!slash ? "." : slash == text ? "/" : text, NULL);
	if (!real)
		return NULL;
	joined =
	    arena_printf(a, "%s%s%s", real, strcmp(real, "/") ? "/" : "", slash ? slash + 1 : text);
	free(real);
	return joined;
}

/* A path under its real name, so that one mailbox has one identity. */
static int complete_path(struct endpoint *end, struct arena *a, struct err *e)
{
	char *real, *text;

	if (!end->path)
		return 0;
	real = realpath(end->path, NULL);
	text = real ? arena_strdup(a, real) : NULL;
	free(real);
	if (!text && errno == ENOENT && end->side == ERR_DESTINATION)
		text = real_new_path(a, end->path);
	if (!text) {
		err_set(e, CAUSE_USAGE, ERR_RUN, "%s: cannot use the Maildir %s: %s",
		    end->side == ERR_SOURCE ? "source" : "destination", end->path, strerror(errno));
		if (e)
			e->side = end->side;
		return -1;
	}
	end->path = text;
	if (!end->identity_given)
		end->identity = arena_printf(a, "%s:%s", end->scheme, end->path);
	return 0;
}

static int complete_end(
    struct endpoint *end, const struct copy_arguments *args, const char *own_ca_file, struct err *e)
{
	end->ca_file = own_ca_file ? own_ca_file : args->ca_file;
	end->insecure = args->insecure;
	end->timeout_ms = args->timeout_ms;
	return check_ca_file(end->ca_file, e);
}

/* A lane has a connection at each end. */
static void obey_ceiling(struct copy_options *o, const struct endpoint *at)
{
	if (at->connections && (unsigned)at->connections < o->lanes)
		o->lanes = (unsigned)at->connections;
}

/* Both ports of IMAP lead to one server; a port of its own tells of another. */
static bool is_same_server(const struct endpoint *one, const struct endpoint *other)
{
	return one->port == other->port || (one->port == 143 && other->port == 993) ||
	       (one->port == 993 && other->port == 143);
}

static int parse_ends(struct copy_arguments *args, struct arena *a, const char *source,
    const char *destination, struct err *e)
{
	struct copy_options *o = &args->options;

	if (endpoint_parse(&o->source, a, source, ERR_SOURCE, e) < 0 ||
	    endpoint_parse(&o->destination, a, destination, ERR_DESTINATION, e) < 0)
		return -1;
	obey_ceiling(o, &o->source);
	obey_ceiling(o, &o->destination);
	if (complete_path(&o->source, a, e) < 0 || complete_path(&o->destination, a, e) < 0)
		return -1;
	if (!strcmp(o->source.identity, o->destination.identity) &&
	    is_same_server(&o->source, &o->destination))
		return err_set(e, CAUSE_USAGE, ERR_RUN,
		    "source and destination are the same mailbox, %s (if they are not, tell them "
		    "apart with ?id=NAME)",
		    o->source.identity);
	if (complete_end(&o->source, args, args->source_ca_file, e) < 0 ||
	    complete_end(&o->destination, args, args->destination_ca_file, e) < 0)
		return -1;
	return 0;
}

/* A seed that can be typed again. */
static uint64_t new_seed(void)
{
	return 1 + randombytes_uniform(1000000000);
}

static int complete_verify(struct copy_arguments *args, struct err *e)
{
	if (args->digest && args->sample)
		return fail(e, "--digest reads every message already; leave out --sample");
	if (args->seed && !args->sample)
		return fail(e, "--seed chooses a sample; say how many messages with --sample N");
	args->options.verify = (struct verify_options){.digest = args->digest,
	    .sample = args->sample,
	    .seed = args->seed || !args->sample ? args->seed : new_seed()};
	return 0;
}

static int complete(struct copy_arguments *args, enum job_kind job, struct arena *a, struct err *e)
{
	struct copy_options *o = &args->options;

	if (check_secret(&args->source_secret, "source", e) < 0 ||
	    check_secret(&args->destination_secret, "destination", e) < 0)
		return -1;
	if (job == JOB_COPY && arguments_state_dir(&o->state_dir, args->state_dir, a, e))
		return -1;
	o->max_size = args->max_size;
	o->settle_ms = args->settle_ms;
	o->lanes = (unsigned)args->lanes;
	o->retry_refused = args->retry_refused;
	if (args->keep_originals && !args->repair)
		return fail(e, "--keep-originals keeps what --repair changes; give both");
	o->repair = args->repair;
	o->keep_originals = args->keep_originals;
	o->all_namespaces = args->namespace == 1;
	o->deletions = (enum deletions)args->deletions;
	o->deletions_limit = (unsigned)args->deletions_limit;
	o->recreate = args->recreate;
	o->dry_run = args->dry_run;
	return complete_verify(args, e);
}

int arguments_parse(
    struct copy_arguments *args, struct arena *a, int count, char *const *argv, struct err *e)
{
	return arguments_parse_job(args, JOB_COPY, a, count, argv, e);
}

int arguments_parse_job(struct copy_arguments *args, enum job_kind job, struct arena *a, int count,
    char *const *argv, struct err *e)
{
	struct job_table known;
	struct option_table table = {job_names[job], known.specs, 0};
	const char *urls[2];
	int found;

	*args = DEFAULTS;
	table_of(&known, job);
	table.count = known.count;
	found = options_parse(&table, args, count, argv, urls, 2, e);
	if (found < 0)
		return -1;
	if (args->help)
		return 0;
	/* a third word is not repeated: it could be a password */
	if (found != 2)
		return err_set(e, CAUSE_USAGE, ERR_RUN,
		    "%s wants two URLs, SOURCE and DESTINATION; %d %s given, such as: godwit %s "
		    "imaps://anna@old.example imaps://anna@new.example",
		    job_names[job], found, found == 1 ? "was" : "were", job_names[job]);
	if (complete(args, job, a, e) < 0)
		return -1;
	return parse_ends(args, a, urls[0], urls[1], e);
}
