/*
 * record: a library to be loaded before a program's own (LD_PRELOAD), which writes down what goes through its sockets.
 *
 * The file that the environment variable RECORD names gets a record for each sendmsg() and recvmsg(): u32 direction (0 sent, 1
 * received), u32 size, and that many bytes. Numbers are in host order. A receive that only peeks or fails is not written down.
 *
 * For ovs-dpctl in the guest of ./boot, which talks Netlink with these two calls. One thread.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum direction { SENT, RECEIVED };

static FILE *file;

__attribute__((constructor)) static void open_record(void)
{
    const char *path = getenv("RECORD");

    file = path ? fopen(path, "wb") : NULL;
    if (!file) {
        perror("record: RECORD");
        _Exit(1);
    }
}

__attribute__((destructor)) static void close_record(void)
{
    if (fclose(file)) {
        perror("record: writing");
    }
}

static void record(enum direction direction, const struct msghdr *message, size_t size)
{
    uint32_t head[2] = { direction, size };

    fwrite(head, sizeof head, 1, file);
    for (size_t i = 0; i < message->msg_iovlen && size; i++) {
        const struct iovec *part = &message->msg_iov[i];
        size_t length = part->iov_len < size ? part->iov_len : size;
        fwrite(part->iov_base, length, 1, file);
        size -= length;
    }
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    ssize_t (*real)(int, const struct msghdr *, int) = dlsym(RTLD_NEXT, "sendmsg");
    ssize_t size = real(fd, message, flags);

    if (size > 0) {
        record(SENT, message, size);
    }
    return size;
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    ssize_t (*real)(int, struct msghdr *, int) = dlsym(RTLD_NEXT, "recvmsg");
    ssize_t size = real(fd, message, flags);

    if (size > 0 && !(flags & (MSG_PEEK | MSG_TRUNC))) {
        record(RECEIVED, message, size);
    }
    return size;
}
