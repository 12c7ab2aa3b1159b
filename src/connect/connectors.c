/* connectors.c - which connector serves which URL scheme. */
#include "connect/connectors.h"

#include <string.h>

const struct connector *connector_find(const char *scheme)
{
	static const struct connector *const all[] = {&imap_connector, &maildir_connector};

	for (size_t i = 0; i < COUNT_OF(all); i++)
		if (!strcmp(all[i]->scheme, scheme))
			return all[i];
	return NULL;
}
