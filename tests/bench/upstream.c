/* A scripted provider: answers POST .../chat/completions, whole or as a stream, as fast as asked.
 *
 *   upstream          listens on a free port of 127.0.0.1 and prints it
 *
 * A body with "stream":true gets events, each in its own write; pace=EVENTSxMICROSECONDS anywhere in the body says how many
 * and how far apart, the default is 100x0. One thread, epoll, one timerfd per paced stream. It ends with its standard input.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define FILES_MAX 16384
#define BODY_MAX (4u << 20)

typedef struct {
  int fd, timer; /* timer is -1 unless a paced stream is under way */
  char *in;      /* the request so far */
  size_t have, room;
  long events_left, events;
} Connection;

static Connection *connections[FILES_MAX]; /* by file descriptor of the socket and of the timer */
static int poller;

static const char ENVELOPE[] = "\"id\":\"chatcmpl-bench0123456789\",\"created\":1700000000,\"model\":\"gpt-4o-mini-2024-07-18\"";
static char whole[4096], event[1024];
static size_t whole_size, event_size;

static void watch(int fd) {
  struct epoll_event wanted = {.events = EPOLLIN, .data.fd = fd};
  epoll_ctl(poller, EPOLL_CTL_ADD, fd, &wanted);
}

static void stop_timer(Connection *c) {
  if (c->timer < 0) return;
  connections[c->timer] = NULL;
  close(c->timer);
  c->timer = -1;
}

static void drop(Connection *c) {
  stop_timer(c);
  connections[c->fd] = NULL;
  close(c->fd);
  free(c->in);
  free(c);
}

/* Sends all of it. The sockets block: a reader that is slow slows this provider down, and nothing here is large. */
static int give(Connection *c, const char *data, size_t size) {
  while (size) {
    ssize_t n = send(c->fd, data, size, MSG_NOSIGNAL);
    if (n <= 0) {
      if (n < 0 && errno == EINTR) continue;
      return -1;
    }
    data += n;
    size -= (size_t)n;
  }
  return 0;
}

static size_t chunk(char *into, const char *text) {
  return (size_t)sprintf(into, "%zx\r\n%s\r\n", strlen(text), text);
}

static void prepare(void) {
  char text[2048] = "", body[3072], frame[512];
  for (int i = 0; i < 7; i++)
    strcat(text, "The proxy stands on the path of every single token, so whatever it adds is added to all of them. ");
  sprintf(body,
          "{%s,\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"%s\"},"
          "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":42,\"completion_tokens\":100,\"total_tokens\":142}}",
          ENVELOPE, text);
  whole_size = (size_t)sprintf(
      whole, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
  sprintf(frame,
          "data: {%s,\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":"
          "\"a few words of text that take their time \"},\"finish_reason\":null}]}\n\n",
          ENVELOPE);
  event_size = chunk(event, frame);
}

static int finish(Connection *c) {
  char frame[512], out[1536];
  size_t size = 0;
  sprintf(frame,
          "data: {%s,\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
          ENVELOPE);
  size += chunk(out + size, frame);
  sprintf(frame,
          "data: {%s,\"object\":\"chat.completion.chunk\",\"choices\":[],"
          "\"usage\":{\"prompt_tokens\":42,\"completion_tokens\":%ld,\"total_tokens\":%ld}}\n\n",
          ENVELOPE, c->events, 42 + c->events);
  size += chunk(out + size, frame);
  size += chunk(out + size, "data: [DONE]\n\n");
  size += (size_t)sprintf(out + size, "0\r\n\r\n");
  return give(c, out, size);
}

static int stream(Connection *c, long events, long gap_us) {
  static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
  c->events = events;
  if (give(c, head, sizeof head - 1)) return -1;
  if (!gap_us) {
    while (events--)
      if (give(c, event, event_size)) return -1;
    return finish(c);
  }
  struct itimerspec every = {
      .it_interval = {gap_us / 1000000, gap_us % 1000000 * 1000},
      .it_value = {gap_us / 1000000, gap_us % 1000000 * 1000},
  };
  c->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  if (c->timer < 0 || c->timer >= FILES_MAX) return -1;
  timerfd_settime(c->timer, 0, &every, NULL);
  connections[c->timer] = c;
  watch(c->timer);
  c->events_left = events - 1;
  return give(c, event, event_size);
}

static int tick(Connection *c) {
  uint64_t times = 0;
  if (read(c->timer, &times, sizeof times) < 0) return 0;
  while (times-- && c->events_left) {
    c->events_left--;
    if (give(c, event, event_size)) return -1;
  }
  if (c->events_left) return 0;
  stop_timer(c);
  return finish(c);
}

/* Answers the request if all of it is here. */
static int answer(Connection *c) {
  char *end = memmem(c->in, c->have, "\r\n\r\n", 4);
  if (!end) return 0;
  size_t head = (size_t)(end - c->in) + 4, length = 0;
  *end = 0;
  char *field = strcasestr(c->in, "\r\ncontent-length:");
  if (field) length = strtoul(field + 17, NULL, 10);
  if (length > BODY_MAX) return -1;
  if (c->have < head + length) {
    *end = '\r';
    return 0;
  }
  c->have = 0; /* one request at a time: nobody pipelines to a provider */
  char *body = c->in + head, *pace = memmem(body, length, "pace=", 5);
  long events = 100, gap_us = 0;
  if (pace) {
    events = strtol(pace + 5, &pace, 10);
    if (*pace == 'x') gap_us = strtol(pace + 1, NULL, 10);
  }
  if (memmem(body, length, "\"stream\":true", 13)) return stream(c, events < 1 ? 1 : events, gap_us);
  return give(c, whole, whole_size);
}

static int receive(Connection *c) {
  if (c->room - c->have < 65536) {
    c->room = c->room ? c->room * 2 : 131072;
    if (c->room > 4 * BODY_MAX || !(c->in = realloc(c->in, c->room))) return -1;
  }
  ssize_t n = recv(c->fd, c->in + c->have, c->room - c->have - 1, 0);
  if (n <= 0) return -1;
  if (c->timer >= 0) return -1; /* it spoke before its turn */
  c->have += (size_t)n;
  c->in[c->have] = 0;
  return answer(c);
}

static void welcome(int listener) {
  int fd = accept(listener, NULL, NULL), one = 1;
  if (fd < 0) return;
  if (fd >= FILES_MAX) {
    close(fd);
    return;
  }
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  Connection *c = connections[fd] = calloc(1, sizeof *c);
  c->fd = fd;
  c->timer = -1;
  watch(fd);
}

int main(void) {
  struct rlimit files = {FILES_MAX, FILES_MAX};
  if (setrlimit(RLIMIT_NOFILE, &files)) {
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof here;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr *)&here, size) || listen(listener, 4096)) return 1;
  getsockname(listener, (struct sockaddr *)&here, &size);
  prepare();
  poller = epoll_create1(0);
  watch(listener);
  watch(0);
  printf("%d\n", ntohs(here.sin_port));
  fflush(stdout);
  for (;;) {
    struct epoll_event ready[256];
    int count = epoll_wait(poller, ready, 256, -1);
    for (int i = 0; i < count; i++) {
      int fd = ready[i].data.fd;
      if (fd == 0) return 0;
      if (fd == listener) {
        welcome(listener);
        continue;
      }
      Connection *c = connections[fd];
      if (c && (fd == c->fd ? receive(c) : tick(c))) drop(c);
    }
  }
}
