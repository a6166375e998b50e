/* A swarm of websocket viewers on loopback: one process, one epoll, raw sockets, so that it is not what is measured.
 *
 *   swarm PORT VIEWERS SUBPROTOCOL|- [SLOW BYTES_PER_S]
 *
 * Connects all viewers, says hello for each, answers pings, and times positions: a message carries the low 32 bits of
 * CLOCK_MONOTONIC in microseconds in place of its RTP timestamp. The first SLOW viewers read only BYTES_PER_S each, through
 * a receive buffer as small as the system allows.
 *
 * Commands, a line each on standard input: go (forget what was counted), stop (print "result JSON"), drop (cut all
 * connections at once and come back). Prints "open SECONDS" and "joined SECONDS" (every viewer has its first message).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BIN_US = 100, BINS = 600000, IN_FLIGHT = 256, TICK_MS = 20 };
enum state { DOWN, CONNECTING, UPGRADING, OPEN, GONE };

struct viewer {
  int fd, length, capacity;
  enum state state;
  char slow, joined, seen;
  uint32_t newest;
  double credit;
  unsigned char *rest;
};

struct histogram {
  uint32_t bins[BINS];
  uint64_t count, most_us;
};

static struct viewer *viewers;
static int total, slow, next, in_flight, open_now, joined, lost, epoll;
static double slow_bytes;
static struct histogram *fast_age, *slow_age, *shown_age;
static uint64_t octets, messages, began_us;
static char request[512];
static int request_length;
static struct sockaddr_in server;

static uint64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void add(struct histogram *h, uint64_t us) {
  uint64_t bin = us / BIN_US;
  h->bins[bin < BINS ? bin : BINS - 1]++;
  h->count++;
  if (us > h->most_us) h->most_us = us;
}

static double quantile(const struct histogram *h, double q) {
  uint64_t rank = (uint64_t)(q * (h->count ? h->count - 1 : 0)), seen = 0;
  for (int i = 0; i < BINS && h->count; i++)
    if ((seen += h->bins[i]) > rank) return (i + 0.5) * BIN_US / 1000.0;
  return 0;
}

static void die(const char *what) {
  fprintf(stderr, "swarm: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void watch(struct viewer *v, uint32_t events, int operation) {
  struct epoll_event e = {.events = events, .data.ptr = v};
  if (epoll_ctl(epoll, operation, v->fd, &e) < 0) die("epoll");
}

static void hang_up(struct viewer *v) {
  if (v->state == DOWN || v->state == GONE) return;
  if (v->state == OPEN) open_now--;
  else in_flight--;
  close(v->fd);
  v->state = GONE;
  v->length = 0;
  lost++;
}

static void call(struct viewer *v) {
  struct linger at_once = {1, 0};
  int small = 2048, on = 1;
  v->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (v->fd < 0) die("socket");
  setsockopt(v->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  setsockopt(v->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (v->slow) setsockopt(v->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  if (connect(v->fd, (void *)&server, sizeof server) < 0 && errno != EINPROGRESS) die("connect");
  v->state = CONNECTING;
  v->joined = v->seen = 0;
  in_flight++;
  watch(v, EPOLLOUT, EPOLL_CTL_ADD);
}

/* A masked frame with an all-zero mask: the payload as it is. */
static void say(struct viewer *v, int head, const void *payload, int size) {
  unsigned char frame[6 + 125] = {head, 0x80 | size};
  memcpy(frame + 6, payload, size);
  if (write(v->fd, frame, 6 + size) < 0 && errno != EAGAIN) hang_up(v);
}

static int stamp(const unsigned char *p, uint64_t size, uint32_t *at) {
  static const char text[] = "{\"t\":\"pos\",\"s\":[[1,";
  if (size > 6 && p[0] == 1) {
    *at = (uint32_t)p[2] << 24 | p[3] << 16 | p[4] << 8 | p[5];
    return 1;
  }
  if (size < sizeof text + 10 || memcmp(p, text, sizeof text - 1)) return 0;
  *at = 0;
  for (p += sizeof text - 1; *p >= '0' && *p <= '9'; p++) *at = *at * 10 + (*p - '0');
  return 1;
}

