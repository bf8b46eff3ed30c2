/* libzmq in the patterns of `meshmq bench`, measured the same way: the near side is this process, the far side a child, over TCP on loopback
 * (TRANSPORT tcp) or a Unix socket (ipc); with inproc both are threads of one process, with curve it is TCP sealed with CURVE. Prints one JSON object like those of `meshmq bench --json`.
 *
 *   cc -O2 -o zmqbench zmqbench.c -lzmq -lpthread
 *   zmqbench PATTERN TRANSPORT SIZE PEERS SECONDS [IN_FLIGHT]
 *   zmqbench version
 *
 *   throughput, fanin   PEERS PUSH to one PULL: messages received
 *   fanout              one XPUB that drops nothing to PEERS SUB: messages received by all together
 *   requests            PEERS REQ to one REP: requests answered
 *   router              PEERS DEALER to one echoing ROUTER: messages echoed, IN_FLIGHT of each at a time
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

static const char *pattern, *transport;
static size_t size;
static int peers, in_flight = 1;
static double seconds;
static char endpoint[256];
static void *context;
static atomic_long counted;
static atomic_int finished;

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void must(int ok, const char *what) {
	if (ok)
		return;
	fprintf(stderr, "zmqbench: %s: %s\n", what, zmq_strerror(zmq_errno()));
	exit(1);
}

static int is(const char *name) { return strcmp(pattern, name) == 0; }

static char server_public[41], server_secret[41], client_public[41], client_secret[41];

static void lock(void *s, int bind) {
	int yes = 1;
	if (bind) {
		must(zmq_setsockopt(s, ZMQ_CURVE_SERVER, &yes, sizeof yes) == 0, "curve server");
		must(zmq_setsockopt(s, ZMQ_CURVE_SECRETKEY, server_secret, 41) == 0, "curve secret key");
		return;
	}
	must(zmq_setsockopt(s, ZMQ_CURVE_SERVERKEY, server_public, 41) == 0, "curve server key");
	must(zmq_setsockopt(s, ZMQ_CURVE_PUBLICKEY, client_public, 41) == 0, "curve public key");
	must(zmq_setsockopt(s, ZMQ_CURVE_SECRETKEY, client_secret, 41) == 0, "curve secret key");
}

static void *socket_of(int type, int bind) {
	void *s = zmq_socket(context, type);
	int none = 0;
	if (strcmp(transport, "curve") == 0)
		lock(s, bind);
	must(s != NULL, "socket");
	must(zmq_setsockopt(s, ZMQ_LINGER, &none, sizeof none) == 0, "linger");
	if (type == ZMQ_XPUB) {
		int yes = 1;
		must(zmq_setsockopt(s, ZMQ_XPUB_NODROP, &yes, sizeof yes) == 0, "nodrop");
		must(zmq_setsockopt(s, ZMQ_XPUB_VERBOSE, &yes, sizeof yes) == 0, "verbose");
	}
	if (type == ZMQ_SUB)
		must(zmq_setsockopt(s, ZMQ_SUBSCRIBE, "", 0) == 0, "subscribe");
	if (!bind) {
		must(zmq_connect(s, endpoint) == 0, "connect");
		return s;
	}
	must(zmq_bind(s, endpoint) == 0, "bind");
	size_t length = sizeof endpoint;
	must(zmq_getsockopt(s, ZMQ_LAST_ENDPOINT, endpoint, &length) == 0, "last endpoint");
	return s;
}

static void send_one(void *s) {
	zmq_msg_t m;
	must(zmq_msg_init_size(&m, size) == 0, "msg_init_size");
	memset(zmq_msg_data(&m), 0, size);
	must(zmq_msg_send(&m, s, 0) >= 0, "send");
}

static void receive_one(void *s) {
	zmq_msg_t m;
	must(zmq_msg_init(&m) == 0, "msg_init");
	must(zmq_msg_recv(&m, s, 0) >= 0, "recv");
	if (zmq_msg_size(&m) != size) {
		fprintf(stderr, "zmqbench: message of %zu bytes, want %zu\n", zmq_msg_size(&m), size);
		exit(1);
	}
	zmq_msg_close(&m);
}

/* The far side. Its threads run until the process ends. */

static void *pusher(void *unused) {
	(void)unused;
	void *s = socket_of(ZMQ_PUSH, 0);
	for (;;)
		send_one(s);
	return NULL;
}

static void *subscriber(void *unused) {
	(void)unused;
	void *s = socket_of(ZMQ_SUB, 0);
	for (;;) {
		receive_one(s);
		atomic_fetch_add_explicit(&counted, 1, memory_order_relaxed);
	}
	return NULL;
}

static void *requester(void *unused) {
	(void)unused;
	void *s = socket_of(ZMQ_REQ, 0);
	for (;;) {
		send_one(s);
		receive_one(s);
	}
	return NULL;
}

enum { dealer_threads = 4 };

static void *dealers(void *share) {
	int n = *(int *)share;
	void **s = calloc(n, sizeof *s);
	for (int i = 0; i < n; i++)
		s[i] = socket_of(ZMQ_DEALER, 0);
	for (;;) {
		for (int i = 0; i < n * in_flight; i++)
			send_one(s[i / in_flight]);
		for (int i = 0; i < n * in_flight; i++)
			receive_one(s[i / in_flight]);
	}
	return NULL;
}

static void far_side(void) {
	pthread_t t;
	if (is("router")) {
		static int share[dealer_threads];
		for (int i = 0; i < dealer_threads; i++) {
			share[i] = (peers + i) / dealer_threads;
			if (share[i] > 0)
				pthread_create(&t, NULL, dealers, &share[i]);
		}
		return;
	}
	void *(*work)(void *) = is("fanout") ? subscriber : is("requests") ? requester : pusher;
	for (int i = 0; i < peers; i++)
		pthread_create(&t, NULL, work, NULL);
}

