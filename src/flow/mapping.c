/* mapping.c - which folders travel, and where one lies at the destination. Below folders.c (a pass,
 * which makes folders) and pair.c (which only looks), so that both give one answer. */
#include "flow/mapping.h"

#include <string.h>

#define RAW_MAX 8000
#define DEPTH_MAX 1000

bool mapping_is_too_long(const struct folder *f)
{
	return f->raw.len > RAW_MAX || f->depth > DEPTH_MAX;
}

bool mapping_is_carried(const struct folder *f, bool all_namespaces)
{
	if (mapping_is_too_long(f))
		return false;
	return f->selectable && (f->space == SPACE_PERSONAL || all_namespaces);
}

bool mapping_same_path(char *const *a, size_t a_depth, char *const *b, size_t b_depth)
{
	if (a_depth != b_depth)
		return false;
	for (size_t i = 0; i < a_depth; i++)
		if (strcmp(a[i], b[i]))
			return false;
	return true;
}

const struct folder *mapping_find_path(
    const struct folder_list *list, char *const *parts, size_t depth)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->folders[i].space == SPACE_PERSONAL &&
		    mapping_same_path(list->folders[i].parts, list->folders[i].depth, parts, depth))
			return &list->folders[i];
	return NULL;
}
