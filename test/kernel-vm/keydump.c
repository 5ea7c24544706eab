/*
 * keydump: asks the kernel's Open vSwitch datapath which flow key it gives to each frame.
 *
 *   keydump FRAMES TAP-KEYS EXECUTE-KEYS
 *
 * FRAMES holds records of u32 size and that many bytes. For each of them both outputs receive u32 index, u32 size and the
 * bytes of the OVS_PACKET_ATTR_KEY attribute (its nested attributes, as the kernel sent them), size 0 when there was no
 * upcall. Numbers are in host order.
 *
 * It makes a datapath without flows and a tap device as its port 1. There are two ways into the datapath, and both end in
 * an upcall with a key; first all frames go one way, then all the other:
 *
 *   tap      the frame is written to the tap device and misses. The device refuses less than an Ethernet header, and the
 *            kernel drops a frame with a cut VLAN tag before the datapath sees it.
 *   execute  the frame comes with a Netlink message, OVS_PACKET_CMD_EXECUTE, whose action is an upcall. Nothing but the
 *            datapath touches the frame.
 *
 * An upcall carries at most 65531 bytes; longer frames are refused here. The kernel handles a frame inside write() or
 * send(), so its upcall, if any, waits in the socket when the call returns; that each upcall carries the very frame just
 * given is checked, and anything else ends the program with an error.
 *
 * Runs as root inside the guest of ./boot, with openvswitch and tun loaded. One thread; linked statically.
 */

#define _GNU_SOURCE
#include "guest.h"

#define DATAPATH "oracle"
#define TAP "frames"
#define IN_PORT 1
#define FRAME_SIZE_MAX 262144
#define ATTRIBUTE_SIZE_MAX (65535 - NLA_HDRLEN)

/* What stands between this program and the kernel. */
struct datapath {
    int control;      /* Netlink socket for requests */
    int upcalls;      /* Netlink socket that receives upcalls */
    int tap;          /* the port */
    int ifindex;      /* of the datapath */
    uint16_t packets; /* id of the family of OVS_PACKET_CMD_EXECUTE */
};

/* ------------------------------------------------------------------------------------------------ datapath and port */

static struct datapath make_datapath(void)
{
    struct datapath dp = { .control = open_netlink(), .upcalls = open_netlink(), .tap = open_tap(TAP) };
    uint16_t datapaths = family_id(dp.control, OVS_DATAPATH_FAMILY);
    uint16_t vports = family_id(dp.control, OVS_VPORT_FAMILY);

    dp.packets = family_id(dp.control, OVS_PACKET_FAMILY);
    begin_ovs(datapaths, NLM_F_ACK, OVS_DP_CMD_NEW, OVS_DATAPATH_VERSION, 0);
    put_string(OVS_DP_ATTR_NAME, DATAPATH);
    put_u32(OVS_DP_ATTR_UPCALL_PID, port_id(dp.upcalls));
    put_u32(OVS_DP_ATTR_USER_FEATURES, OVS_DP_F_UNALIGNED);
    transact(dp.control, "new datapath");

    dp.ifindex = if_nametoindex(DATAPATH);
    begin_ovs(vports, NLM_F_ACK, OVS_VPORT_CMD_NEW, OVS_VPORT_VERSION, dp.ifindex);
    put_u32(OVS_VPORT_ATTR_PORT_NO, IN_PORT);
    put_string(OVS_VPORT_ATTR_NAME, TAP);
    put_u32(OVS_VPORT_ATTR_TYPE, OVS_VPORT_TYPE_NETDEV);
    put_u32(OVS_VPORT_ATTR_UPCALL_PID, port_id(dp.upcalls));
    transact(dp.control, "new vport");
    return dp;
}

/* ----------------------------------------------------------------------------------------------------------- frames */

/* Both give one frame to the kernel and return whether it was accepted. */

static bool send_to_tap(const struct datapath *dp, const uint8_t *frame, uint32_t size, uint32_t index)
{
    if (write(dp->tap, frame, size) == (ssize_t)size) {
        return true;
    }
    if (errno != EINVAL) {
        die("frame %u: write to the tap device", index);
    }
    return false;
}

