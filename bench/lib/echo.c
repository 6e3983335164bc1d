/* A bare echo server over epoll, as little as a server can do: what bench/echo.lua is compared with.
 *
 *     echo CLIENTS ACTIVE COUNT WARM
 *
 * Asks for a `load` peer as bench/lib/peer.lua does, echoes what it sends, and prints the CPU time from request WARM
 * to request WARM + COUNT. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double cpu_time(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static int listen_somewhere(int *port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  if (fd < 0 || bind(fd, (void *)&address, size) != 0 || listen(fd, 4096) != 0 ||
      getsockname(fd, (void *)&address, &size) != 0) {
    perror("listen");
    exit(1);
  }
  *port = ntohs(address.sin_port);
  return fd;
}

static void watch(int epoll, int fd, unsigned events) {
  struct epoll_event event = {.events = events, .data.fd = fd};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
    perror("epoll_ctl");
    exit(1);
  }
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  long count = atol(argv[3]), warm = atol(argv[4]), done = 0;
  int port, listener = listen_somewhere(&port), epoll = epoll_create1(0);
  printf("peer load %d %s %s %ld\n", port, argv[1], argv[2], warm + count);
  fflush(stdout);
  watch(epoll, listener, EPOLLIN);
  struct epoll_event events[512];
  char block[8192];
  double start = cpu_time();
  for (;;) {
    int ready = epoll_wait(epoll, events, 512, -1);
    for (int i = 0; i < ready; i++) {
      int fd = events[i].data.fd;
      if (fd == listener) {
        for (int client; (client = accept4(listener, 0, 0, SOCK_NONBLOCK)) >= 0;) watch(epoll, client, EPOLLIN | EPOLLET);
        continue;
      }
      ssize_t size = read(fd, block, sizeof block);
      if (size <= 0) {
        if (size == 0 || errno != EAGAIN) close(fd);
        continue;
      }
      if (write(fd, block, size) != size) return 1;
      done++;
      if (done == warm) start = cpu_time();
      if (done == warm + count) {
        printf("value %.9f 0\n", cpu_time() - start);
        return 0;
      }
    }
  }
}
