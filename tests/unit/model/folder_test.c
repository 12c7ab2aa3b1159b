/* folder_test.c - lists, display names, folding, and what well-known names mean. */
#include "model/folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/role_names.h"

/* PATH has its parts between '/'. */
static struct folder *add(struct folder_list *l, const char *path, enum folder_role role)
{
	struct folder *f = folder_list_add(l);
	char *text = arena_strdup(&l->arena, path);

	f->raw = view_of(arena_strdup(&l->arena, path));
	f->parts = arena_new(&l->arena, strlen(path) + 1, sizeof(*f->parts));
	for (char *part; (part = strsep(&text, "/"));)
		f->parts[f->depth++] = part;
	f->role = role;
	f->role_declared = role != ROLE_NONE;
	f->selectable = true;
	return f;
}

static void test_list(void **state)
{
	struct folder_list l = {0};
	char name[20];

	(void)state;
	assert_null(folder_list_find(&l, view_of("x")));
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "folder%d", i);
		add(&l, name, i == 42 ? ROLE_SENT : ROLE_NONE);
	}
	assert_int_equal(l.count, 100);
	assert_string_equal(folder_list_find(&l, view_of("folder77"))->parts[0], "folder77");
	assert_null(folder_list_find(&l, view_of("Folder77"))); /* raw names are bytes */
	assert_ptr_equal(folder_list_role(&l, ROLE_SENT), &l.folders[42]);
	assert_null(folder_list_role(&l, ROLE_TRASH));
	folder_list_free(&l);
	folder_list_free(&l);
}

static void test_display(void **state)
{
	static const struct {
		char parts[3][8];
		size_t depth;
		const char *text;
	} rows[] = {
	    {{"INBOX"}, 1, "INBOX"},
	    {{"Archive", "2024"}, 2, "Archive/2024"},
	    {{"a/b", "c\\d", "e"}, 3, "a\\/b/c\\\\d/e"},
	    {{"\\/"}, 1, "\\\\\\/"},
	    {{""}, 0, ""},
	};
	struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char *parts[3];
		for (size_t k = 0; k < 3; k++)
			parts[k] = arena_strdup(&a, rows[i].parts[k]);
		assert_string_equal(folder_display(&a, parts, rows[i].depth), rows[i].text);
	}
	arena_free(&a);
}

static void test_fold(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
	    {"", ""}, {"Sent", "sent"}, {"  Sent\t", "sent"}, {" ", " "},
	    {"ENTW\u00dcRFE", "entw\u00fcrfe"},
	    {"Entwu\u0308rfe", "entw\u00fcrfe"}, /* NFD, as macOS writes it */
	    {"Stra\u00dfe", "strasse"}, {"\u3000\u4e0b\u66f8\u304d\u3000", "\u4e0b\u66f8\u304d"},
	    {"\u00a0x\u2003", "x"}, {"bad\xff\xfe Name", "bad\xff\xfe Name"}, /* by its bytes */
	};
	struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_string_equal(folder_fold(&a, rows[i].in), rows[i].out);
	arena_free(&a);
}

/* The table is searched by folded names: each of its own must be one. */
static void test_table_is_folded(void **state)
{
	struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(role_names); i++) {
		assert_string_equal(folder_fold(&a, role_names[i].name), role_names[i].name);
		assert_int_equal(folder_role_by_name(role_names[i].name), role_names[i].role);
	}
	arena_free(&a);
}

