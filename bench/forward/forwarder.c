/*
 * forwarder: the limit of bench/forward: what a program that looks at nothing pays to move frames from one interface to another. It receives as our
 * AF_PACKET or AF_XDP ports do and sends as both of them do, by an AF_XDP socket into whose frames everything is copied (docs/decisions/packet-rings.md).
 * It has as many frames as they have, and its XDP program runs where theirs does: in the driver, if that can.
 *
 *     forwarder RX TX afpacket|afxdp [asleep]
 *
 * One thread, never asleep; with `asleep` it waits in epoll_wait(2) whenever nothing is there. Says `ready` on stderr; at SIGTERM prints one JSON object: received, sent, txFull, seconds, busySeconds (of the rounds that
 * received something).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

enum { BATCH = 32, RX_FRAMES = 2048, TX_FRAMES = 512, FRAME_SIZE = 2048, BLOCK_SIZE = 1 << 17, TX_BUDGET = 2048, IGNORE_OUTGOING = 23, TX_BUDGET_OPTION = 9 };

struct queue {
    uint32_t *producer, *consumer, *flags, mask;
    void *entries;
};

struct xsk {
    int fd;
    uint8_t *umem;
    struct queue fill, completion, rx, tx;
    uint64_t free_frames[RX_FRAMES];
    uint32_t free_count;
};

struct batch {
    uint32_t count;
    const uint8_t *frames[BATCH];
    uint32_t sizes[BATCH];
};

static volatile sig_atomic_t stop;
static uint64_t tx_full;

static void on_term(int signal) {
    (void)signal;
    stop = 1;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static int check(int result, const char *what) {
    if (result >= 0) return result;
    fprintf(stderr, "forwarder: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint8_t *map(size_t size, int flags, int fd, off_t offset) {
    void *address = mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_POPULATE, fd, offset);
    check(address == MAP_FAILED ? -1 : 0, "mmap");
    return address;
}

static void set_option(int fd, int level, int option, int value, const char *what) {
    check(setsockopt(fd, level, option, &value, sizeof value), what);
}

/* AF_XDP */

static struct queue map_queue(int fd, const struct xdp_ring_offset *at, off_t page, uint32_t count, size_t entry) {
    uint8_t *base = map(at->desc + count * entry, MAP_SHARED, fd, page);
    return (struct queue){(uint32_t *)(base + at->producer), (uint32_t *)(base + at->consumer), (uint32_t *)(base + at->flags), count - 1, base + at->desc};
}

