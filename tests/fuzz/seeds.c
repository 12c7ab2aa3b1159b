/* seeds.c - fuzz_seeds OUT: the first inputs of those fuzzers that read packed bytes, made by the program's
 * own packers: frames for OUT/worker, OUT/remote and OUT/frames, records for OUT/ledger. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "fleet/protocol.h"
#include "ledger/schema.h"
#include "model/exception.h"
#include "model/job.h"

enum { SEED_MAX = 1 << 20 };

static const char *out_dir;

static void write_seed(const char *target, const char *name, const struct buf *b)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s/%s", out_dir, target, name);
	file = fopen(path, "wb");
	if (!file || fwrite(b->data, 1, b->len, file) != b->len || fclose(file)) {
		perror(path);
		exit(1);
	}
}

/* PAYLOAD as a frame of a channel; empty again afterwards. */
static void add_frame(struct buf *out, uint8_t type, struct buf *payload)
{
	pack_u32(out, (uint32_t)payload->len);
	pack_u8(out, type);
	buf_add_view(out, buf_view(payload));
	buf_clear(payload);
}

static void add_result(struct buf *out, struct buf *payload, const struct err *e)
{
	struct job_summary all = {.copy = {.checked = true, .source_software = "Dovecot"},
	    .survey = {.keywords = SURVEY_KEYWORDS_TAKEN, .quota_told = true}};

	buf_add(payload, &all, sizeof(all));
	pack_u8(payload, e != NULL);
	if (e)
		fleet_pack_error(payload, e);
	add_frame(out, FLEET_RESULT, payload);
}

static void add_told(struct buf *out, struct buf *payload)
{
	struct copy_progress progress = {.phase = COPY_COPYING, .folder = "Archive/2019"};
	struct exception x = {CAUSE_TOO_BIG, "INBOX", "", "17", "<a@b>", "52 bytes too many"};

	buf_add(payload, &progress, sizeof(progress));
	add_frame(out, FLEET_PROGRESS, payload);
	pack_text(payload, "INBOX");
	pack_text(payload, "INBOX");
	pack_varint(payload, 17);
	pack_varint(payload, 300);
	add_frame(out, FLEET_FOLDER, payload);
	exception_pack(payload, &x);
	add_frame(out, FLEET_EXCEPTION, payload);
	buf_add_text(payload, "waiting 30 s: throttled");
	add_frame(out, FLEET_NOTE, payload);
	pack_u8(payload, ERR_SOURCE);
	pack_u8(payload, 0);
	add_frame(out, FLEET_SECRET_ASK, payload);
}

static void add_report(struct buf *out, struct buf *payload, enum job_kind kind)
{
	struct folder_report r = {.kind = kind, .survey = {.there = true}};

	pack_text(payload, "INBOX");
	pack_text(payload, "INBOX");
	pack_view(payload, view_make(&r, sizeof(r)));
	add_frame(out, FLEET_REPORT, payload);
}

/* Writes three keys, reads them both ways, asks for a barrier. */
static void add_store_work(struct buf *out, struct buf *payload)
{
	struct store_batch batch;

	store_batch_init(&batch);
	store_batch_put(&batch, view_of("k1"), view_of("one"));
	store_batch_put(&batch, view_of("k2"), view_of("two"));
	store_batch_delete(&batch, view_of("k3"));
	buf_add_view(payload, buf_view(&batch.ops));
	add_frame(out, STORE_WRITE, payload);
	store_batch_free(&batch);
	pack_u64(payload, 1);
	add_frame(out, STORE_BARRIER, payload);
	pack_u32(payload, 1);
	pack_text(payload, "k");
	pack_text(payload, "k1");
	pack_u32(payload, 0);
	add_frame(out, STORE_SCAN, payload);
	pack_u32(payload, 2);
	pack_text(payload, "k1");
	pack_text(payload, "k9");
	add_frame(out, STORE_GET, payload);
}

static void seed_worker(struct buf *out, struct buf *payload)
{
	struct err e = {.cause = CAUSE_CONNECT, .scope = ERR_MAILBOX, .text = "hung up"};

	buf_add_char(out, 'c');
	add_told(out, payload);
	add_store_work(out, payload);
	add_result(out, payload, NULL);
	write_seed("worker", "copy", out);
	buf_clear(out);
	buf_add_char(out, 'v');
	add_report(out, payload, JOB_VERIFY);
	add_report(out, payload, JOB_CHECK);
	add_result(out, payload, &e);
	write_seed("worker", "look", out);
	buf_clear(out);
}

/* Bools that are none, found by the fuzzer: each in a frame of the right size. */
static void seed_no_bools(struct buf *out, struct buf *payload)
{
	struct job_summary all;

	buf_add_char(out, 'v');
	memset(&all, 'B', sizeof(all));
	buf_add(payload, &all, sizeof(all));
	pack_u8(payload, 0);
	add_frame(out, FLEET_RESULT, payload);
	write_seed("worker", "no bools", out);
	buf_clear(out);
}

