/*
 * generator: frames into one end of a veth pair. Part of bench/forward.
 *
 *     generator INTERFACE SECONDS FLOWS RATE NEW auto|xdp|sendmmsg
 *
 * Frames are 60 bytes of UDP (bench/ovs/README.md), their source ports 1024 .. 1023 + FLOWS, a power of two; no checksum, which UDP allows. RATE of them a
 * second, 0: as many as it can. NEW more a second have random ports, so that each is a flow of its own. With `xdp` the kernel makes the frames itself:
 * BPF_PROG_TEST_RUN with BPF_F_TEST_XDP_LIVE_FRAMES runs a program that writes the ports and redirects the frame to INTERFACE, or drops it because its
 * time has not come; `auto` falls back to sendmmsg where it cannot, which knows no RATE. Says how it sends as one JSON object and ends after SECONDS; what was sent
 * stands in the interface's counters.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
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

enum { FRAME_SIZE = 60, PORT_OFFSET = 34, FIRST_PORT = 1024, FLOWS_MAX = 32768, DESTINATION_PORT = 4789, BATCH = 64 };
enum { NS_PER_S = 1000000000, CATCH_UP_NS = 100000 };

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

/* An array of one value that a program reads and writes in place: when the next known and the next new frame are due, ns. */
static int make_times(void) {
    union bpf_attr attributes = {0};
    attributes.map_type = BPF_MAP_TYPE_ARRAY;
    attributes.key_size = sizeof(uint32_t);
    attributes.value_size = 2 * sizeof(uint64_t);
    attributes.max_entries = 1;
    return bpf(BPF_MAP_CREATE, &attributes);
}

/* Of a frame that is due every `interval` ns: { if (now < times[at]) goto late; times[at] = max(times[at] + interval, now - CATCH_UP_NS); } */
#define WAIT(interval, at, late) \
    {.code = BPF_LDX | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_8, .off = (at) * 8}, \
    {.code = BPF_JMP | BPF_JLT | BPF_X, .dst_reg = BPF_REG_7, .src_reg = BPF_REG_1, .off = (late) + 6}, \
    {.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_1, .imm = (interval)}, \
    {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_7}, \
    {.code = BPF_ALU64 | BPF_SUB | BPF_K, .dst_reg = BPF_REG_2, .imm = CATCH_UP_NS}, \
    {.code = BPF_JMP | BPF_JGE | BPF_X, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_2, .off = 1}, \
    {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_2}, \
    {.code = BPF_STX | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_8, .src_reg = BPF_REG_1, .off = (at) * 8}

/*
 * if (rate != 0) {
 *     now = ktime_get_ns();
 *     if (fresh != 0 and a new one is due) ports = random | 1 << 31;
 *     else if (no known one is due) return XDP_DROP;
 * }
 * if (it is a known one) ports = (1024 + (random >> 16 & (flows - 1))) << 16 | 4789;
 * data[34..37] = htonl(ports); return bpf_redirect(ifindex, 0);
 */
static int load_live(unsigned ifindex, uint32_t flows, int rate, int fresh) {
    const int interval = rate > 0 ? NS_PER_S / rate : 0, fresh_interval = fresh > 0 ? NS_PER_S / fresh : 0;
    const struct bpf_insn program[] = {
        {.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = BPF_REG_6, .src_reg = BPF_REG_1, .off = offsetof(struct xdp_md, data)},
        {.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = BPF_REG_3, .src_reg = BPF_REG_1, .off = offsetof(struct xdp_md, data_end)},
        {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_6},
        {.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_2, .imm = FRAME_SIZE},
        {.code = BPF_JMP | BPF_JGT | BPF_X, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_3, .off = 39},
        /* a jump that the verifier sees through: what it never reaches is taken out */
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_9, .imm = rate},
        {.code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = BPF_REG_9, .imm = 0, .off = 25},
        {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_ktime_get_ns},
        {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_7, .src_reg = BPF_REG_0},
        {.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = BPF_REG_8, .src_reg = BPF_PSEUDO_MAP_VALUE, .imm = make_times()},
        {0},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_9, .imm = fresh},
        {.code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = BPF_REG_9, .imm = 0, .off = 11},
        WAIT(fresh_interval, 1, 3),
        {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_get_prandom_u32},
        {.code = BPF_ALU | BPF_OR | BPF_K, .dst_reg = BPF_REG_0, .imm = INT32_MIN},
        {.code = BPF_JMP | BPF_JA, .off = 14},
        WAIT(interval, 0, 12),
        {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_get_prandom_u32},
        {.code = BPF_ALU | BPF_RSH | BPF_K, .dst_reg = BPF_REG_0, .imm = 16},
        {.code = BPF_ALU | BPF_AND | BPF_K, .dst_reg = BPF_REG_0, .imm = (int)flows - 1},
        {.code = BPF_ALU | BPF_ADD | BPF_K, .dst_reg = BPF_REG_0, .imm = FIRST_PORT},
        {.code = BPF_ALU | BPF_LSH | BPF_K, .dst_reg = BPF_REG_0, .imm = 16},
        {.code = BPF_ALU | BPF_OR | BPF_K, .dst_reg = BPF_REG_0, .imm = DESTINATION_PORT},
        {.code = BPF_ALU | BPF_END | BPF_TO_BE, .dst_reg = BPF_REG_0, .imm = 32},
        {.code = BPF_STX | BPF_MEM | BPF_W, .dst_reg = BPF_REG_6, .src_reg = BPF_REG_0, .off = PORT_OFFSET},
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
        fputs("usage: generator INTERFACE SECONDS FLOWS RATE NEW auto|xdp|sendmmsg\n", stderr);
        return 2;
    }
    const unsigned ifindex = if_nametoindex(arguments[1]);
    const double seconds = atof(arguments[2]);
    const int flows = atoi(arguments[3]), rate = atoi(arguments[4]), fresh = atoi(arguments[5]);
    const char *mode = arguments[6];
    if (ifindex == 0 || flows <= 0 || flows > FLOWS_MAX || (flows & (flows - 1)) != 0 || rate < 0 || fresh < 0) {
        fputs("generator: no such interface, FLOWS is not a power of two of 32768 at most, or RATE or NEW is below 0\n", stderr);
        return 2;
    }
    int program = strcmp(mode, "sendmmsg") == 0 ? -1 : load_live(ifindex, (uint32_t)flows, rate, fresh);
    if (program >= 0 && run_live(program, BATCH) < 0) program = -1;
    if (program < 0 && (rate > 0 || strcmp(mode, "xdp") == 0)) check(-1, "BPF_PROG_TEST_RUN with live frames");
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
