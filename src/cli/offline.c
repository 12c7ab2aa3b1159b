/* offline.c - options, names and errors of the commands that look into the state directory and at no
 * server (explain, ledger). Does not: open the ledger. */
#include "cli/offline.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/show.h"
#include "model/folder.h"

static const char *const output_names[] = {"text", "json", NULL};

#define AT(field) .offset = offsetof(struct offline, field)

static const struct option_spec specs[] = {
    {"state", .kind = OPTION_TEXT, AT(state)},
    {"output", .kind = OPTION_CHOICE, .choices = output_names, AT(output)},
    {"dry-run", .letter = 'n', .kind = OPTION_FLAG, AT(dry_run)},
    {"help", .letter = 'h', .kind = OPTION_FLAG, AT(help)},
};

int offline_parse(
    struct offline *o, const char *command, int count, char *const *words, struct err *e)
{
	const struct option_table table = {command, specs, COUNT_OF(specs)};

	*o = (struct offline){0};
	o->count =
	    options_parse(&table, o, count, words, o->operands, (int)COUNT_OF(o->operands), e);
	if (o->count < 0)
		return -1;
	return o->help ? 0 : arguments_state_dir(&o->dir, o->state, &o->arena, e);
}

void offline_free(struct offline *o)
{
	arena_free(&o->arena);
}

int offline_fail(const struct err *e)
{
	AUTO(buf_free) struct buf line = BUF_INIT(4096);

	buf_add_text(&line, "godwit: ");
	show_clean(&line, e->text);
	buf_add_char(&line, '\n');
	if (*e->detail) {
		buf_add_text(&line, "  ");
		show_clean(&line, e->detail);
		buf_add_char(&line, '\n');
	}
	if (*cause_remedy(e->cause))
		buf_printf(&line, "  %s\n", cause_remedy(e->cause));
	output_write(STDERR_FILENO, buf_view(&line));
	return cause_exit(e->cause) ? cause_exit(e->cause) : cause_exit(CAUSE_BUG);
}

void offline_print(const struct buf *text)
{
	output_write(STDOUT_FILENO, buf_view(text));
}

int offline_identity(
    struct offline *o, const char *text, enum err_side side, const char **out, struct err *e)
{
	struct endpoint end;

	if (strstr(text, "://")) {
		if (endpoint_parse(&end, &o->arena, text, side, e))
			return -1;
		*out = end.identity;
		return 0;
	}
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return err_set(e, CAUSE_USAGE, ERR_RUN,
			    "control characters do not belong into the name of a mailbox");
	if (!*text)
		return err_set(e, CAUSE_USAGE, ERR_RUN, "the name of a mailbox is empty");
	*out = text;
	return 0;
}

char *offline_text(struct view bytes, struct arena *a)
{
	char *text = arena_new(a, bytes.len + 8, 1);

	text_printable(text, bytes.len + 8, bytes.len ? bytes.data : "", bytes.len);
	return text;
}

char *offline_path(const struct inspect_record *folder, struct arena *a)
{
	const struct inspect_value *path = inspect_find(folder, "target_path");
	size_t count = path ? path->count : 0;
	char **parts = arena_new(a, count + 1, sizeof(*parts));

	for (size_t i = 0; i < count; i++)
		parts[i] = arena_text(a, path->list[i]);
	return count ? folder_display(a, parts, count) : arena_strdup(a, "");
}

void offline_time(char out[40], int64_t seconds)
{
	time_t when = (time_t)seconds;
	struct tm utc;

	snprintf(out, 40, "an unknown time");
	if (gmtime_r(&when, &utc))
		strftime(out, 40, "%Y-%m-%d %H:%M:%S UTC", &utc);
}