static void add_rows(struct buf *out, struct buf *payload, uint32_t request, uint8_t more,
    const char *first, const char *last)
{
	pack_u32(payload, request);
	pack_u8(payload, more);
	for (; first; first = first == last ? NULL : last) {
		pack_text(payload, first);
		pack_text(payload, "value");
	}
	add_frame(out, STORE_ROWS, payload);
}

static void seed_remote(struct buf *out, struct buf *payload)
{
	add_store_work(out, payload);
	add_frame(out, FLEET_NOTE, payload); /* here it means: commit */
	write_seed("remote", "worker", out);
	buf_clear(out);
	pack_u64(payload, 1);
	add_frame(out, STORE_DURABLE, payload);
	add_rows(out, payload, 1, 1, "k1", "k2");
	add_rows(out, payload, 2, 0, "k3", "k4");
	add_frame(out, FLEET_SECRET, payload);
	add_rows(out, payload, 3, 0, "k1", "k9");
	pack_u64(payload, 2);
	add_frame(out, STORE_DURABLE, payload);
	pack_u8(payload, CAUSE_STATE);
	pack_text(payload, "the disk is full");
	add_frame(out, STORE_FAILED, payload);
	write_seed("remote", "controller", out);
	buf_clear(out);
}

static void seed_frames(struct buf *out)
{
	struct exception x = {CAUSE_REFUSED, "A\\/B", "A_B", "7", "<x@y>", "says NO"};
	struct err e = {.cause = CAUSE_THROTTLED,
	    .scope = ERR_RUN,
	    .next = ERR_WAIT,
	    .wait_s = 30,
	    .side = ERR_DESTINATION,
	    .text = "slow down",
	    .detail = "NO [THROTTLED]"};

	exception_pack(out, &x);
	write_seed("frames", "exception", out);
	buf_clear(out);
	fleet_pack_error(out, &e);
	write_seed("frames", "error", out);
	buf_clear(out);
}

static void add_record(
    struct buf *out, uint8_t kind, uint8_t number, const char *id, const struct buf *value)
{
	pack_u8(out, kind);
	pack_u8(out, number);
	pack_text(out, id);
	pack_view(out, buf_view(value));
}

static void add_rows_of_folder(struct buf *out, struct buf *value)
{
	struct ledger_row row = {.state = ROW_STORED,
	    .target_id = view_of("9"),
	    .size = 300,
	    .pass = 1,
	    .source_base = 1,
	    .target_base = 1,
	    .object = 5};

	schema_put_row(value, &row);
	add_record(out, 2, 1, "7", value);
	row.state = ROW_REFUSED;
	row.cause = CAUSE_TOO_BIG;
	row.reason = "too big";
	schema_put_row(value, &row);
	add_record(out, 2, 1, "8", value);
}

static void add_intents(struct buf *out, struct buf *value)
{
	struct ledger_intent i = {.state = INTENT_OPEN,
	    .identity = {.size = 300, .odd = true},
	    .date = {.known = true, .instant = 1500000000},
	    .flags = 1,
	    .msgid = "<a@b>"};

	schema_put_intent(value, &i);
	add_record(out, 3, 1, "9", value);
	i.state = INTENT_UNLOCATED;
	i.identity.odd = false;
	schema_put_intent(value, &i);
	add_record(out, 3, 1, "7", value);
}

static void seed_ledger(struct buf *out, struct buf *value)
{
	struct schema_pair pair = {"a@one.example", "a@two.example", 3, 1500000000};
	char inbox[] = "INBOX", *parts[] = {inbox};
	struct ledger_folder f = {.source_raw = view_of("INBOX"),
	    .target_parts = parts,
	    .target_depth = 1,
	    .target_raw = view_of("INBOX"),
	    .cursor = {"1 10 5"},
	    .tail = {"2 9"},
	    .finished = 2,
	    .stored = 1,
	    .refused = 1};

	schema_put_pair(value, &pair);
	add_record(out, 0, 0, "", value);
	schema_put_folder(value, &f);
	add_record(out, 1, 1, "", value);
	buf_clear(value);
	buf_add_text(value, "\\Seen Work");
	add_record(out, 4, 1, "", value);
	add_rows_of_folder(out, value);
	write_seed("ledger", "quiet", out);
	add_intents(out, value);
	write_seed("ledger", "in doubt", out);
	buf_clear(out);
}

int main(int argc, char **argv)
{
	struct buf out = BUF_INIT(SEED_MAX), payload = BUF_INIT(SEED_MAX);

	if (argc != 2) {
		fputs("fuzz_seeds OUT\n", stderr);
		return 2;
	}
	out_dir = argv[1];
	seed_worker(&out, &payload);
	seed_no_bools(&out, &payload);
	seed_remote(&out, &payload);
	seed_frames(&out);
	seed_ledger(&out, &payload);
	buf_free(&out);
	buf_free(&payload);
	return 0;
}
