/* Clients of an echo server, in a closed loop over epoll: each sends 64 bytes, waits for the answer, and sends again.
 *
 *     load PORT CLIENTS ACTIVE TOTAL
 *
 * Connects CLIENTS times, of which the first ACTIVE send TOTAL requests in all, and keeps the connections until its
 * standard input ends. Prints a line when it has started, as every peer does. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SIZE = 64 };

static void die(const char *what) {
  perror(what);
  exit(1);
}

static int connect_to(int port) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (fd < 0 || connect(fd, (void *)&address, sizeof address) != 0) die("connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  /* No port stays behind in TIME_WAIT. */
  struct linger reset = {.l_onoff = 1};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  return fd;
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  int port = atoi(argv[1]), clients = atoi(argv[2]), active = atoi(argv[3]);
  long left = atol(argv[4]);
  printf("0\n");
  fflush(stdout);
  int epoll = epoll_create1(0);
  char block[SIZE];
  memset(block, 'x', SIZE);
  block[SIZE - 1] = '\n';
  int *all = calloc(clients, sizeof *all);
  for (int i = 0; i < clients; i++) all[i] = connect_to(port);
  for (int i = 0; i < active; i++) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = all[i]};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, all[i], &event) != 0) die("epoll_ctl");
    if (left-- > 0 && write(all[i], block, SIZE) != SIZE) die("write");
  }
  struct epoll_event events[512];
  long waiting = active;
  while (waiting > 0) {
    int ready = epoll_wait(epoll, events, 512, -1);
    for (int i = 0; i < ready; i++) {
      int fd = events[i].data.fd;
      if (read(fd, block, SIZE) <= 0) return 0; /* the server has what it wants */
      if (left-- > 0) {
        if (write(fd, block, SIZE) != SIZE) return 0;
      } else {
        waiting--;
      }
    }
  }
  while (read(0, block, SIZE) > 0) {
  }
  return 0;
}
