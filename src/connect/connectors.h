/* connectors.h - the table of services. A new one adds its line here and in connectors.c. */
#pragma once

#include "connect/connector.h"

extern const struct connector imap_connector;
extern const struct connector maildir_connector;
