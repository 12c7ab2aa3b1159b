/* commands.c - the command table, and the commands that only talk: help and version.
 * Promises: what is listed works. Does not: read any command's options. */
#include "cli/commands.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/output.h"
#include "cli/show.h"
#include "cli/suggest.h"

static int help_command(int count, char **words);
static int version_command(int count, char **words);

static const char *const help_help[] = {
    "godwit help [COMMAND]\n\nSay what godwit can do, or all about one command.\n", NULL};
static const char *const version_help[] = {"godwit version\n\nPrint the version.\n", NULL};

static const struct command table[] = {
    {"copy", copy_command, "SOURCE DESTINATION", "copy a mailbox; again to bring what is new since",
	copy_help},
    {"check", check_command, "SOURCE DESTINATION", "say what a copy would meet; changes nothing",
	check_help},
    {"verify", verify_command, "SOURCE DESTINATION", "compare both sides; changes nothing",
	verify_help},
    {"explain", explain_command, "SOURCE DESTINATION ...", "say what godwit remembers, and why",
	explain_help},
    {"ledger", ledger_command, "...", "list, rename, export, import, rebuild the state",
	ledger_help},
    {"help", help_command, "[COMMAND]", "all about a command", help_help},
    {"version", version_command, "", "print the version", version_help},
};

const struct command *commands_at(size_t n)
{
	return n < COUNT_OF(table) ? &table[n] : NULL;
}

void commands_print(int fd, const char *const *parts)
{
	for (; *parts; parts++)
		output_write(fd, view_of(*parts));
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(table); i++)
		if (!strcmp(table[i].name, name))
			return &table[i];
	return NULL;
}

static void print_overview(int fd)
{
	AUTO(buf_free) struct buf out = BUF_INIT(8192);
	char usage[60];

	buf_add_text(&out,
	    "godwit copies mailboxes between IMAP servers and Maildirs: every message once.\n\n"
	    "  godwit copy imaps://anna@old.example imaps://anna@new.example\n\n"
	    "Commands:\n");
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		snprintf(usage, sizeof(usage), "%s %s", table[i].name, table[i].needs);
		buf_printf(&out, "  %-25s %s\n", usage, table[i].help);
	}
	buf_add_text(&out, "\ngodwit help COMMAND tells all about one; man godwit, everything.\n");
	output_write(fd, buf_view(&out));
}

static int fail_usage(const char *text)
{
	AUTO(buf_free) struct buf line = BUF_INIT(1024);

	buf_add_text(&line, "godwit: ");
	show_clean(&line, text);
	buf_printf(&line, "\n  %s\n", cause_remedy(CAUSE_USAGE));
	output_write(STDERR_FILENO, buf_view(&line));
	return cause_exit(CAUSE_USAGE);
}

static int fail_unknown(const char *name)
{
	const char *near = suggest_name(name, table, COUNT_OF(table), sizeof(table[0]));
	char text[300];

	if (near)
		snprintf(text, sizeof(text), "there is no command '%.60s'; did you mean %s?", name,
		    near);
	else
		snprintf(text, sizeof(text), "there is no command '%.60s'", name);
	return fail_usage(text);
}

static int help_command(int count, char **words)
{
	const struct command *command;

	if (!count || words[0][0] == '-') {
		print_overview(STDOUT_FILENO);
		return 0;
	}
	command = find_command(words[0]);
	if (!command)
		return fail_unknown(words[0]);
	commands_print(STDOUT_FILENO, command->text);
	return 0;
}

static int version_command(int count, char **words)
{
	(void)count;
	(void)words;
	output_write(STDOUT_FILENO, view_of("godwit " GODWIT_VERSION "\n"));
	return 0;
}

int commands_run(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : NULL;
	const struct command *command;

	if (!word) {
		print_overview(STDERR_FILENO);
		return cause_exit(CAUSE_USAGE);
	}
	if (!strcmp(word, "--help") || !strcmp(word, "-h"))
		return help_command(0, NULL);
	if (!strcmp(word, "--version"))
		return version_command(0, NULL);
	if (word[0] == '-')
		return fail_usage(
		    "the command comes first, such as: godwit copy SOURCE DESTINATION");
	command = find_command(word);
	return command ? command->run(argc - 2, argv + 2) : fail_unknown(word);
}
