/* breaking_layer.c - see the header. First the layer over memory, then the one over a layer. The descriptor is an eventfd: always readable (so that waits
 * end at once and the script goes on), until the layer is silent. */
#include "net/breaking_layer.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct breaking {
	struct layer layer; /* first: the callbacks cast */
	struct breaking_script script;
	size_t read;
	size_t wrote;
	bool paused;
	int lively;
	int quiet;
};

static size_t piece_of(const struct breaking *b, size_t left, size_t size)
{
	size_t n = left < size ? left : size;
	return b->script.piece && n > b->script.piece ? b->script.piece : n;
}

static bool pauses(struct breaking *b)
{
	b->paused = b->script.pauses && !b->paused;
	return b->paused;
}

static ptrdiff_t breaking_read(struct layer *l, void *out, size_t size, struct err *e)
{
	struct breaking *b = (struct breaking *)l;
	size_t left = b->script.input.len - b->read;
	if (pauses(b))
		return LAYER_AGAIN;
	if (left == 0 && b->script.end == BREAK_FAIL) {
		err_set(e, CAUSE_CONNECT, ERR_LINK, "broke");
		return LAYER_FAILED;
	}
	if (left == 0)
		return b->script.end == BREAK_END ? 0 : LAYER_AGAIN;
	size_t n = piece_of(b, left, size);
	memcpy(out, b->script.input.data + b->read, n);
	b->read += n;
	return (ptrdiff_t)n;
}

static ptrdiff_t breaking_write(struct layer *l, const void *data, size_t len, struct err *e)
{
	struct breaking *b = (struct breaking *)l;
	size_t left = b->script.write_breaks ? b->script.write_limit - b->wrote : len;
	if (pauses(b))
		return LAYER_AGAIN;
	if (left == 0) {
		err_set(e, CAUSE_CONNECT, ERR_LINK, "broke");
		return LAYER_FAILED;
	}
	size_t n = piece_of(b, left, len);
	if (b->script.written)
		buf_add(b->script.written, data, n);
	b->wrote += n;
	return (ptrdiff_t)n;
}

static short breaking_wants(struct layer *l, bool reading)
{
	(void)l;
	return reading ? POLLIN : POLLOUT;
}

static bool breaking_pending(struct layer *l)
{
	const struct breaking *b = (struct breaking *)l;
	return b->script.inside && b->read < b->script.input.len;
}

static int breaking_fd(struct layer *l)
{
	const struct breaking *b = (struct breaking *)l;
	bool silent = b->read == b->script.input.len && b->script.end == BREAK_SILENT;
	return silent || b->script.inside ? b->quiet : b->lively;
}

static void breaking_close(struct layer *l)
{
	struct breaking *b = (struct breaking *)l;
	close(b->lively);
	close(b->quiet);
	free(b);
}

static const struct layer_ops breaking_ops = {
    .name = "breaking",
    .read = breaking_read,
    .write = breaking_write,
    .wants = breaking_wants,
    .pending = breaking_pending,
    .fd = breaking_fd,
    .close = breaking_close,
};

void breaking_layer_new(struct layer **out, const struct breaking_script *script)
{
	struct breaking *b = NEW(struct breaking);
	b->layer.ops = &breaking_ops;
	b->script = *script;
	b->lively = eventfd(1, EFD_CLOEXEC);
	b->quiet = eventfd(0, EFD_CLOEXEC);
	*out = &b->layer;
}

struct limit {
	struct layer layer; /* first: the callbacks cast */
	size_t left[2];     /* bytes until the break: reading, writing */
	size_t piece;
};

/* How much may move, 0 = the break. */
static size_t limit_of(const struct limit *l, bool writing, size_t size)
{
	size_t n = size < l->left[writing] ? size : l->left[writing];
	return l->piece && n > l->piece ? l->piece : n;
}

static ptrdiff_t limit_count(struct limit *l, bool writing, ptrdiff_t moved)
{
	if (moved > 0)
		l->left[writing] -= (size_t)moved;
	return moved;
}

static ptrdiff_t limit_broke(struct err *e)
{
	err_set(e, CAUSE_CONNECT, ERR_LINK, "broke");
	return LAYER_FAILED;
}

static ptrdiff_t limit_read(struct layer *layer, void *out, size_t size, struct err *e)
{
	struct limit *l = (struct limit *)layer;
	size_t n = limit_of(l, false, size);
	if (n == 0)
		return limit_broke(e);
	return limit_count(l, false, layer->below->ops->read(layer->below, out, n, e));
}

static ptrdiff_t limit_write(struct layer *layer, const void *data, size_t len, struct err *e)
{
	struct limit *l = (struct limit *)layer;
	size_t n = limit_of(l, true, len);
	if (n == 0)
		return limit_broke(e);
	return limit_count(l, true, layer->below->ops->write(layer->below, data, n, e));
}

static short limit_wants(struct layer *l, bool reading)
{
	return l->below->ops->wants(l->below, reading);
}

static bool limit_pending(struct layer *l)
{
	return l->below->ops->pending(l->below);
}

static int limit_fd(struct layer *l)
{
	return l->below->ops->fd(l->below);
}

static void limit_close(struct layer *l)
{
	l->below->ops->close(l->below);
	free(l);
}

static const struct layer_ops limit_ops = {
    .name = "limit",
    .read = limit_read,
    .write = limit_write,
    .wants = limit_wants,
    .pending = limit_pending,
    .fd = limit_fd,
    .close = limit_close,
};

void breaking_layer_over(
    struct layer **out, struct layer *below, size_t read_limit, size_t write_limit, size_t piece)
{
	struct limit *l = NEW(struct limit);
	l->layer = (struct layer){.ops = &limit_ops, .below = below};
	l->left[false] = read_limit;
	l->left[true] = write_limit;
	l->piece = piece;
	*out = &l->layer;
}
