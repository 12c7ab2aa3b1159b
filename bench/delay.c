/* A line between two network namespaces that takes its time: every packet is held for DELAY, and
 * where there is a RATE, sent no faster than that. For kernels without netem, and to see what
 * passes.
 *
 *   delay NAMESPACE-A DEVICE-A NAMESPACE-B DEVICE-B DELAY-US RATE-MBIT
 *
 * Namespaces as paths (/proc/PID/fd/N); a TUN device is made in each, and gone when this ends. TCP
 * runs through from end to end, so that handshakes, slow start and windows see the delay. Packets
 * come as large as the kernel offloads them (64 KiB) and go on whole: the rate is in bytes of IP,
 * and its grain is such a packet. Nothing is dropped and the queue has no end.
 *
 * A is the servers' side, B the clients'. For each connection it counts bytes each way and *waits*:
 * how often the client sent something (or ended) after it had sent nothing for a round trip and
 * had been told something meanwhile, and once for the connecting. A word "report" on standard
 * input has the counts printed as a line of JSON and begun anew; the end of standard input ends
 * the program. Says "ready" when both devices are there. */

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/virtio_net.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define PACKET ((size_t)128 << 10)
#define FLOWS 1024u
#define SECOND INT64_C(1000000000)
#define NEVER INT64_MAX

struct packet {
	struct packet *next;
	int64_t due;
	size_t length;
	char bytes[];
};

struct way {
	int in, out;
	bool to_server;
	struct packet *first, **last;
	int64_t free_at; /* when the line has sent all it was given */
};

struct flow {
	uint16_t client, server; /* ports */
	uint64_t up, down;       /* bytes of IP, to the server and to the client */
	unsigned long waits;
	int64_t spoke; /* when the client said something, 0: never */
	bool told;     /* something arrived at the client since */
};

static int64_t delay;
static double rate; /* bytes a nanosecond, 0: no limit */
static struct flow flows[FLOWS];
static unsigned flow_count;
static unsigned long dropped;

static void die(const char *what)
{
	fprintf(stderr, "delay: %s: %s\n", what, strerror(errno));
	exit(2);
}

static int64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * SECOND + now.tv_nsec;
}

static int open_device(const char *namespace, const char *name)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
	int home = open(namespace, O_RDONLY | O_CLOEXEC), device;
	if (home < 0 || setns(home, CLONE_NEWNET))
		die(namespace);
	close(home);
	device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (device < 0)
		die("/dev/net/tun");
	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
	if (ioctl(device, TUNSETIFF, &request) ||
	    ioctl(device, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4))
		die(name);
	return device;
}

/* ---- what passes ---- */

static struct flow *flow_of(uint16_t client, uint16_t server)
{
	for (unsigned i = flow_count; i-- > 0;)
		if (flows[i].client == client && flows[i].server == server)
			return &flows[i];
	if (flow_count == FLOWS)
		return &flows[FLOWS - 1];
	flows[flow_count] = (struct flow){.client = client, .server = server};
	return &flows[flow_count++];
}

/* NOW is when it left the client, or when it arrived there. */
static void watch(const struct packet *packet, bool to_server, int64_t now)
{
	struct iphdr ip;
	struct tcphdr tcp;
	size_t at = sizeof(struct virtio_net_hdr), size = packet->length - at, heads;
	if (packet->length < at + sizeof ip)
		return;
	memcpy(&ip, packet->bytes + at, sizeof ip);
	at += ip.ihl * 4u;
	if (ip.version != 4 || ip.protocol != IPPROTO_TCP || packet->length < at + sizeof tcp)
		return;
	memcpy(&tcp, packet->bytes + at, sizeof tcp);
	heads = ip.ihl * 4u + tcp.doff * 4u;
	bool speaks = size > heads || tcp.fin;
	if (!to_server) {
		struct flow *flow = flow_of(ntohs(tcp.dest), ntohs(tcp.source));
		flow->down += size;
		flow->told |= speaks || tcp.syn;
		return;
	}
	struct flow *flow = flow_of(ntohs(tcp.source), ntohs(tcp.dest));
	flow->up += size;
	if (!speaks && !tcp.syn)
		return;
	if (flow->told && now - flow->spoke > 2 * delay / 10 * 9)
		flow->waits++;
	flow->told = false;
	flow->spoke = now;
}