static void open_xsk(struct xsk *xsk, unsigned ifindex, int receives) {
    const uint32_t frames = receives ? RX_FRAMES : TX_FRAMES;
    xsk->fd = check(socket(AF_XDP, SOCK_RAW, 0), "socket AF_XDP");
    xsk->umem = map((size_t)frames * FRAME_SIZE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const struct xdp_umem_reg umem = {.addr = (uintptr_t)xsk->umem, .len = (uint64_t)frames * FRAME_SIZE, .chunk_size = FRAME_SIZE};
    check(setsockopt(xsk->fd, SOL_XDP, XDP_UMEM_REG, &umem, sizeof umem), "XDP_UMEM_REG");
    set_option(xsk->fd, SOL_XDP, XDP_UMEM_FILL_RING, frames, "XDP_UMEM_FILL_RING");
    set_option(xsk->fd, SOL_XDP, XDP_UMEM_COMPLETION_RING, frames, "XDP_UMEM_COMPLETION_RING");
    set_option(xsk->fd, SOL_XDP, receives ? XDP_RX_RING : XDP_TX_RING, frames, "ring of AF_XDP");
    struct xdp_mmap_offsets offsets;
    socklen_t size = sizeof offsets;
    check(getsockopt(xsk->fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &size), "XDP_MMAP_OFFSETS");
    xsk->fill = map_queue(xsk->fd, &offsets.fr, XDP_UMEM_PGOFF_FILL_RING, frames, sizeof(uint64_t));
    xsk->completion = map_queue(xsk->fd, &offsets.cr, XDP_UMEM_PGOFF_COMPLETION_RING, frames, sizeof(uint64_t));
    if (receives) xsk->rx = map_queue(xsk->fd, &offsets.rx, XDP_PGOFF_RX_RING, frames, sizeof(struct xdp_desc));
    else xsk->tx = map_queue(xsk->fd, &offsets.tx, XDP_PGOFF_TX_RING, frames, sizeof(struct xdp_desc));
    const struct sockaddr_xdp address = {.sxdp_family = AF_XDP, .sxdp_ifindex = ifindex, .sxdp_flags = XDP_COPY | XDP_USE_NEED_WAKEUP};
    check(bind(xsk->fd, (const struct sockaddr *)&address, sizeof address), "bind AF_XDP");
    for (uint32_t i = 0; i < frames; i++) xsk->free_frames[xsk->free_count++] = (uint64_t)i * FRAME_SIZE;
    const int budget = TX_BUDGET; /* Linux 6.17; older ones send 32 a call */
    if (!receives) setsockopt(xsk->fd, SOL_XDP, TX_BUDGET_OPTION, &budget, sizeof budget);
}

static int bpf(int command, union bpf_attr *attributes) {
    return (int)syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

/* return bpf_redirect_map(&map, context->rx_queue_index, XDP_PASS); in the driver, or where that cannot, in generic mode */
static void redirect_to(const struct xsk *xsk, unsigned ifindex) {
    const uint32_t key = 0, value = (uint32_t)xsk->fd;
    union bpf_attr create = {0}, update = {0}, load = {0}, link = {0};
    create.map_type = BPF_MAP_TYPE_XSKMAP;
    create.key_size = create.value_size = sizeof key;
    create.max_entries = 1;
    const int sockets = check(bpf(BPF_MAP_CREATE, &create), "BPF_MAP_CREATE");
    update.map_fd = (uint32_t)sockets;
    update.key = (uintptr_t)&key;
    update.value = (uintptr_t)&value;
    check(bpf(BPF_MAP_UPDATE_ELEM, &update), "BPF_MAP_UPDATE_ELEM");
    const struct bpf_insn program[] = {
        {.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_1, .off = offsetof(struct xdp_md, rx_queue_index)},
        {.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = BPF_REG_1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = sockets},
        {0},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3, .imm = XDP_PASS},
        {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect_map},
        {.code = BPF_JMP | BPF_EXIT},
    };
    load.prog_type = BPF_PROG_TYPE_XDP;
    load.insns = (uintptr_t)program;
    load.insn_cnt = sizeof program / sizeof *program;
    load.license = (uintptr_t) "Apache-2.0";
    link.link_create.prog_fd = (uint32_t)check(bpf(BPF_PROG_LOAD, &load), "BPF_PROG_LOAD");
    link.link_create.target_ifindex = ifindex;
    link.link_create.attach_type = BPF_XDP;
    link.link_create.flags = XDP_FLAGS_DRV_MODE;
    if (bpf(BPF_LINK_CREATE, &link) >= 0) return;
    link.link_create.flags = XDP_FLAGS_SKB_MODE;
    check(bpf(BPF_LINK_CREATE, &link), "BPF_LINK_CREATE");
}

static void fill(struct xsk *xsk) {
    uint32_t producer = *xsk->fill.producer;
    while (xsk->free_count > 0) ((uint64_t *)xsk->fill.entries)[producer++ & xsk->fill.mask] = xsk->free_frames[--xsk->free_count];
    __atomic_store_n(xsk->fill.producer, producer, __ATOMIC_RELEASE);
    if (*xsk->fill.flags & XDP_RING_NEED_WAKEUP) recvfrom(xsk->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

static void receive_xsk(struct xsk *xsk, struct batch *batch) {
    const uint32_t first = *xsk->rx.consumer;
    const uint32_t there = __atomic_load_n(xsk->rx.producer, __ATOMIC_ACQUIRE) - first;
    batch->count = there < BATCH ? there : BATCH;
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct xdp_desc *descriptor = (struct xdp_desc *)xsk->rx.entries + ((first + i) & xsk->rx.mask);
        batch->frames[i] = xsk->umem + descriptor->addr;
        batch->sizes[i] = descriptor->len;
        xsk->free_frames[xsk->free_count++] = descriptor->addr & ~(uint64_t)(FRAME_SIZE - 1);
    }
    __atomic_store_n(xsk->rx.consumer, first + batch->count, __ATOMIC_RELEASE);
}

/* Frames used last are used first: they are in the cache. */
static uint32_t send_xsk(struct xsk *xsk, const struct batch *batch) {
    uint32_t done = *xsk->completion.consumer;
    const uint32_t end = __atomic_load_n(xsk->completion.producer, __ATOMIC_ACQUIRE);
    for (; done != end; done++) xsk->free_frames[xsk->free_count++] = ((uint64_t *)xsk->completion.entries)[done & xsk->completion.mask];
    __atomic_store_n(xsk->completion.consumer, done, __ATOMIC_RELEASE);
    uint32_t producer = *xsk->tx.producer, count = 0;
    for (; count < batch->count && xsk->free_count > 0; count++) {
        const uint64_t frame = xsk->free_frames[--xsk->free_count];
        memcpy(xsk->umem + frame, batch->frames[count], batch->sizes[count]);
        ((struct xdp_desc *)xsk->tx.entries)[producer++ & xsk->tx.mask] = (struct xdp_desc){.addr = frame, .len = batch->sizes[count]};
    }
    __atomic_store_n(xsk->tx.producer, producer, __ATOMIC_RELEASE);
    sendto(xsk->fd, NULL, 0, MSG_DONTWAIT, NULL, 0);
    tx_full += batch->count - count;
    return count;
}

/* AF_PACKET */

static uint8_t *open_ring(unsigned ifindex, int *socket_fd) {
    const int fd = check(socket(AF_PACKET, SOCK_RAW, 0), "socket AF_PACKET");
    set_option(fd, SOL_PACKET, PACKET_VERSION, TPACKET_V2, "PACKET_VERSION");
    set_option(fd, SOL_PACKET, IGNORE_OUTGOING, 1, "PACKET_IGNORE_OUTGOING");
    const struct tpacket_req ring = {BLOCK_SIZE, RX_FRAMES / (BLOCK_SIZE / FRAME_SIZE), FRAME_SIZE, RX_FRAMES};
    check(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof ring), "PACKET_RX_RING");
    uint8_t *frames = map((size_t)RX_FRAMES * FRAME_SIZE, MAP_SHARED, fd, 0);
    const struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)ifindex, .sll_protocol = htons(ETH_P_ALL)};
    check(bind(fd, (const struct sockaddr *)&address, sizeof address), "bind AF_PACKET");
    *socket_fd = fd;
    return frames;
}

