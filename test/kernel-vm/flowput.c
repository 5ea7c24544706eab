/*
 * flowput: asks the kernel's Open vSwitch datapath what it thinks of flows: key, mask and actions as Netlink attributes.
 *
 *   flowput [--keep] CASES RESULTS
 *
 * CASES holds records of three u32, the sizes of key, mask and actions, and that many bytes of each, without padding between
 * them; a mask of size 0xffffffff is not there. For each record RESULTS receives u32 errno (0: the flow was put), u32 offset
 * that the extended ack gives in the list at fault (0xffffffff: none), the sizes of three answers, and the answers: key, mask
 * and actions as the kernel gives them back in its reply, nothing when it refused. Numbers are in host order.
 *
 * Each case is an OVS_FLOW_CMD_NEW with NLM_F_ECHO on a datapath of its own, and a flow that was put is removed again, or stays
 * with --keep, for others to dump. A flow has a UFID, its number from 1 on, so that the reply holds the key under its mask.
 *
 * Runs as root inside the guest of ./boot, with openvswitch loaded. One thread; linked statically.
 */

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/openvswitch.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DATAPATH "oracle"
#define LIST_SIZE_MAX (65535 - NLA_HDRLEN)
#define MESSAGE_SIZE_MAX (1 << 18)
#define BUFFER_SIZE (4 << 20)
#define ABSENT 0xffffffffu

/* Of uapi/linux/netlink.h, spelled out for older headers. */
#ifndef NETLINK_EXT_ACK
#define NETLINK_EXT_ACK 11
#endif

typedef union {
    struct nlmsghdr header;
    uint8_t bytes[MESSAGE_SIZE_MAX];
} message;

static message request, reply;
static int netlink_fd;
static uint32_t sequence;
static uint32_t ufid[4];
static bool keep;

