/*
 * generator: frames into one end of a veth pair, and a sink at the end of another. Part of bench/forward.
 *
 *     generator INTERFACE SINK SECONDS FLOWS SHARE auto|xdp|sendmmsg
 *
 * Frames are 60 bytes of UDP (bench/ovs/README.md), their source ports 1024 .. 1023 + FLOWS, a power of two; no checksum, which UDP allows. As many as it
 * can. With `xdp` the kernel makes the frames itself: BPF_PROG_TEST_RUN with BPF_F_TEST_XDP_LIVE_FRAMES runs a program that writes the port and redirects
 * the frame to INTERFACE; `auto` falls back to sendmmsg where it cannot. SHARE, percent: the program drops the others at random, so that less is offered, evenly;
 * xdp only. SINK gets a program that drops everything; its interface counts, as rx_packets, what has come. Says how it sends as one JSON object and ends after
 * SECONDS; what was sent stands in the interface's counters. Both programs go with the process.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

enum { FRAME_SIZE = 60, PORT_OFFSET = 34, FIRST_PORT = 1024, FLOWS_MAX = 32768, BATCH = 64 };

static volatile sig_atomic_t stop;

static void on_alarm(int signal) {
    (void)signal;
    stop = 1;
}

static const uint8_t HEADERS[FRAME_SIZE] = {
    2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0,                                         /* Ethernet, IPv4 */
    0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0x65, 0xbe, 10, 0, 0, 1, 11, 0, 0, 1,            /* IPv4, UDP, with its checksum */
    0x04, 0, 0x12, 0xb5, 0, 26, 0, 0,                                                    /* UDP to 4789 */
};

static int check(int result, const char *what) {
    if (result >= 0) return result;
    fprintf(stderr, "generator: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int bpf(int command, union bpf_attr *attributes) {
    return (int)syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

static int load(const struct bpf_insn *program, uint32_t count) {
    union bpf_attr attributes = {0};
    attributes.prog_type = BPF_PROG_TYPE_XDP;
    attributes.insns = (uintptr_t)program;
    attributes.insn_cnt = count;
    attributes.license = (uintptr_t) "Apache-2.0";
    return bpf(BPF_PROG_LOAD, &attributes);
}

/* return XDP_DROP; in generic mode: what arrives at a veth from a plain sender is an skb already. */
static void sink(unsigned ifindex) {
    const struct bpf_insn program[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_DROP},
        {.code = BPF_JMP | BPF_EXIT},
    };
    union bpf_attr attributes = {0};
    attributes.link_create.prog_fd = check(load(program, 2), "BPF_PROG_LOAD of the sink");
    attributes.link_create.target_ifindex = ifindex;
    attributes.link_create.attach_type = BPF_XDP;
    attributes.link_create.flags = XDP_FLAGS_SKB_MODE;
    check(bpf(BPF_LINK_CREATE, &attributes), "BPF_LINK_CREATE of the sink");
}

/* if (random >> 24 >= share) return XDP_DROP; data[34..35] = htons(1024 + (random & (flows - 1))); return bpf_redirect(ifindex, 0); */
static int load_live(unsigned ifindex, uint32_t flows, int percent) {
    const struct bpf_insn program[] = {
        {.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = BPF_REG_6, .src_reg = BPF_REG_1, .off = offsetof(struct xdp_md, data)},
        {.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = BPF_REG_3, .src_reg = BPF_REG_1, .off = offsetof(struct xdp_md, data_end)},
        {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_6},
        {.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_2, .imm = FRAME_SIZE},
        {.code = BPF_JMP | BPF_JGT | BPF_X, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_3, .off = 12},
        {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_get_prandom_u32},
        {.code = BPF_ALU | BPF_MOV | BPF_X, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_0},
        {.code = BPF_ALU | BPF_RSH | BPF_K, .dst_reg = BPF_REG_1, .imm = 24},
        {.code = BPF_JMP | BPF_JGE | BPF_K, .dst_reg = BPF_REG_1, .imm = percent * 256 / 100, .off = 9},
        {.code = BPF_ALU64 | BPF_AND | BPF_K, .dst_reg = BPF_REG_0, .imm = (int)flows - 1},
        {.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_0, .imm = FIRST_PORT},
        {.code = BPF_ALU | BPF_END | BPF_TO_BE, .dst_reg = BPF_REG_0, .imm = 16},
        {.code = BPF_STX | BPF_MEM | BPF_H, .dst_reg = BPF_REG_6, .src_reg = BPF_REG_0, .off = PORT_OFFSET},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_1, .imm = (int)ifindex},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .imm = 0},
        {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect},
        {.code = BPF_JMP | BPF_EXIT},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_DROP},
        {.code = BPF_JMP | BPF_EXIT},
    };
    return load(program, sizeof program / sizeof *program);
}

