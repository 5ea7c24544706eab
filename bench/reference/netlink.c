/*
 * Netlink transactions as a C program makes them: the limit that `wdp bench netlink` is held against.
 *
 *   netlink PROTOCOL MESSAGE OFFSET MODULO COUNT BATCH CONFIRM
 *
 *   MESSAGE   one request, hexadecimal, nlmsghdr included
 *   OFFSET    where in it a big-endian u32 counts up from what MESSAGE has there, MODULO steps and again; -1: all requests are equal
 *   COUNT     transactions, a multiple of BATCH
 *   BATCH     requests in one sendmsg; with 1 each is sent and answered before the next
 *   CONFIRM   each: every request asks for its acknowledgement; last: only the last one of a batch does
 *
 * Requests are written once into a region and only their sequence numbers and counters change, as in the benchmark. Answers are read with
 * recvmmsg until the last request of the batch has its own. Prints one JSON object: seconds, perSecond, errors, acknowledged.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

enum { SLOTS = 64, SLOT_SIZE = 4096, RECEIVE_BUFFER_SIZE = 1 << 20 };

static void die(const char *what) {
  fprintf(stderr, "netlink: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int open_socket(int protocol) {
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
  if (fd < 0) die("socket");
  const int size = RECEIVE_BUFFER_SIZE, on = 1;
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0) {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  }
  setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  if (connect(fd, (struct sockaddr *)&kernel, sizeof kernel) != 0) die("connect");
  return fd;
}

static size_t parse_hex(const char *text, uint8_t *bytes, size_t limit) {
  const size_t size = strlen(text) / 2;
  if (size < sizeof(struct nlmsghdr) || size > limit) {
    fprintf(stderr, "netlink: a message of %zu bytes\n", size);
    exit(2);
  }
  for (size_t i = 0; i < size; i++) {
    unsigned byte;
    if (sscanf(text + 2 * i, "%2x", &byte) != 1) exit(2);
    bytes[i] = (uint8_t)byte;
  }
  return size;
}

struct receiver {
  struct mmsghdr headers[SLOTS];
  struct iovec vectors[SLOTS];
  uint8_t slots[SLOTS][SLOT_SIZE];
};

static void init_receiver(struct receiver *r) {
  memset(r->headers, 0, sizeof r->headers);
  for (int i = 0; i < SLOTS; i++) {
    r->vectors[i] = (struct iovec){r->slots[i], SLOT_SIZE};
    r->headers[i].msg_hdr.msg_iov = &r->vectors[i];
    r->headers[i].msg_hdr.msg_iovlen = 1;
  }
}

struct totals {
  uint64_t acknowledged;
  uint64_t errors;
};

/* Reads until the answer with this sequence number has come. */
static void await(int fd, struct receiver *r, uint32_t last, struct totals *totals) {
  for (;;) {
    const int n = recvmmsg(fd, r->headers, SLOTS, MSG_WAITFORONE, NULL);
    if (n < 0) die("recvmmsg");
    uint32_t sequence = 0;
    for (int i = 0; i < n; i++) {
      int left = (int)r->headers[i].msg_len;
      for (struct nlmsghdr *h = (struct nlmsghdr *)r->slots[i]; NLMSG_OK(h, (unsigned)left); h = NLMSG_NEXT(h, left)) {
        if (h->nlmsg_type != NLMSG_ERROR) continue;
        const struct nlmsgerr *e = NLMSG_DATA(h);
        if (e->error != 0) totals->errors++;
        else totals->acknowledged++;
        sequence = h->nlmsg_seq;
      }
    }
    if (sequence == last) return;
  }
}

int main(int argc, char **argv) {
  if (argc != 8) {
    fprintf(stderr, "usage: netlink PROTOCOL MESSAGE OFFSET MODULO COUNT BATCH each|last\n");
    return 2;
  }
  static uint8_t message[4096];
  const size_t size = parse_hex(argv[2], message, sizeof message);
  const size_t stride = NLMSG_ALIGN(size);
  const long offset = atol(argv[3]);
  const uint32_t modulo = (uint32_t)strtoul(argv[4], NULL, 10);
  const uint64_t count = strtoull(argv[5], NULL, 10);
  const uint32_t batch = (uint32_t)strtoul(argv[6], NULL, 10);
  const int confirm_each = strcmp(argv[7], "each") == 0;
  if (batch == 0 || count % batch != 0 || modulo == 0 || offset > (long)(size - sizeof(uint32_t))) return 2;

  uint8_t *requests = calloc(batch, stride);
  static struct receiver receiver;
  if (requests == NULL) die("calloc");
  init_receiver(&receiver);
  const int fd = open_socket(atoi(argv[1]));
  for (uint32_t i = 0; i < batch; i++) {
    memcpy(requests + i * stride, message, size);
    struct nlmsghdr *h = (struct nlmsghdr *)(requests + i * stride);
    h->nlmsg_len = (uint32_t)size;
    h->nlmsg_flags |= NLM_F_REQUEST;
    if (confirm_each || i == batch - 1) h->nlmsg_flags |= NLM_F_ACK;
    else h->nlmsg_flags &= (uint16_t)~NLM_F_ACK;
  }

  struct totals totals = {0};
  struct timespec start, end;
  uint32_t sequence = 1;
  uint32_t counter = 0;
  uint32_t base = 0;
  if (offset >= 0) memcpy(&base, message + offset, sizeof base);
  base = ntohl(base);
  clock_gettime(CLOCK_MONOTONIC, &start);
  for (uint64_t done = 0; done < count; done += batch) {
    for (uint32_t i = 0; i < batch; i++) {
      uint8_t *request = requests + i * stride;
      ((struct nlmsghdr *)request)->nlmsg_seq = sequence++;
      if (offset < 0) continue;
      const uint32_t word = htonl(base + counter);
      memcpy(request + offset, &word, sizeof word);
      counter = counter + 1 == modulo ? 0 : counter + 1;
    }
    if (send(fd, requests, batch * stride, 0) < 0) die("send");
    await(fd, &receiver, sequence - 1, &totals);
  }
  clock_gettime(CLOCK_MONOTONIC, &end);

  const double seconds = (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
  printf("{\"seconds\":%.6f,\"perSecond\":%.0f,\"errors\":%llu,\"acknowledged\":%llu}\n", seconds, (double)count / seconds,
         (unsigned long long)totals.errors, (unsigned long long)totals.acknowledged);
  return 0;
}