static void die(const char *what)
{
    fprintf(stderr, "flowput: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void begin(uint16_t family, uint16_t flags, uint8_t command, uint8_t version)
{
    struct genlmsghdr generic = { .cmd = command, .version = version };

    request.header = (struct nlmsghdr){
        .nlmsg_type = family,
        .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags,
        .nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN),
        .nlmsg_seq = ++sequence,
    };
    memcpy(NLMSG_DATA(&request.header), &generic, sizeof generic);
}

static void begin_ovs(uint16_t family, uint16_t flags, uint8_t command, uint8_t version, int ifindex)
{
    struct ovs_header header = { .dp_ifindex = ifindex };

    begin(family, flags, command, version);
    memcpy(request.bytes + request.header.nlmsg_len, &header, sizeof header);
    request.header.nlmsg_len += sizeof header;
}

static uint32_t put(uint16_t type, const void *data, size_t size)
{
    uint32_t start = request.header.nlmsg_len;
    uint8_t *at = request.bytes + start;
    struct nlattr attribute = { .nla_type = type, .nla_len = NLA_HDRLEN + size };

    memcpy(at, &attribute, sizeof attribute);
    memset(at + NLA_HDRLEN + size, 0, NLA_ALIGN(size) - size);
    memcpy(at + NLA_HDRLEN, data, size);
    request.header.nlmsg_len += NLA_ALIGN(NLA_HDRLEN + size);
    return start + NLA_HDRLEN;
}

static const struct nlattr *find(const uint8_t *at, const uint8_t *end, uint16_t type)
{
    while (at + NLA_HDRLEN <= end) {
        const struct nlattr *attribute = (const struct nlattr *)at;
        if (attribute->nla_len < NLA_HDRLEN || at + attribute->nla_len > end) {
            break;
        }
        if ((attribute->nla_type & NLA_TYPE_MASK) == type) {
            return attribute;
        }
        at += NLA_ALIGN(attribute->nla_len);
    }
    return NULL;
}

/* Sends the request and waits for its acknowledgement: the errno. A reply before it stays in `reply`, whose size is 0 without
 * one; `*offset` is where in the request the extended ack says the fault is. */
static int transact(uint32_t *offset)
{
    static message answer;

    reply.header.nlmsg_len = 0;
    *offset = ABSENT;
    if (send(netlink_fd, &request, request.header.nlmsg_len, 0) < 0) {
        die("send");
    }
    for (;;) {
        ssize_t size = recv(netlink_fd, &answer, sizeof answer, 0);
        if (size < (ssize_t)sizeof(struct nlmsghdr)) {
            die("receive");
        }
        if (answer.header.nlmsg_seq != sequence) {
            continue;
        }
        if (answer.header.nlmsg_type != NLMSG_ERROR) {
            memcpy(&reply, &answer, size);
            continue;
        }
        const struct nlmsgerr *error = NLMSG_DATA(&answer.header);
        if (answer.header.nlmsg_flags & NLM_F_ACK_TLVS) {
            size_t echoed = answer.header.nlmsg_flags & NLM_F_CAPPED ? 0 : error->msg.nlmsg_len - NLMSG_HDRLEN;
            const uint8_t *tlvs = (const uint8_t *)error + sizeof *error + NLMSG_ALIGN(echoed);
            const struct nlattr *where = find(tlvs, answer.bytes + size, NLMSGERR_ATTR_OFFS);
            if (where) {
                memcpy(offset, where + 1, sizeof *offset);
            }
        }
        return -error->error;
    }
}

static void must(const char *what)
{
    uint32_t offset;

    errno = transact(&offset);
    if (errno) {
        die(what);
    }
}

static uint16_t family_id(const char *name)
{
    begin(GENL_ID_CTRL, 0, CTRL_CMD_GETFAMILY, 1);
    put(CTRL_ATTR_FAMILY_NAME, name, strlen(name) + 1);
    must(name);
    const struct nlattr *id =
        find(reply.bytes + NLMSG_LENGTH(GENL_HDRLEN), reply.bytes + reply.header.nlmsg_len, CTRL_ATTR_FAMILY_ID);
    if (!id) {
        die("no family id in the reply");
    }
    return *(const uint16_t *)(id + 1);
}

static void open_netlink(void)
{
    struct sockaddr_nl address = { .nl_family = AF_NETLINK };
    int size = BUFFER_SIZE, one = 1;

    netlink_fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC);
    if (netlink_fd < 0 || bind(netlink_fd, (struct sockaddr *)&address, sizeof address)) {
        die("generic Netlink socket");
    }
    setsockopt(netlink_fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    setsockopt(netlink_fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    setsockopt(netlink_fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof one);
}

static int make_datapath(void)
{
    uint16_t datapaths = family_id(OVS_DATAPATH_FAMILY);
    uint32_t zero = 0;

    begin_ovs(datapaths, 0, OVS_DP_CMD_NEW, OVS_DATAPATH_VERSION, 0);
    put(OVS_DP_ATTR_NAME, DATAPATH, sizeof DATAPATH);
    put(OVS_DP_ATTR_UPCALL_PID, &zero, sizeof zero);
    must("new datapath");
    return if_nametoindex(DATAPATH);
}

static void write_all(FILE *file, const void *data, size_t size)
{
    if (size && fwrite(data, size, 1, file) != 1) {
        die("writing the results");
    }
}

/* One list of the reply: its size into `*size`, its address as the result. */
static const void *answer_of(uint16_t type, uint32_t *size)
{
    const uint8_t *at = reply.bytes + NLMSG_LENGTH(GENL_HDRLEN) + sizeof(struct ovs_header);
    const struct nlattr *list =
        reply.header.nlmsg_len ? find(at, reply.bytes + reply.header.nlmsg_len, type) : NULL;

    *size = list ? list->nla_len - NLA_HDRLEN : 0;
    return list ? list + 1 : NULL;
}

static void try_case(uint16_t flows, int ifindex, const uint32_t *sizes, const uint8_t *lists, FILE *results)
{
    static const uint16_t types[3] = { OVS_FLOW_ATTR_KEY, OVS_FLOW_ATTR_MASK, OVS_FLOW_ATTR_ACTIONS };
    uint32_t starts[3] = { 0 }, head[5] = { 0 }, offset;
    const void *answers[3];

    begin_ovs(flows, NLM_F_ECHO | NLM_F_CREATE, OVS_FLOW_CMD_NEW, OVS_FLOW_VERSION, ifindex);
    ufid[0]++;
    put(OVS_FLOW_ATTR_UFID, ufid, sizeof ufid);
    put(OVS_FLOW_ATTR_PROBE, "", 0);
    for (int i = 0; i < 3; i++) {
        if (sizes[i] != ABSENT) {
            starts[i] = put(types[i], lists, sizes[i]);
            lists += sizes[i];
        }
    }
    head[0] = transact(&offset);
    head[1] = ABSENT;
    for (int i = 0; i < 3; i++) {
        if (offset != ABSENT && starts[i] && offset >= starts[i] && offset - starts[i] < sizes[i]) {
            head[1] = offset - starts[i];
        }
        answers[i] = answer_of(types[i], &head[2 + i]);
    }
    write_all(results, head, sizeof head);
    for (int i = 0; i < 3; i++) {
        write_all(results, answers[i], head[2 + i]);
    }
    if (keep) {
        return;
    }
    begin_ovs(flows, 0, OVS_FLOW_CMD_DEL, OVS_FLOW_VERSION, ifindex);
    put(OVS_FLOW_ATTR_UFID, ufid, sizeof ufid);
    transact(&offset);
}

int main(int argc, char **argv)
{
    static uint8_t lists[3 * 65536];
    uint32_t sizes[3], count = 0;
    struct timespec start, end;

    keep = argc == 4 && !strcmp(argv[1], "--keep");
    if (argc != (keep ? 4 : 3)) {
        fputs("usage: flowput [--keep] CASES RESULTS\n", stderr);
        return 2;
    }
    FILE *cases = fopen(argv[argc - 2], "rb"), *results = fopen(argv[argc - 1], "wb");
    if (!cases || !results) {
        die("opening the files");
    }
    open_netlink();
    int ifindex = make_datapath();
    uint16_t flows = family_id(OVS_FLOW_FAMILY);

    clock_gettime(CLOCK_MONOTONIC, &start);
    for (; fread(sizes, sizeof sizes, 1, cases) == 1; count++) {
        size_t size = 0;
        for (int i = 0; i < 3; i++) {
            if (sizes[i] != ABSENT && sizes[i] > LIST_SIZE_MAX) {
                die("the file of cases is damaged");
            }
            size += sizes[i] == ABSENT ? 0 : sizes[i];
        }
        if (size && fread(lists, size, 1, cases) != 1) {
            die("reading the cases");
        }
        try_case(flows, ifindex, sizes, lists, results);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (fclose(results)) {
        die("writing the results");
    }
    printf("%u flows, %.3f s\n", count, (end.tv_sec - start.tv_sec) + (end.tv_nsec - start.tv_nsec) / 1e9);
    return 0;
}
