/*
 * transact: hands requests to the kernel's Open vSwitch datapath, one after the other, and says what came of each.
 *
 *   transact REQUESTS RESULTS [SETUP]
 *
 * REQUESTS holds records: u32 size of the attributes, u8 family (an index of FAMILIES), u8 command, u16 flags of the message, and the
 * attributes as they are to be sent. RESULTS receives for each of them: u32 number of replies, and for each u32 size and the whole message;
 * u32 errno, 0 if there was none; u32 number of frames, and for each u32 port, u32 size, bytes; u32 number of upcalls, and for each u32 size
 * and the whole message. Numbers are in host order.
 *
 * It makes one datapath with PORTS tap devices, port1 and so on, as ports 1 to PORTS, and then runs SETUP, a shell command. Upcalls, those of
 * ports and those that name port id UPCALL_PID, come to one socket; so do the packets that the psample module was asked for, if SETUP loads it. The kernel handles a request inside send(): the frames that go out of a port wait in its tap device, the upcalls in
 * the socket, and the error in the requester's when it returns.
 *
 * Runs as root inside the guest of ./boot, with openvswitch and tun loaded. One thread; linked statically.
 */
#define _GNU_SOURCE
#include "guest.h"

#include <linux/psample.h>

#define DATAPATH "oracle"
#define PORTS 4
#define UPCALL_PID 4242
#define RECORD_SIZE_MAX 131072

static const char *const FAMILIES[] = { OVS_PACKET_FAMILY, OVS_FLOW_FAMILY, OVS_METER_FAMILY };
#define FAMILY_COUNT (sizeof FAMILIES / sizeof *FAMILIES)

struct request {
    uint32_t size;
    uint8_t family;
    uint8_t command;
    uint16_t flags;
};

static uint8_t record[RECORD_SIZE_MAX];

static int open_upcalls(void)
{
    int size = RECEIVE_BUFFER_SIZE;
    struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_pid = UPCALL_PID };
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address)) {
        die("socket of the upcalls");
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    return fd;
}

/* Returns the ifindex of the datapath. */
static int make_datapath(int control, int *taps)
{
    uint16_t datapaths = family_id(control, OVS_DATAPATH_FAMILY);
    uint16_t vports = family_id(control, OVS_VPORT_FAMILY);

    begin_ovs(datapaths, NLM_F_ACK, OVS_DP_CMD_NEW, OVS_DATAPATH_VERSION, 0);
    put_string(OVS_DP_ATTR_NAME, DATAPATH);
    put_u32(OVS_DP_ATTR_UPCALL_PID, UPCALL_PID);
    put_u32(OVS_DP_ATTR_USER_FEATURES, OVS_DP_F_UNALIGNED);
    transact(control, "new datapath");
    int ifindex = if_nametoindex(DATAPATH);
    for (uint32_t port = 1; port <= PORTS; port++) {
        char name[IFNAMSIZ];
        snprintf(name, sizeof name, "port%u", port);
        taps[port] = open_tap(name);
        begin_ovs(vports, NLM_F_ACK, OVS_VPORT_CMD_NEW, OVS_VPORT_VERSION, ifindex);
        put_u32(OVS_VPORT_ATTR_PORT_NO, port);
        put_string(OVS_VPORT_ATTR_NAME, name);
        put_u32(OVS_VPORT_ATTR_TYPE, OVS_VPORT_TYPE_NETDEV);
        put_u32(OVS_VPORT_ATTR_UPCALL_PID, UPCALL_PID);
        transact(control, name);
    }
    return ifindex;
}

static void run_setup(const char *command)
{
    int status = system(command);

    if (status != 0) {
        errno = 0;
        die("the set-up failed with status %d: %s", status, command);
    }
}

/* Joins the group "packets" of the family psample. */
static void join_samples(int control, int upcalls)
{
    family_id(control, PSAMPLE_GENL_NAME);
    uint32_t group = group_id(PSAMPLE_NL_MCGRP_SAMPLE_NAME);

    if (setsockopt(upcalls, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group)) {
        die("joining the group of samples");
    }
}