static int run_live(int program, uint32_t count) {
    struct xdp_md context = {.data_end = FRAME_SIZE};
    union bpf_attr attributes = {0};
    attributes.test.prog_fd = program;
    attributes.test.data_in = (uintptr_t)HEADERS;
    attributes.test.data_size_in = FRAME_SIZE;
    attributes.test.ctx_in = (uintptr_t)&context;
    attributes.test.ctx_size_in = sizeof context;
    attributes.test.repeat = count;
    attributes.test.batch_size = BATCH;
    attributes.test.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
    return bpf(BPF_PROG_TEST_RUN, &attributes);
}

struct sender {
    int fd;
    uint32_t flows, next;
    uint8_t (*frames)[FRAME_SIZE];
};

static struct sender open_sender(unsigned ifindex, uint32_t flows) {
    struct sender sender = {.flows = flows, .frames = malloc((size_t)flows * FRAME_SIZE)};
    sender.fd = check(socket(AF_PACKET, SOCK_RAW, 0), "socket");
    const int on = 1;
    check(setsockopt(sender.fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on), "PACKET_QDISC_BYPASS");
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)ifindex};
    check(bind(sender.fd, (struct sockaddr *)&address, sizeof address), "bind");
    for (uint32_t i = 0; i < flows; i++) {
        const uint16_t port = htons((uint16_t)(FIRST_PORT + i));
        memcpy(sender.frames[i], HEADERS, FRAME_SIZE);
        memcpy(sender.frames[i] + PORT_OFFSET, &port, sizeof port);
    }
    return sender;
}

static void run_sender(struct sender *sender) {
    struct mmsghdr messages[BATCH] = {0};
    struct iovec vectors[BATCH];
    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){sender->frames[sender->next], FRAME_SIZE};
        messages[i].msg_hdr.msg_iov = &vectors[i];
        messages[i].msg_hdr.msg_iovlen = 1;
        sender->next = (sender->next + 1) % sender->flows;
    }
    sendmmsg(sender->fd, messages, BATCH, 0);
}

static void stop_after(double seconds) {
    const struct sigaction action = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &action, NULL);
    const struct itimerval timer = {.it_value = {(time_t)seconds, (suseconds_t)((seconds - (time_t)seconds) * 1e6)}};
    setitimer(ITIMER_REAL, &timer, NULL);
}

int main(int count, char **arguments) {
    if (count != 7) {
        fputs("usage: generator INTERFACE SINK SECONDS FLOWS SHARE auto|xdp|sendmmsg\n", stderr);
        return 2;
    }
    const unsigned ifindex = if_nametoindex(arguments[1]), sink_ifindex = if_nametoindex(arguments[2]);
    const double seconds = atof(arguments[3]);
    const int flows = atoi(arguments[4]), percent = atoi(arguments[5]);
    const char *mode = arguments[6];
    if (ifindex == 0 || sink_ifindex == 0 || flows <= 0 || flows > FLOWS_MAX || (flows & (flows - 1)) != 0 || percent <= 0 || percent > 100) {
        fputs("generator: no such interface, FLOWS is not a power of two of 32768 at most, or SHARE is not 1 to 100\n", stderr);
        return 2;
    }
    sink(sink_ifindex);
    int program = strcmp(mode, "sendmmsg") == 0 ? -1 : load_live(ifindex, (uint32_t)flows, percent);
    if (program >= 0 && run_live(program, BATCH) < 0) program = -1;
    if (program < 0 && (percent < 100 || strcmp(mode, "xdp") == 0)) check(-1, "BPF_PROG_TEST_RUN with live frames");
    printf("{\"mode\":\"%s\"}\n", program < 0 ? "sendmmsg" : "xdp");
    stop_after(seconds);
    if (program >= 0) {
        /* one call: each sets up its pages anew; the alarm interrupts it */
        while (!stop) if (run_live(program, UINT32_MAX) < 0 && errno != EINTR) check(-1, "BPF_PROG_TEST_RUN");
    } else {
        struct sender sender = open_sender(ifindex, (uint32_t)flows);
        while (!stop) run_sender(&sender);
    }
    return 0;
}
