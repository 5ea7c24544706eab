/*
 * stopwatch: how long one frame takes from wire to wire, when nothing came before it for a while: it sends a frame by FROM, and when it has come in at SINK, or has been
 * given up, the next one after a pause. What it takes is from just before the call that sends until the kernel has the frame at SINK, by the kernel's stamp: how soon
 * this program is woken is not in it.
 *
 *     stopwatch FROM SINK COUNT PAUSE_US
 *
 * Pauses are between a half and one and a half of PAUSE_US, so that they are in step with nobody's timer. Prints one JSON object: sent, lost, us (each frame that came).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* An EtherType for experiments (IEEE 802): no stack answers it. */
enum { ETHERTYPE = 0x88b5, FRAME_SIZE = 60, NUMBER_AT = 16, PATIENCE_MS = 100 };

static int check(int result, const char *what) {
    if (result >= 0) return result;
    fprintf(stderr, "stopwatch: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int open_socket(unsigned ifindex) {
    const int fd = check(socket(AF_PACKET, SOCK_RAW, 0), "socket");
    const int on = 1;
    check(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on), "SO_TIMESTAMPNS");
    const struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)ifindex, .sll_protocol = htons(ETHERTYPE)};
    check(bind(fd, (const struct sockaddr *)&address, sizeof address), "bind");
    return fd;
}

static void wait_about(uint32_t pause_us) {
    const uint64_t us = pause_us / 2 + (uint64_t)rand() % (pause_us + 1);
    const struct timespec pause = {(time_t)(us / 1000000), (long)(us % 1000000 * 1000)};
    nanosleep(&pause, NULL);
}

/* The stamp of the frame with this number; 0: it did not come. Earlier ones, which were given up, are passed over. */
static int64_t arrival(int fd, uint32_t number) {
    struct pollfd one = {.fd = fd, .events = POLLIN};
    while (poll(&one, 1, PATIENCE_MS) > 0) {
        uint8_t frame[2048];
        _Alignas(struct cmsghdr) char control[256];
        struct iovec part = {frame, sizeof frame};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        const ssize_t size = recvmsg(fd, &message, MSG_DONTWAIT);
        uint32_t found;
        if (size < FRAME_SIZE) continue;
        memcpy(&found, frame + NUMBER_AT, sizeof found);
        const struct cmsghdr *stamp = CMSG_FIRSTHDR(&message);
        if (found != number || stamp == NULL || stamp->cmsg_type != SO_TIMESTAMPNS) continue;
        struct timespec time;
        memcpy(&time, CMSG_DATA(stamp), sizeof time);
        return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
    }
    return 0;
}

int main(int count, char **arguments) {
    const unsigned from = count == 5 ? if_nametoindex(arguments[1]) : 0, sink = count == 5 ? if_nametoindex(arguments[2]) : 0;
    const int frames = count == 5 ? atoi(arguments[3]) : 0, pause_us = count == 5 ? atoi(arguments[4]) : 0;
    if (from == 0 || sink == 0 || frames <= 0 || pause_us <= 0) {
        fputs("usage: stopwatch FROM SINK COUNT PAUSE_US\n", stderr);
        return 2;
    }
    const int out = open_socket(from), in = open_socket(sink);
    uint8_t frame[FRAME_SIZE] = {0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, ETHERTYPE >> 8, ETHERTYPE & 0xff};
    uint32_t lost = 0;
    const char *separator = "";
    printf("{\"us\":[");
    for (uint32_t number = 1; number <= (uint32_t)frames; number++) {
        memcpy(frame + NUMBER_AT, &number, sizeof number);
        wait_about((uint32_t)pause_us);
        struct timespec begin;
        clock_gettime(CLOCK_REALTIME, &begin);
        check((int)send(out, frame, sizeof frame, 0), "send");
        const int64_t end = arrival(in, number);
        if (end == 0) {
            lost++;
            continue;
        }
        printf("%s%.1f", separator, (double)(end - (begin.tv_sec * INT64_C(1000000000) + begin.tv_nsec)) / 1000);
        separator = ",";
    }
    printf("],\"sent\":%d,\"lost\":%u}\n", frames, lost);
    return 0;
}
