/* A load driver: POSTs one body over keep-alive connections and prints one line of JSON about what came back.
 *
 *   driver PORT KEY BODYFILE CONNECTIONS SECONDS RATE
 *
 * RATE 0: each connection sends its next request as soon as it has its answer; their first ones are spread over 200 ms.
 * RATE > 0: requests start at that many per second, whatever the answers do, and latency counts from the scheduled start, so
 * that a stalled target cannot hide.
 * It speaks to 127.0.0.1 only. Answers have a Content-Length or are chunked; lines that begin with `data:` are events.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 4096
#define SAMPLES_MAX 4000000
#define TAKE_TURNS_US 200e3
#define LOOK_UP_US 50e3

enum { IDLE, HEAD, BODY, SIZE, DATA, DATA_END, TRAILER };

typedef struct {
  int fd, state, status, first, line_at; /* line_at: how much of "data:" the current line has matched, -1 once it cannot */
  size_t head_size, need, sent;
  double started;
  char head[4096];
} Connection;

typedef struct {
  float *values;
  size_t count;
} Samples;

static Connection connections[CONNECTIONS_MAX];
static int poller, port, count, idle[CONNECTIONS_MAX], idle_count, begun;
static char *request;
static size_t request_size;
static long good, bad, events;
static int stopping;
static double rate, next_start;
static Samples latencies, first_events;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3; /* microseconds */
}

static void note(Samples *s, double value) {
  if (s->count < SAMPLES_MAX) s->values[s->count++] = (float)value;
}

static int ascending(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

static double percentile(Samples *s, double share) {
  return s->count ? s->values[(size_t)(share * (double)(s->count - 1))] : 0;
}

static void watch(Connection *c, int how, uint32_t what) {
  struct epoll_event wanted = {.events = what, .data.ptr = c};
  epoll_ctl(poller, how, c->fd, &wanted);
}

static void open_connection(Connection *c) {
  struct sockaddr_in there = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int one = 1;
  c->fd = socket(AF_INET, SOCK_STREAM, 0);
  c->state = IDLE;
  if (connect(c->fd, (struct sockaddr *)&there, sizeof there)) {
    fprintf(stderr, "cannot connect to 127.0.0.1:%d\n", port);
    exit(1);
  }
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  watch(c, EPOLL_CTL_ADD, EPOLLIN);
}

static void fail(Connection *c) {
  bad++;
  close(c->fd);
  if (bad > 100) {
    fprintf(stderr, "more than 100 requests failed\n");
    exit(1);
  }
  open_connection(c);
  idle[idle_count++] = (int)(c - connections);
}

static void push(Connection *c) {
  while (c->sent < request_size) {
    ssize_t n = send(c->fd, request + c->sent, request_size - c->sent, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EAGAIN)
        watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
      else
        fail(c);
      return;
    }
    c->sent += (size_t)n;
  }
  watch(c, EPOLL_CTL_MOD, EPOLLIN);
}

static void begin(Connection *c, double started) {
  c->state = HEAD;
  c->head_size = c->sent = 0;
  c->first = 1;
  c->line_at = 0;
  c->started = started;
  ssize_t n = send(c->fd, request, request_size, MSG_NOSIGNAL);
  c->sent = n > 0 ? (size_t)n : 0;
  if (c->sent < request_size) push(c);
}

static void complete(Connection *c) {
  c->state = IDLE;
  if (c->status == 200) {
    good++;
    note(&latencies, now() - c->started);
  } else {
    bad++;
    if (bad == 1) fprintf(stderr, "answered %d\n", c->status);
  }
  if (rate > 0)
    idle[idle_count++] = (int)(c - connections);
  else if (!stopping)
    begin(c, now());
}

static void count_events(Connection *c, const char *data, size_t size) {
  static const char mark[] = "data:";
  for (size_t i = 0; i < size; i++) {
    if (data[i] == '\n') {
      c->line_at = 0;
    } else if (c->line_at < 0) {
      const char *next = memchr(data + i, '\n', size - i);
      if (!next) return;
      i = (size_t)(next - data) - 1;
    } else if (data[i] != mark[c->line_at]) {
      c->line_at = -1;
    } else if (++c->line_at == 5) {
      c->line_at = -1;
      events++;
      if (c->first) note(&first_events, now() - c->started);
      c->first = 0;
    }
  }
}

/* Collects the head; returns how many bytes it took, or -1 when the answer cannot be understood. */
static ssize_t read_head(Connection *c, const char *data, size_t size) {
  size_t before = c->head_size, take = sizeof c->head - 1 - before;
  if (take > size) take = size;
  memcpy(c->head + before, data, take);
  c->head_size += take;
  c->head[c->head_size] = 0;
  char *end = strstr(c->head, "\r\n\r\n");
  if (!end) return c->head_size == sizeof c->head - 1 ? -1 : (ssize_t)take;
  if (strncmp(c->head, "HTTP/1.1 ", 9)) return -1;
  c->status = atoi(c->head + 9);
  char *length = strcasestr(c->head, "\r\ncontent-length:");
  c->need = length ? strtoul(length + 17, NULL, 10) : 0;
  if (length)
    c->state = BODY;
  else if (strcasestr(c->head, "\r\ntransfer-encoding: chunked"))
    c->state = SIZE;
  else
    return -1;
  return (ssize_t)((size_t)(end - c->head) + 4 - before);
}