static void test_role_by_name(void **state)
{
	static const struct {
		const char *name;
		enum folder_role role;
	} rows[] = {
	    {"Sent", ROLE_SENT},
	    {"SENT ITEMS", ROLE_SENT},
	    {"Sent Mail", ROLE_SENT},
	    {"Gesendete Elemente", ROLE_SENT},
	    {"Gesendete Objekte", ROLE_SENT},
	    {"Gelöschte Elemente", ROLE_TRASH},
	    {"Gelo\u0308schte Elemente", ROLE_TRASH},
	    {"GELÖSCHTE ELEMENTE", ROLE_TRASH},
	    {"Papierkorb", ROLE_TRASH},
	    {"Entwürfe", ROLE_DRAFTS},
	    {"Junk-E-Mail", ROLE_JUNK},
	    {"Éléments envoyés", ROLE_SENT},
	    {"E\u0301le\u0301ments supprime\u0301s", ROLE_TRASH},
	    {"Borradores", ROLE_DRAFTS},
	    {"Posta inviata", ROLE_SENT},
	    {"Lixeira", ROLE_TRASH},
	    {"Verwijderde items", ROLE_TRASH},
	    {"Wysłane", ROLE_SENT},
	    {"Odeslaná pošta", ROLE_SENT},
	    {"Skräppost", ROLE_JUNK},
	    {"Sendt post", ROLE_SENT},
	    {"Søppelpost", ROLE_JUNK},
	    {"Lähetetyt", ROLE_SENT},
	    {"Piszkozatok", ROLE_DRAFTS},
	    {"Gönderilmiş Öğeler", ROLE_SENT},
	    {"İstenmeyen", ROLE_JUNK},
	    {"Отправленные", ROLE_SENT},
	    {"КОРЗИНА", ROLE_TRASH},
	    {"Надіслані", ROLE_SENT},
	    {"Κάδος απορριμμάτων", ROLE_TRASH},
	    {"送信済みアイテム", ROLE_SENT},
	    {"ゴミ箱", ROLE_TRASH},
	    {"已发送邮件", ROLE_SENT},
	    {"寄件備份", ROLE_SENT},
	    {"보낸 편지함", ROLE_SENT},
	    {" Trash ", ROLE_TRASH},
	    {"Archive", ROLE_ARCHIVE},
	    {"INBOX", ROLE_NONE},
	    {"Important", ROLE_NONE},
	    {"Sent2", ROLE_NONE},
	    {"", ROLE_NONE},
	    {"\xff\xff", ROLE_NONE},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (folder_role_by_name(rows[i].name) != rows[i].role)
			fail_msg("%s", rows[i].name);
}

static void test_role_attributes(void **state)
{
	(void)state;
	for (int role = 0; role < ROLE_COUNT; role++) {
		const char *attribute = folder_role_attribute((enum folder_role)role);
		assert_non_null(folder_role_name((enum folder_role)role));
		if (attribute)
			assert_int_equal(folder_role_by_attribute(view_of(attribute)), role);
	}
	assert_string_equal(folder_role_name(ROLE_NONE), "");
	assert_string_equal(folder_role_name(ROLE_SENT), "sent");
	assert_int_equal(folder_role_by_attribute(view_of("\\SENT")), ROLE_SENT);
	assert_int_equal(folder_role_by_attribute(view_of("\\HasChildren")), ROLE_NONE);
	assert_int_equal(folder_role_by_attribute(view_of("")), ROLE_NONE);
}

struct guess {
	const char *path;
	enum folder_role declared, found;
	enum folder_space space;
	bool unselectable;
};

static void check_guess(const struct guess *rows, size_t count)
{
	for (int backwards = 0; backwards < 2; backwards++) {
		struct folder_list l = {0};
		for (size_t i = 0; i < count; i++) {
			const struct guess *row = &rows[backwards ? count - 1 - i : i];
			struct folder *f = add(&l, row->path, row->declared);
			f->space = row->space;
			f->selectable = !row->unselectable;
		}
		folder_list_guess_roles(&l);
		for (size_t i = 0; i < count; i++)
			if (folder_list_find(&l, view_of(rows[i].path))->role != rows[i].found)
				fail_msg("%s", rows[i].path);
		folder_list_free(&l);
	}
}

static void test_guess(void **state)
{
	static const struct guess plain[] = {
	    {.path = "INBOX", .found = ROLE_INBOX},
	    {.path = "Sent", .found = ROLE_SENT},
	    {.path = "Sent Items"}, /* comes after "sent" */
	    {.path = "INBOX/Papierkorb", .found = ROLE_TRASH},
	    {.path = "INBOX/a/Drafts"}, /* too deep */
	    {.path = "x/Junk"},
	    {.path = "Archiv", .found = ROLE_ARCHIVE},
	};
	static const struct guess declared[] = {
	    {.path = "INBOX", .declared = ROLE_INBOX, .found = ROLE_INBOX},
	    {.path = "Sent"},
	    {.path = "Gesendet", .declared = ROLE_SENT, .found = ROLE_SENT},
	    {.path = "Spam", .declared = ROLE_ARCHIVE, .found = ROLE_ARCHIVE},
	    {.path = "Junk", .found = ROLE_JUNK},
	};
	static const struct guess spaces[] = {
	    {.path = "Sent", .space = SPACE_SHARED},
	    {.path = "Trash", .space = SPACE_OTHERS},
	    {.path = "Drafts", .unselectable = true},
	    {.path = "INBOX/Sent", .found = ROLE_SENT},
	};

	(void)state;
	check_guess(plain, COUNT_OF(plain));
	check_guess(declared, COUNT_OF(declared));
	check_guess(spaces, COUNT_OF(spaces));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_list),
	    cmocka_unit_test(test_display),
	    cmocka_unit_test(test_fold),
	    cmocka_unit_test(test_table_is_folded),
	    cmocka_unit_test(test_role_by_name),
	    cmocka_unit_test(test_role_attributes),
	    cmocka_unit_test(test_guess),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