static void arrived(struct viewer *v, const unsigned char *payload, uint64_t size, uint64_t now) {
  uint32_t at;
  if (!v->joined) {
    v->joined = 1;
    if (++joined == total) printf("joined %.3f\n", (now - began_us) / 1e6);
  }
  if (!stamp(payload, size, &at)) return;
  int32_t age = (uint32_t)now - at;
  add(v->slow ? slow_age : fast_age, age > 0 ? age : 0);
  v->newest = at;
  v->seen = 1;
  messages++;
}

/* Whole frames at the beginning of `p`. Returns how many bytes they take, -1 when the server closed. */
static int frames(struct viewer *v, const unsigned char *p, int have, uint64_t now) {
  int used = 0;
  while (have - used >= 2) {
    const unsigned char *f = p + used;
    uint64_t size = f[1] & 0x7f, head = 2;
    if (size == 126) head = 4;
    if (size == 127) head = 10;
    if ((uint64_t)(have - used) < head) break;
    if (head > 2) {
      size = 0;
      for (uint64_t i = 2; i < head; i++) size = size << 8 | f[i];
    }
    if ((uint64_t)(have - used) < head + size) break;
    switch (f[0] & 15) {
      case 1: case 2: arrived(v, f + head, size, now); break;
      case 8: return -1;
      case 9: say(v, 0x8a, f + head, size > 125 ? 125 : (int)size); break;
    }
    octets += head + size;
    used += head + size;
  }
  return used;
}

static void upgraded(struct viewer *v) {
  static const char hello[] = "{\"t\":\"hello\",\"v\":1}";
  v->state = OPEN;
  v->credit = slow_bytes;
  in_flight--;
  if (v->slow) watch(v, 0, EPOLL_CTL_DEL);
  say(v, 0x81, hello, sizeof hello - 1);
  if (++open_now == total) printf("open %.3f\n", (now_us() - began_us) / 1e6);
}

/* Takes in what was read, together with what was left of the last time. */
static void take(struct viewer *v, const unsigned char *data, int size) {
  uint64_t now = now_us();
  if (v->length) {
    if (v->length + size > v->capacity) v->rest = realloc(v->rest, v->capacity = v->length + size + 1024);
    memcpy(v->rest + v->length, data, size);
    data = v->rest;
    size += v->length;
  }
  int used = 0;
  if (v->state == UPGRADING) {
    const unsigned char *end = memmem(data, size, "\r\n\r\n", 4);
    if (end && memcmp(data, "HTTP/1.1 101", 12)) {
      fprintf(stderr, "swarm: refused: %.*s\n", size < 200 ? size : 200, data);
      exit(1);
    }
    if (end) used = end + 4 - data, upgraded(v);
  }
  if (v->state == OPEN) {
    int more = frames(v, data + used, size - used, now);
    if (more < 0) {
      hang_up(v);
      return;
    }
    used += more;
  }
  if (v->state == GONE) return;
  int left = size - used;
  if (left > v->capacity) v->rest = realloc(v->rest, v->capacity = left + 1024);
  if (left) memmove(v->rest, data + used, left);
  v->length = left;
}

static void readable(struct viewer *v, int most) {
  static unsigned char data[65536];
  int got = read(v->fd, data, most < (int)sizeof data ? most : (int)sizeof data);
  if (got > 0) {
    if (v->slow) v->credit -= got;
    take(v, data, got);
  } else if (got == 0 || errno != EAGAIN) {
    hang_up(v);
  }
}

static void tick(double seconds) {
  uint64_t now = now_us();
  for (int i = 0; i < slow; i++) {
    struct viewer *v = &viewers[i];
    if (v->state != OPEN) continue;
    v->credit += slow_bytes * seconds;
    if (v->credit > slow_bytes) v->credit = slow_bytes; /* a second's worth */
    if (v->credit >= 1) readable(v, (int)v->credit);
    if (v->seen) add(shown_age, (uint32_t)now - v->newest);
  }
}

