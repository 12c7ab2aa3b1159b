/* arguments.c - the options of `godwit copy` and what they amount to.
 * Promises: whatever contradicts itself is refused here, before anything is touched; no secret is
 * taken from the command line. Does not: open files or connections. */
#include "cli/arguments.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/options.h"

static const char *const output_names[] = {"text", "json", NULL};
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
    {"retry-refused", .kind = OPTION_FLAG, AT(retry_refused)},
    {"namespace", .kind = OPTION_CHOICE, .choices = namespace_names, AT(namespace)},
    {"report", .kind = OPTION_TEXT, AT(report)},
    {"output", .kind = OPTION_CHOICE, .choices = output_names, AT(output)},
    {"debug", .kind = OPTION_FLAG, AT(debug)},
    {"quiet", .letter = 'q', .kind = OPTION_FLAG, AT(quiet)},
    {"help", .letter = 'h', .kind = OPTION_FLAG, AT(help)},
    {"password", .kind = OPTION_REFUSED, .help = NO_PASSWORD},
    {"source-password", .kind = OPTION_REFUSED, .help = NO_PASSWORD},
    {"destination-password", .kind = OPTION_REFUSED, .help = NO_PASSWORD},
};

static const struct option_table table = {"copy", specs, COUNT_OF(specs)};

const char *arguments_option(size_t n)
{
	return n < COUNT_OF(specs) && specs[n].kind != OPTION_REFUSED ? specs[n].name : NULL;
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

static int parse_ends(struct copy_arguments *args, struct arena *a, const char *source,
    const char *destination, struct err *e)
{
	struct copy_options *o = &args->options;

	if (endpoint_parse(&o->source, a, source, ERR_SOURCE, e) < 0 ||
	    endpoint_parse(&o->destination, a, destination, ERR_DESTINATION, e) < 0)
		return -1;
	if (complete_path(&o->source, a, e) < 0 || complete_path(&o->destination, a, e) < 0)
		return -1;
	if (!strcmp(o->source.identity, o->destination.identity))
		return err_set(e, CAUSE_USAGE, ERR_RUN,
		    "source and destination are the same mailbox, %s (the port does not count; "
		    "where it should, tell them apart with ?id=NAME)",
		    o->source.identity);
	if (complete_end(&o->source, args, args->source_ca_file, e) < 0 ||
	    complete_end(&o->destination, args, args->destination_ca_file, e) < 0)
		return -1;
	return 0;
}

static int complete(struct copy_arguments *args, struct arena *a, struct err *e)
{
	struct copy_options *o = &args->options;

	if (check_secret(&args->source_secret, "source", e) < 0 ||
	    check_secret(&args->destination_secret, "destination", e) < 0)
		return -1;
	o->state_dir = args->state_dir ? args->state_dir : default_state_dir(a);
	if (!o->state_dir)
		return fail(e, "neither XDG_STATE_HOME nor HOME is set; name a place for godwit's "
			       "memory with --state DIR");
	o->max_size = args->max_size;
	o->settle_ms = args->settle_ms;
	o->retry_refused = args->retry_refused;
	o->all_namespaces = args->namespace == 1;
	return 0;
}

int arguments_parse(
    struct copy_arguments *args, struct arena *a, int count, char *const *argv, struct err *e)
{
	const char *urls[2];
	int found;

	*args = (struct copy_arguments){.timeout_ms = 60000, .settle_ms = 5000};
	found = options_parse(&table, args, count, argv, urls, 2, e);
	if (found < 0)
		return -1;
	if (args->help)
		return 0;
	/* a third word is not repeated: it could be a password */
	if (found != 2)
		return err_set(e, CAUSE_USAGE, ERR_RUN,
		    "copy wants two URLs, SOURCE and DESTINATION; %d %s given, such as: godwit "
		    "copy "
		    "imaps://anna@old.example imaps://anna@new.example",
		    found, found == 1 ? "was" : "were");
	if (complete(args, a, e) < 0)
		return -1;
	return parse_ends(args, a, urls[0], urls[1], e);
}
