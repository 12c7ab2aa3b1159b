/* maildir_name_fuzz.c - file names and line ends of a Maildir that anybody may have written: an id stays
 * what it is when flags change, what godwit names it knows again, and what lies on disk with LF alone
 * comes back byte for byte, however it is read. */
#include "base/pack.h"
#include "connect/maildir/maildir.h"
#include "fuzz.h"

enum { OUT_MAX = 1 << 20 };

static void check_name(const char *name)
{
	struct maildir_name n, again;
	char id[MAILDIR_ID], renamed[MAILDIR_NAME];

	if (strlen(name) > 255)
		return; /* no file is called so */
	maildir_name_parse(&n, name);
	must(n.unique.len <= strlen(name) && n.unique.data == name, "the id begins the name");
	maildir_name_id(id, n.unique);
	for (const char *c = id; *c; c++)
		must(*c > 0x20 && *c < 0x7f, "an id is printable");
	if (maildir_name_relabel(renamed, name, "FSab"))
		return;
	maildir_name_parse(&again, renamed);
	must(view_eq(n.unique, again.unique) && again.ours == n.ours && again.raw == n.raw &&
		 again.size == n.size && again.wire_size == n.wire_size,
	    "other flags are no other message");
	must(view_is(again.letters, "FSab"), "and are read again");
}

static void check_ours(struct view input)
{
	struct unpack u = unpack_start(input);
	uint64_t seconds = unpack_u32(&u), micros = unpack_u16(&u);
	uint64_t size = unpack_u32(&u), wire_size = unpack_u64(&u);
	unsigned char key[MAILDIR_KEY];
	struct maildir_name n;
	char name[MAILDIR_NAME];
	bool raw;

	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = unpack_u8(&u);
	raw = unpack_u8(&u) & 1;
	maildir_name_print(name, seconds, micros, key, raw, size, wire_size);
	maildir_name_parse(&n, name);
	must(n.ours && n.raw == raw && n.seconds == seconds && n.micros == micros && n.has_size &&
		 n.size == size && n.has_wire_size && n.wire_size == wire_size &&
		 !memcmp(n.key, key, sizeof(key)),
	    "what godwit names it knows again");
}

typedef int convert(struct buf *out, struct view piece, bool *cr);

static void convert_cut(
    struct buf *out, struct view text, convert *how, struct dice *dice, size_t most)
{
	bool cr = false;

	while (text.len)
		must(!how(out, dice_cut(dice, &text, most), &cr), "there is room");
	if (cr && how == maildir_lines_to_disk)
		buf_add_char(out, '\r'); /* held back for an LF that did not come */
}

static void check_lines(struct view text, size_t most)
{
	AUTO(buf_free)
	struct buf disk = BUF_INIT(OUT_MAX), wire = BUF_INIT(2 * OUT_MAX),
		   whole = BUF_INIT(OUT_MAX);
	struct dice dice = dice_of(text);
	struct maildir_lines l = {0}, once = {0};

	for (struct view rest = text; rest.len;)
		maildir_lines_feed(&l, dice_cut(&dice, &rest, most));
	maildir_lines_feed(&once, text);
	must(l.bytes == text.len && l.line_feeds == once.line_feeds && l.bare == once.bare &&
		 l.doubled == once.doubled,
	    "the cuts do not matter to what is counted");
	convert_cut(&disk, text, maildir_lines_to_disk, &dice, most);
	convert_cut(&whole, text, maildir_lines_to_disk, &dice, text.len + 1);
	must(view_eq(buf_view(&disk), buf_view(&whole)), "nor to what lies on disk");
	convert_cut(&wire, buf_view(&disk), maildir_lines_to_wire, &dice, most);
	must(!maildir_lines_plain(&l) || view_eq(buf_view(&wire), text),
	    "what may lie on disk with LF alone comes back as it was");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view input = view_make(data, size);
	struct arena a AUTO(arena_free) = ARENA_INIT;

	check_name(arena_text(&a, input));
	check_ours(input);
	check_lines(input, 1);
	check_lines(input, 5);
	return 0;
}