static void report(double cpu_s) {
  printf("result {\"messages\":%lu,\"octets\":%lu,\"lost\":%d,\"open\":%d,\"cpu_s\":%.3f,", messages, octets, lost, open_now, cpu_s);
  printf("\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"max_ms\":%.2f,", quantile(fast_age, .5), quantile(fast_age, .99), fast_age->most_us / 1e3);
  printf("\"fast\":%lu,\"slow\":%lu,\"slow_p50_ms\":%.1f,\"slow_max_ms\":%.1f,\"shown_p50_ms\":%.1f,\"shown_max_ms\":%.1f}\n",
         fast_age->count, slow_age->count, quantile(slow_age, .5), slow_age->most_us / 1e3, quantile(shown_age, .5), shown_age->most_us / 1e3);
}

static double cpu(void) {
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  return r.ru_utime.tv_sec + r.ru_stime.tv_sec + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static int command(void) {
  static double cpu_began;
  char line[64];
  int got = read(0, line, sizeof line - 1);
  if (got <= 0) return 0;
  line[got] = 0;
  if (!strncmp(line, "go", 2)) {
    memset(fast_age, 0, sizeof *fast_age);
    memset(slow_age, 0, sizeof *slow_age);
    memset(shown_age, 0, sizeof *shown_age);
    octets = messages = lost = 0;
    for (int i = 0; i < total; i++) viewers[i].seen = 0;
    cpu_began = cpu();
    printf("went\n");
  } else if (!strncmp(line, "stop", 4)) {
    report(cpu() - cpu_began);
  } else if (!strncmp(line, "drop", 4)) {
    for (int i = 0; i < total; i++) hang_up(&viewers[i]);
    next = joined = lost = 0;
    began_us = now_us();
  }
  return 1;
}

int main(int count, char **argument) {
  if (count < 4) return fprintf(stderr, "usage: swarm PORT VIEWERS SUBPROTOCOL|- [SLOW BYTES_PER_S]\n"), 2;
  total = atoi(argument[2]);
  if (count > 5) slow = atoi(argument[4]), slow_bytes = atof(argument[5]);
  server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(argument[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int named = strcmp(argument[3], "-");
  request_length = snprintf(request, sizeof request,
    "GET /ws/bench HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s%s%s\r\n",
    argument[1], named ? "Sec-WebSocket-Protocol: " : "", named ? argument[3] : "", named ? "\r\n" : "");
  setvbuf(stdout, NULL, _IOLBF, 0);
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  viewers = calloc(total, sizeof *viewers);
  fast_age = calloc(1, sizeof *fast_age), slow_age = calloc(1, sizeof *slow_age), shown_age = calloc(1, sizeof *shown_age);
  for (int i = 0; i < slow; i++) viewers[i].slow = 1;
  epoll = epoll_create1(0);
  struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL}, events[512];
  epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &input);
  uint64_t ticked_us = began_us = now_us();
  for (;;) {
    while (next < total && in_flight < IN_FLIGHT) call(&viewers[next++]);
    int ready = epoll_wait(epoll, events, 512, slow ? TICK_MS : 1000);
    for (int i = 0; i < ready; i++) {
      struct viewer *v = events[i].data.ptr;
      if (!v) {
        if (!command()) return 0;
        break; /* what else was ready may be closed by now */
      }
      if (v->state == CONNECTING) {
        if (write(v->fd, request, request_length) < 0) die("connect");
        v->state = UPGRADING;
        watch(v, EPOLLIN, EPOLL_CTL_MOD);
      } else if (v->state == UPGRADING || v->state == OPEN) {
        readable(v, 65536);
      }
    }
    uint64_t now = now_us();
    if (slow && now - ticked_us >= TICK_MS * 1000) tick((now - ticked_us) / 1e6), ticked_us = now;
  }
}