static void report(void)
{
	printf("{\"dropped\": %lu, \"flows\": [", dropped);
	for (unsigned i = 0; i < flow_count; i++)
		printf("%s{\"client\": %u, \"server\": %u, \"up\": %llu, \"down\": %llu, "
		       "\"waits\": %lu}",
		    i ? ", " : "", flows[i].client, flows[i].server,
		    (unsigned long long)flows[i].up, (unsigned long long)flows[i].down,
		    flows[i].waits);
	puts("]}");
	fflush(stdout);
	flow_count = 0;
	dropped = 0;
}

/* ---- the line ---- */

static int64_t departure(struct way *way, size_t length, int64_t now)
{
	if (rate <= 0)
		return now + delay;
	if (way->free_at < now)
		way->free_at = now;
	way->free_at += (int64_t)((double)length / rate);
	return way->free_at + delay;
}

static void take_in(struct way *way)
{
	static char bytes[PACKET];
	for (unsigned i = 0; i < 64; i++) {
		ssize_t length = read(way->in, bytes, sizeof bytes);
		if (length <= 0)
			return;
		int64_t now = now_ns();
		struct packet *packet = malloc(sizeof *packet + (size_t)length);
		if (!packet)
			die("memory");
		*packet = (struct packet){.length = (size_t)length};
		packet->due = departure(way, packet->length - sizeof(struct virtio_net_hdr), now);
		memcpy(packet->bytes, bytes, packet->length);
		if (way->to_server)
			watch(packet, true, now);
		*way->last = packet;
		way->last = &packet->next;
	}
}

static void let_out(struct way *way, int64_t now)
{
	while (way->first && way->first->due <= now) {
		struct packet *packet = way->first;
		if (write(way->out, packet->bytes, packet->length) < 0)
			dropped++;
		if (!way->to_server)
			watch(packet, false, now);
		way->first = packet->next;
		if (!way->first)
			way->last = &way->first;
		free(packet);
	}
}

static void sleep_until_due(const struct way ways[2])
{
	struct pollfd polls[3] = {{.fd = ways[0].in, .events = POLLIN},
	    {.fd = ways[1].in, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
	struct timespec pause;
	int64_t due = NEVER, now = now_ns();
	char word[64];
	for (unsigned i = 0; i < 2; i++)
		if (ways[i].first && ways[i].first->due < due)
			due = ways[i].first->due;
	due = due < now ? now : due;
	pause = (struct timespec){(due - now) / SECOND, (due - now) % SECOND};
	if (ppoll(polls, 3, due == NEVER ? NULL : &pause, NULL) < 0 && errno != EINTR)
		die("ppoll");
	if (polls[2].revents) {
		if (read(STDIN_FILENO, word, sizeof word) <= 0)
			exit(0);
		report();
	}
}

int main(int argc, char **argv)
{
	struct way ways[2] = {{.to_server = false}, {.to_server = true}};
	if (argc != 7) {
		fputs("delay: see the head of bench/delay.c\n", stderr);
		return 2;
	}
	delay = strtoll(argv[5], NULL, 10) * 1000;
	rate = strtod(argv[6], NULL) * 1e6 / 8 / 1e9;
	int servers = open_device(argv[1], argv[2]), clients = open_device(argv[3], argv[4]);
	ways[0].in = ways[1].out = servers;
	ways[1].in = ways[0].out = clients;
	for (unsigned i = 0; i < 2; i++)
		ways[i].last = &ways[i].first;
	puts("ready");
	fflush(stdout);
	for (;;) {
		sleep_until_due(ways);
		for (unsigned i = 0; i < 2; i++) {
			take_in(&ways[i]);
			let_out(&ways[i], now_ns());
		}
	}
}
