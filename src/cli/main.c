/* main.c - the program godwit: makes the process safe for secrets, then runs the command asked for
 * (commands.c has the table). Does not: anything else. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "base/error.h"
#include "cli/commands.h"

/* A closed standard stream would be given to the first socket we open. */
static void fill_standard_streams(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

/* Passwords pass through this process: no core dumps, no debugger of the same user, and what is
 * written is for its owner alone. */
static void protect_secrets(void)
{
	const struct rlimit none = {0, 0};

	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	umask(077);
}

int main(int argc, char **argv)
{
	fill_standard_streams();
	protect_secrets();
	if (sodium_init() < 0) /* chooses the fast ways of this processor, for all threads */
		return cause_exit(CAUSE_BUG);
	return commands_run(argc, argv);
}