/* One step over the answer: how many bytes it took, or -1. An answer with nothing left to come is complete. */
static ssize_t read_on(Connection *c, const char *data, size_t size) {
  size_t take = c->need < size ? c->need : size;
  switch (c->state) {
    case HEAD:
      return read_head(c, data, size);
    case BODY:
      c->need -= take;
      return (ssize_t)take;
    case SIZE:
      if (*data == '\n')
        c->state = c->need ? DATA : TRAILER;
      else if (*data != '\r')
        c->need = c->need * 16 + (size_t)(*data <= '9' ? *data - '0' : (*data | 32) - 'a' + 10);
      return 1;
    case DATA:
      count_events(c, data, take);
      c->need -= take;
      if (!c->need) c->state = DATA_END;
      return (ssize_t)take;
    case DATA_END:
      if (*data == '\n') c->state = SIZE;
      return 1;
    case TRAILER:
      if (*data == '\n') c->state = BODY; /* with nothing left: complete */
      return 1;
    default:
      return -1; /* nobody asked */
  }
}

static void receive(Connection *c) {
  static char data[1 << 18];
  ssize_t n = recv(c->fd, data, sizeof data, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) {
    fail(c);
    return;
  }
  for (size_t at = 0; at < (size_t)n;) {
    ssize_t took = read_on(c, data + at, (size_t)n - at);
    if (took < 0) {
      fail(c);
      return;
    }
    at += (size_t)took;
    if (c->state == BODY && !c->need) {
      complete(c);
      return;
    }
  }
}

static void start_what_is_due(double at) {
  while (rate > 0 && !stopping && next_start <= at && idle_count) {
    begin(&connections[idle[--idle_count]], next_start);
    next_start += 1e6 / rate;
  }
}

/* In a closed loop connections begin one after the other; together they would march in step, each event of all at once. */
static void begin_in_turn(double elapsed_us) {
  for (; rate == 0 && idle_count && begun * TAKE_TURNS_US <= elapsed_us * count; begun++)
    begin(&connections[idle[--idle_count]], now());
}

/* When something is to be done next, whatever the answers do. Nobody looks up before: that would keep a processor awake which
 * sleeps between the requests of a quiet gateway. */
static double due(double at, double elapsed_us, double end) {
  if (rate > 0) return stopping || !idle_count ? at + LOOK_UP_US : next_start;
  double next = idle_count ? at - elapsed_us + begun * TAKE_TURNS_US / count : end;
  return next < end ? next : end;
}

/* Answers, waited for until something is due; finer than epoll's milliseconds. */
static int receive_until(double when, struct epoll_event *ready, int most) {
  double wait_us = when - now();
  wait_us = wait_us < 0 ? 0 : wait_us > LOOK_UP_US ? LOOK_UP_US : wait_us;
  struct timespec until = {.tv_nsec = (long)(wait_us * 1e3)};
  return epoll_pwait2(poller, ready, most, &until, NULL);
}

static void load(const char *key, const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file) {
    fprintf(stderr, "cannot read the body\n");
    exit(1);
  }
  fseek(file, 0, SEEK_END);
  long size = ftell(file);
  rewind(file);
  request = malloc((size_t)size + 1024);
  request_size = (size_t)sprintf(request,
                                 "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n"
                                 "Authorization: Bearer %.200s\r\nContent-Type: application/json\r\n"
                                 "User-Agent: therouter-bench\r\nContent-Length: %ld\r\n\r\n",
                                 key, size);
  request_size += fread(request + request_size, 1, (size_t)size, file);
  fclose(file);
}

int main(int arguments, char **argument) {
  if (arguments != 7) {
    fprintf(stderr, "driver PORT KEY BODYFILE CONNECTIONS SECONDS RATE\n");
    return 2;
  }
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  port = atoi(argument[1]);
  count = atoi(argument[4]);
  double seconds = atof(argument[5]);
  rate = atof(argument[6]);
  if (count < 1 || count > CONNECTIONS_MAX || seconds <= 0 || seconds > 60) return 2;
  load(argument[2], argument[3]);
  latencies.values = malloc(SAMPLES_MAX * sizeof(float));
  first_events.values = malloc(SAMPLES_MAX * sizeof(float));
  poller = epoll_create1(0);
  for (int i = 0; i < count; i++) open_connection(&connections[i]);
  double start = next_start = now(), end = start + seconds * 1e6, give_up = end + 5e6;
  for (int i = 0; i < count; i++)
    idle[idle_count++] = i;
  long asked = 0;
  for (double at = start; at < (rate > 0 && asked ? give_up : end); at = now()) {
    if (rate > 0 && at >= end) {
      stopping = asked = 1;
      if (idle_count == count) break;
    }
    start_what_is_due(at);
    begin_in_turn(at - start);
    struct epoll_event ready[256];
    int n = receive_until(due(at, at - start, end), ready, 256);
    for (int i = 0; i < n; i++) {
      Connection *c = ready[i].data.ptr;
      if (ready[i].events & EPOLLOUT) push(c);
      if (ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(c);
    }
  }
  qsort(latencies.values, latencies.count, sizeof(float), ascending);
  qsort(first_events.values, first_events.count, sizeof(float), ascending);
  printf("{\"requests\":%ld,\"failed\":%ld,\"events\":%ld,\"p50_us\":%.1f,\"p99_us\":%.1f,\"first_event_p50_us\":%.1f}\n", good,
         bad, events, percentile(&latencies, 0.5), percentile(&latencies, 0.99), percentile(&first_events, 0.5));
  return 0;
}
