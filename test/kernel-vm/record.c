/*
 * record: a library to be loaded before a program's own (LD_PRELOAD), which writes down what goes through its generic Netlink sockets.
 *
 * To the file that the environment variable RECORD names a record is appended for each sendmsg() and recvmsg(): u32 direction (0 sent, 1
 * received), u32 size, u32 port id of the socket, and the bytes. Numbers are in host order. A receive that only peeks or fails is not
 * written down.
 *
 * For Open vSwitch in the guest of ./boot, whose programs talk Netlink with these two calls. Threads: any; a request and its record are one step, so that
 * the order of the records is the order in which the kernel saw the requests of a process. Several processes may share the file.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define PARTS_MAX 130

enum direction { SENT, RECEIVED };

static int file = -1;
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void open_record(void)
{
    const char *path = getenv("RECORD");

    file = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
    if (file < 0) {
        perror("record: RECORD");
        _Exit(1);
    }
}

/* The port id of a generic Netlink socket; 0 if the descriptor is something else. */
static uint32_t port_id(int fd)
{
    struct sockaddr_nl address = { 0 };
    socklen_t size = sizeof address;
    int protocol = -1;
    socklen_t protocol_size = sizeof protocol;

    if (getsockname(fd, (struct sockaddr *)&address, &size) || address.nl_family != AF_NETLINK ||
        getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &protocol_size) || protocol != NETLINK_GENERIC) {
        return 0;
    }
    return address.nl_pid;
}

/* One write(), so that records of several processes do not mix. */
static void record(enum direction direction, uint32_t port, const struct msghdr *message, size_t size)
{
    uint32_t head[3] = { direction, size, port };
    struct iovec parts[PARTS_MAX] = { { head, sizeof head } };
    size_t count = 1;

    for (size_t i = 0; i < message->msg_iovlen && size && count < PARTS_MAX; i++) {
        struct iovec *part = &parts[count++];
        *part = message->msg_iov[i];
        part->iov_len = part->iov_len < size ? part->iov_len : size;
        size -= part->iov_len;
    }
    if (size || writev(file, parts, count) < 0) {
        perror("record: writing");
    }
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    ssize_t (*real)(int, const struct msghdr *, int) = dlsym(RTLD_NEXT, "sendmsg");
    uint32_t port = port_id(fd);

    if (port == 0) {
        return real(fd, message, flags);
    }
    pthread_mutex_lock(&order);
    ssize_t size = real(fd, message, flags);
    if (size > 0) {
        record(SENT, port, message, size);
    }
    pthread_mutex_unlock(&order);
    return size;
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    ssize_t (*real)(int, struct msghdr *, int) = dlsym(RTLD_NEXT, "recvmsg");
    ssize_t size = real(fd, message, flags);
    uint32_t port = size > 0 && !(flags & (MSG_PEEK | MSG_TRUNC)) ? port_id(fd) : 0;

    if (port != 0) {
        record(RECEIVED, port, message, size);
    }
    return size;
}