static bool send_to_execute(const struct datapath *dp, const uint8_t *frame, uint32_t size, uint32_t index)
{
    union {
        struct nlmsghdr header;
        uint8_t bytes[256];
    } error;

    begin_ovs(dp->packets, 0, OVS_PACKET_CMD_EXECUTE, OVS_PACKET_VERSION, dp->ifindex);
    put(OVS_PACKET_ATTR_PACKET, frame, size);
    uint32_t key = open_nest(OVS_PACKET_ATTR_KEY);
    put_u32(OVS_KEY_ATTR_IN_PORT, IN_PORT);
    close_nest(key);
    uint32_t actions = open_nest(OVS_PACKET_ATTR_ACTIONS);
    uint32_t upcall = open_nest(OVS_ACTION_ATTR_USERSPACE);
    put_u32(OVS_USERSPACE_ATTR_PID, port_id(dp->upcalls));
    close_nest(upcall);
    close_nest(actions);
    if (send(dp->control, &request, request.header.nlmsg_len, 0) < 0) {
        die("frame %u: send", index);
    }
    if (recv(dp->control, &error, sizeof error, MSG_DONTWAIT | MSG_TRUNC) < 0) {
        return true;
    }
    const struct nlmsgerr *answer = NLMSG_DATA(&error.header);
    errno = -answer->error;
    if (errno != EINVAL && errno != ERANGE) {
        die("frame %u: execute", index);
    }
    return false;
}

/* The key of the upcall that waits in the socket; data NULL when none waits. */
static struct attribute receive_key(int upcalls, uint8_t command, const uint8_t *frame, size_t size, uint32_t index)
{
    ssize_t received = recv(upcalls, reply.bytes, sizeof reply, MSG_DONTWAIT);

    if (received < 0 && errno == EAGAIN) {
        return (struct attribute){ NULL, 0 };
    }
    if (received < (ssize_t)NLMSG_LENGTH(GENL_HDRLEN) || (size_t)received < reply.header.nlmsg_len) {
        die("frame %u: receive", index);
    }
    errno = 0;
    const struct genlmsghdr *generic = NLMSG_DATA(&reply.header);
    if (generic->cmd != command) {
        die("frame %u: command %u instead of %u", index, generic->cmd, command);
    }
    struct attribute key = find(sizeof(struct ovs_header), OVS_PACKET_ATTR_KEY);
    struct attribute packet = find(sizeof(struct ovs_header), OVS_PACKET_ATTR_PACKET);
    if (!key.data || !packet.data || packet.size != size || memcmp(packet.data, frame, size)) {
        die("frame %u: the upcall carries another frame, or no key", index);
    }
    return key;
}

static void write_record(FILE *keys, uint32_t index, struct attribute key)
{
    uint32_t header[2] = { index, key.size };

    if (fwrite(header, sizeof header, 1, keys) != 1 || (key.size && fwrite(key.data, key.size, 1, keys) != 1)) {
        die("writing the keys");
    }
}

static bool read_frame(FILE *frames, uint8_t *frame, uint32_t *size)
{
    if (fread(size, sizeof *size, 1, frames) != 1) {
        return false;
    }
    if (*size > FRAME_SIZE_MAX || (*size && fread(frame, *size, 1, frames) != 1)) {
        errno = 0;
        die("the file of frames is damaged");
    }
    return true;
}

static void dump_keys(const struct datapath *dp, bool execute, FILE *frames, const char *keys_path)
{
    FILE *keys = open_file(keys_path, "wb");
    static uint8_t frame[FRAME_SIZE_MAX];
    uint8_t command = execute ? OVS_PACKET_CMD_ACTION : OVS_PACKET_CMD_MISS;
    uint32_t size, count = 0, key_count = 0, refused_count = 0;
    struct timespec start, end;

    rewind(frames);
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (; read_frame(frames, frame, &size); count++) {
        bool accepted = size <= ATTRIBUTE_SIZE_MAX && (execute ? send_to_execute : send_to_tap)(dp, frame, size, count);
        struct attribute key = receive_key(dp->upcalls, command, frame, size, count);
        write_record(keys, count, key);
        key_count += key.data != NULL;
        refused_count += !accepted;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (fclose(keys)) {
        die("writing %s", keys_path);
    }
    double seconds = (end.tv_sec - start.tv_sec) + (end.tv_nsec - start.tv_nsec) / 1e9;
    const char *way = execute ? "execute" : "tap";
    printf("%s: %u frames, %u keys, %u refused, %.3f s\n", way, count, key_count, refused_count, seconds);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fputs("usage: keydump FRAMES TAP-KEYS EXECUTE-KEYS\n", stderr);
        return 2;
    }
    FILE *frames = open_file(argv[1], "rb");

    disable_ipv6();
    struct datapath dp = make_datapath();
    dump_keys(&dp, false, frames, argv[2]);
    dump_keys(&dp, true, frames, argv[3]);
    return 0;
}