/* The near side. */

static void print(double rate) {
	printf("{\"pattern\":\"%s\",\"transport\":\"%s\",\"size\":%zu,\"peers\":%d,\"msgs_per_second\":%.1f}\n", pattern, transport, size, peers, rate);
}

static void echo(void *s) {
	zmq_msg_t m;
	int more;
	do {
		must(zmq_msg_init(&m) == 0, "msg_init");
		must(zmq_msg_recv(&m, s, 0) >= 0, "recv");
		more = zmq_msg_more(&m);
		must(zmq_msg_send(&m, s, more ? ZMQ_SNDMORE : 0) >= 0, "send");
	} while (more);
}

/* served works for a time, and until at least so many messages are through: connecting many peers takes its time. */
static double served(void *s, double d, long least) {
	long n = 0, look = 64 * 1024 / (size + 1);
	look = look < 1 ? 1 : look > 64 ? 64 : look;
	for (double start = now();;) {
		for (long i = 0; i < look; i++) {
			if (is("requests") || is("router"))
				echo(s);
			else
				receive_one(s);
		}
		n += look;
		double took = now() - start;
		if (took >= d && n >= least)
			return n / took;
	}
}

static void *stopwatch(void *fd) { /* counts what subscribers receive, reports it, ends the measurement */
	while (atomic_load(&counted) == 0)
		usleep(1000);
	usleep(seconds * 1e5);
	double start = now();
	long before = atomic_load(&counted);
	usleep(seconds * 1e6);
	double rate = (atomic_load(&counted) - before) / (now() - start);
	must(write(*(int *)fd, &rate, sizeof rate) == sizeof rate, "report");
	return NULL;
}

static void *await_report(void *fd) {
	double rate;
	must(read(*(int *)fd, &rate, sizeof rate) == sizeof rate, "report");
	print(rate);
	fflush(stdout);
	atomic_store(&finished, 1);
	return NULL;
}

static void publish(void *s, int report) {
	for (int left = peers; left > 0;) {
		char b[8];
		int n = zmq_recv(s, b, sizeof b, 0);
		must(n >= 0, "recv");
		left -= n > 0 && b[0] == 1;
	}
	pthread_t t;
	static int fd;
	fd = report;
	pthread_create(&t, NULL, await_report, &fd);
	while (!atomic_load_explicit(&finished, memory_order_relaxed))
		send_one(s);
}

int main(int argc, char **argv) {
	if (argc == 2 && strcmp(argv[1], "version") == 0) {
		int major, minor, patch;
		zmq_version(&major, &minor, &patch);
		printf("%d.%d.%d\n", major, minor, patch);
		return 0;
	}
	if (argc < 6 || argc > 7) {
		fprintf(stderr, "usage: zmqbench PATTERN TRANSPORT SIZE PEERS SECONDS [IN_FLIGHT]\n");
		return 2;
	}
	pattern = argv[1], transport = argv[2];
	size = strtoul(argv[3], NULL, 10), peers = atoi(argv[4]), seconds = atof(argv[5]);
	if (argc == 7)
		in_flight = atoi(argv[6]);
	int inproc = strcmp(transport, "inproc") == 0, report[2], address[2];
	must(pipe(report) == 0 && pipe(address) == 0, "pipe");
	if (strcmp(transport, "curve") == 0) {
		must(zmq_curve_keypair(server_public, server_secret) == 0, "curve keys");
		must(zmq_curve_keypair(client_public, client_secret) == 0, "curve keys");
	}
	int ipc = strcmp(transport, "ipc") == 0;
	if (!inproc && !ipc && strcmp(transport, "tcp") != 0 && strcmp(transport, "curve") != 0)
		return fprintf(stderr, "zmqbench: transport \"%s\": want tcp, ipc, inproc or curve\n", transport), 2;
	strcpy(endpoint, inproc ? "inproc://bench" : "tcp://127.0.0.1:*");
	if (ipc) /* in Linux's abstract namespace: no file stays */
		snprintf(endpoint, sizeof endpoint, "ipc://@zmqbench-%d", (int)getpid());
	pid_t child = inproc ? 0 : fork();
	if (child == 0 && !inproc) { /* the context must be made after the fork */
		if (read(address[0], endpoint, sizeof endpoint) <= 0)
			return 1;
		context = zmq_ctx_new();
		zmq_ctx_set(context, ZMQ_MAX_SOCKETS, peers + 100);
		far_side();
		if (is("fanout"))
			stopwatch(&report[1]);
		pause();
	}
	context = zmq_ctx_new();
	zmq_ctx_set(context, ZMQ_MAX_SOCKETS, peers + 100);
	int type = is("fanout") ? ZMQ_XPUB : is("requests") ? ZMQ_REP : is("router") ? ZMQ_ROUTER : ZMQ_PULL;
	if (type == ZMQ_XPUB && inproc)
		return fprintf(stderr, "zmqbench: fanout is measured over tcp only\n"), 2;
	void *s = socket_of(type, 1);
	must(write(address[1], endpoint, sizeof endpoint) > 0, "address");
	if (inproc)
		far_side();
	if (type == ZMQ_XPUB) {
		publish(s, report[0]);
	} else {
		served(s, seconds / 10, 2 * peers * in_flight);
		print(served(s, seconds, 0));
	}
	fflush(stdout);
	if (!inproc) {
		kill(child, 9);
		waitpid(child, NULL, 0);
	}
	_exit(0);
}
