/* mapping.h - which folders travel, and where one lies at the destination: what a pass and those who
 * only look must answer alike. Pure. */
#pragma once

#include "model/names.h"

#define MAPPING_ATTEMPTS 4 /* forms in which a folder's name is tried */

/* Can its name be carried at all? The ledger keeps names whole. */
bool mapping_is_too_long(const struct folder *f);
/* Is it one that a pass copies? ALL_NAMESPACES: shared and other users' folders too. */
bool mapping_is_carried(const struct folder *f, bool all_namespaces);
bool mapping_same_path(char *const *a, size_t a_depth, char *const *b, size_t b_depth);
/* The personal folder with that path, NULL = none. */
const struct folder *mapping_find_path(
    const struct folder_list *list, char *const *parts, size_t depth);