static struct tpacket2_hdr *header(uint8_t *ring, uint32_t index) {
    return (struct tpacket2_hdr *)(ring + (size_t)(index % RX_FRAMES) * FRAME_SIZE);
}

static void receive_ring(uint8_t *ring, uint32_t next, struct batch *batch) {
    uint32_t count = 0;
    for (; count < BATCH; count++) {
        const struct tpacket2_hdr *frame = header(ring, next + count);
        if (!(__atomic_load_n(&frame->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER)) break;
        batch->frames[count] = (const uint8_t *)frame + frame->tp_mac;
        batch->sizes[count] = frame->tp_snaplen;
    }
    batch->count = count;
}

static void give_back(uint8_t *ring, uint32_t next, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) __atomic_store_n(&header(ring, next + i)->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
}

static int open_epoll(int fd) {
    const int set = check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    struct epoll_event event = {.events = EPOLLIN};
    check(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
    return set;
}

int main(int count, char **arguments) {
    const int sleeps = count == 5 && strcmp(arguments[4], "asleep") == 0;
    if ((count != 4 && !sleeps) || if_nametoindex(arguments[1]) == 0 || if_nametoindex(arguments[2]) == 0) {
        fputs("usage: forwarder RX TX afpacket|afxdp [asleep]\n", stderr);
        return 2;
    }
    static struct xsk in, out;
    uint8_t *ring = NULL;
    int ring_fd = -1;
    const unsigned ifindex = if_nametoindex(arguments[1]);
    if (strcmp(arguments[3], "afpacket") == 0) {
        ring = open_ring(ifindex, &ring_fd);
    } else {
        open_xsk(&in, ifindex, 1);
        fill(&in);
        redirect_to(&in, ifindex);
    }
    open_xsk(&out, if_nametoindex(arguments[2]), 0);
    const int set = sleeps ? open_epoll(ring != NULL ? ring_fd : in.fd) : -1;
    signal(SIGTERM, on_term);
    fputs("ready\n", stderr);

    uint64_t received = 0, sent = 0;
    double busy = 0;
    const double start = now();
    double begin = start;
    while (!stop) {
        struct batch batch;
        if (ring != NULL) receive_ring(ring, (uint32_t)received, &batch);
        else receive_xsk(&in, &batch);
        if (batch.count > 0) sent += send_xsk(&out, &batch);
        if (ring != NULL) give_back(ring, (uint32_t)received, batch.count);
        else fill(&in);
        received += batch.count;
        const double end = now();
        if (batch.count > 0) busy += end - begin;
        begin = end;
        struct epoll_event event;
        if (sleeps && batch.count == 0 && !stop) epoll_wait(set, &event, 1, 100);
    }
    printf("{\"received\":%llu,\"sent\":%llu,\"txFull\":%llu,\"seconds\":%.6f,\"busySeconds\":%.6f}\n", (unsigned long long)received,
           (unsigned long long)sent, (unsigned long long)tx_full, now() - start, busy);
    return 0;
}