static void write_words(FILE *results, const uint32_t *words, size_t count)
{
    if (fwrite(words, sizeof *words, count, results) != count) {
        die("writing the results");
    }
}

static void write_bytes(FILE *results, const uint8_t *bytes, size_t size)
{
    if (size && fwrite(bytes, size, 1, results) != 1) {
        die("writing the results");
    }
}

/* Where a count will stand when it is known. */
static long reserve(FILE *results)
{
    long at = ftell(results);

    write_words(results, &(uint32_t){ 0 }, 1);
    return at;
}

static void fill(FILE *results, long at, uint32_t count)
{
    if (count == 0) {
        return;
    }
    fseek(results, at, SEEK_SET);
    write_words(results, &count, 1);
    fseek(results, 0, SEEK_END);
}

static void drain_taps(FILE *results, const int *taps)
{
    long at = reserve(results);
    uint32_t count = 0;

    for (uint32_t port = 1; port <= PORTS; port++) {
        ssize_t size;
        while ((size = read(taps[port], record, sizeof record)) >= 0) {
            write_words(results, (uint32_t[]){ port, size }, 2);
            write_bytes(results, record, size);
            count++;
        }
    }
    fill(results, at, count);
}

static void drain_upcalls(FILE *results, int upcalls)
{
    long at = reserve(results);
    uint32_t count = 0;
    ssize_t size;

    while ((size = recv(upcalls, record, sizeof record, MSG_DONTWAIT)) >= 0) {
        write_words(results, &(uint32_t){ size }, 1);
        write_bytes(results, record, size);
        count++;
    }
    fill(results, at, count);
}

/* Writes the replies, and the error that the kernel answered, 0 if none. */
static void drain_answers(FILE *results, int control)
{
    long at = reserve(results);
    uint32_t count = 0;
    uint32_t error = 0;
    ssize_t size;

    while ((size = recv(control, reply.bytes, sizeof reply, MSG_DONTWAIT)) >= 0) {
        if (reply.header.nlmsg_type != NLMSG_ERROR) {
            write_words(results, &(uint32_t){ size }, 1);
            write_bytes(results, reply.bytes, size);
            count++;
        } else if (size >= (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr))) {
            error = -((const struct nlmsgerr *)NLMSG_DATA(&reply.header))->error;
        }
    }
    fill(results, at, count);
    write_words(results, &error, 1);
}

int main(int argc, char **argv)
{
    int taps[PORTS + 1];
    uint16_t families[FAMILY_COUNT];
    struct request head;
    uint32_t count = 0;

    if (argc != 3 && argc != 4) {
        fputs("usage: transact REQUESTS RESULTS [SETUP]\n", stderr);
        return 2;
    }
    FILE *requests = open_file(argv[1], "rb");
    FILE *results = open_file(argv[2], "wb");

    disable_ipv6();
    int control = open_netlink();
    int upcalls = open_upcalls();
    int ifindex = make_datapath(control, taps);
    if (argc == 4) {
        run_setup(argv[3]);
        join_samples(control, upcalls);
    }
    for (size_t i = 0; i < FAMILY_COUNT; i++) {
        families[i] = family_id(control, FAMILIES[i]);
    }
    for (; fread(&head, sizeof head, 1, requests) == 1; count++) {
        if (head.size > sizeof record || head.family >= FAMILY_COUNT ||
            (head.size && fread(record, head.size, 1, requests) != 1)) {
            errno = 0;
            die("the file of requests is damaged");
        }
        begin_ovs(families[head.family], head.flags, head.command, 1, ifindex);
        memcpy(request.bytes + request.header.nlmsg_len, record, head.size);
        request.header.nlmsg_len += head.size;
        if (send(control, &request, request.header.nlmsg_len, 0) < 0) {
            die("request %u: send", count);
        }
        drain_answers(results, control);
        drain_taps(results, taps);
        drain_upcalls(results, upcalls);
    }
    if (fclose(results)) {
        die("writing the results");
    }
    printf("%u requests\n", count);
    return 0;
}
