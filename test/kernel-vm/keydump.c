/*
 * keydump: asks the kernel's Open vSwitch datapath which flow key it gives to each frame.
 *
 *   keydump FRAMES KEYS
 *
 * FRAMES holds records of u32 size and that many bytes. For each of them KEYS receives u32 index, u32 size and the bytes
 * of the OVS_PACKET_ATTR_KEY attribute (its nested attributes, as the kernel sent them), size 0 when there was no upcall:
 * the tap device refuses less than an Ethernet header, the kernel drops a frame whose VLAN tag is cut off before the
 * datapath sees it, and an upcall cannot carry more than 65531 bytes. Numbers are in host order.
 *
 * It makes a datapath without flows and a tap device as its port, so that every frame written to the tap is a miss. The
 * kernel handles a frame inside the write(), therefore its upcall, if any, waits in the socket when write() returns; that
 * each upcall carries the very frame just written is checked, and anything else ends the program with an error.
 *
 * Runs as root inside the guest of ./boot, with openvswitch and tun loaded. One thread; linked statically.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/openvswitch.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DATAPATH "oracle"
#define TAP "frames"
#define REPLY_SIZE_MAX 131072
#define REQUEST_SIZE_MAX 1024
#define FRAME_SIZE_MAX 65535
#define RECEIVE_BUFFER_SIZE (4 << 20)

/* One reply at a time; attributes point into it until the next receive. */
static union {
    struct nlmsghdr header;
    uint8_t bytes[REPLY_SIZE_MAX];
} reply;

/* A request under construction. */
struct request {
    union {
        struct nlmsghdr header;
        uint8_t bytes[REQUEST_SIZE_MAX];
    };
};

struct attribute {
    const uint8_t *data;
    size_t size;
};

static void die(const char *format, ...)
{
    int error = errno;
    va_list arguments;

    va_start(arguments, format);
    fputs("keydump: ", stderr);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, error ? ": %s\n" : "\n", strerror(error));
    exit(1);
}

/* ------------------------------------------------------------------------------------------------- Netlink messages */

static void begin(struct request *request, uint16_t family, uint8_t command, uint8_t version)
{
    memset(request, 0, sizeof *request);
    request->header.nlmsg_type = family;
    request->header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    request->header.nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN);
    struct genlmsghdr *generic = NLMSG_DATA(&request->header);
    generic->cmd = command;
    generic->version = version;
}

static void put(struct request *request, uint16_t type, const void *data, size_t size)
{
    struct nlattr *attribute = (struct nlattr *)(request->bytes + request->header.nlmsg_len);

    attribute->nla_type = type;
    attribute->nla_len = NLA_HDRLEN + size;
    memcpy((uint8_t *)attribute + NLA_HDRLEN, data, size);
    request->header.nlmsg_len += NLA_ALIGN(attribute->nla_len);
}

static void put_u32(struct request *request, uint16_t type, uint32_t value)
{
    put(request, type, &value, sizeof value);
}

static void put_string(struct request *request, uint16_t type, const char *text)
{
    put(request, type, text, strlen(text) + 1);
}

/* The user header of the Open vSwitch families follows the generic one. */
static void put_dp_ifindex(struct request *request, int ifindex)
{
    struct ovs_header header = { .dp_ifindex = ifindex };

    memcpy(request->bytes + request->header.nlmsg_len, &header, sizeof header);
    request->header.nlmsg_len += sizeof header;
}

/* The first attribute of a type in the received message, after `user_size` bytes of user header; data NULL if absent. */
static struct attribute find(size_t user_size, uint16_t type)
{
    size_t at = NLMSG_LENGTH(GENL_HDRLEN) + user_size;

    while (at + NLA_HDRLEN <= reply.header.nlmsg_len) {
        const struct nlattr *attribute = (const struct nlattr *)(reply.bytes + at);
        if (attribute->nla_len < NLA_HDRLEN || at + attribute->nla_len > reply.header.nlmsg_len) {
            break;
        }
        if ((attribute->nla_type & NLA_TYPE_MASK) == type) {
            return (struct attribute){ reply.bytes + at + NLA_HDRLEN, attribute->nla_len - NLA_HDRLEN };
        }
        at += NLA_ALIGN(attribute->nla_len);
    }
    return (struct attribute){ NULL, 0 };
}

static int open_netlink(void)
{
    int size = RECEIVE_BUFFER_SIZE;
    struct sockaddr_nl address = { .nl_family = AF_NETLINK };
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address)) {
        die("generic Netlink socket");
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    return fd;
}

static uint32_t port_id(int fd)
{
    struct sockaddr_nl address;
    socklen_t size = sizeof address;

    if (getsockname(fd, (struct sockaddr *)&address, &size)) {
        die("port id of a Netlink socket");
    }
    return address.nl_pid;
}

/* Sends a request and waits for its acknowledgement; the reply before it, if there is one, stays in `reply`. */
static void transact(int fd, struct request *request, const char *what)
{
    static union {
        struct nlmsghdr header;
        uint8_t bytes[4096];
    } acknowledgement;

    if (send(fd, request, request->header.nlmsg_len, 0) < 0) {
        die("%s: send", what);
    }
    for (;;) {
        ssize_t size = recv(fd, acknowledgement.bytes, sizeof acknowledgement, 0);
        if (size < (ssize_t)sizeof(struct nlmsghdr)) {
            die("%s: receive", what);
        }
        if (acknowledgement.header.nlmsg_type == NLMSG_ERROR) {
            const struct nlmsgerr *answer = NLMSG_DATA(&acknowledgement.header);
            errno = -answer->error;
            if (answer->error) {
                die("%s", what);
            }
            return;
        }
        memcpy(reply.bytes, acknowledgement.bytes, size);
    }
}

static uint16_t family_id(int fd, const char *name)
{
    struct request request;

    begin(&request, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1);
    put_string(&request, CTRL_ATTR_FAMILY_NAME, name);
    transact(fd, &request, name);
    struct attribute id = find(0, CTRL_ATTR_FAMILY_ID);
    if (id.size != sizeof(uint16_t)) {
        die("%s: no family id in the reply", name);
    }
    return *(const uint16_t *)id.data;
}

/* ------------------------------------------------------------------------------------------------ datapath and port */

/* Autoconfiguration would be no harm, as it leaves through the tap and never comes in; silence is still easier to read. */
static void disable_ipv6(void)
{
    int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY);

    if (fd < 0 || write(fd, "1", 1) != 1) {
        die("disable_ipv6");
    }
    close(fd);
}

static int open_tap(void)
{
    struct ifreq interface = { .ifr_flags = IFF_TAP | IFF_NO_PI };
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    int control = socket(AF_INET, SOCK_DGRAM, 0);

    strcpy(interface.ifr_name, TAP);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &interface)) {
        die("tap device");
    }
    interface.ifr_flags = IFF_UP;
    if (control < 0 || ioctl(control, SIOCSIFFLAGS, &interface)) {
        die("bringing the tap device up");
    }
    close(control);
    return fd;
}

static void make_datapath(int control, uint32_t upcall_port_id)
{
    struct request request;
    uint16_t datapaths = family_id(control, OVS_DATAPATH_FAMILY);
    uint16_t vports = family_id(control, OVS_VPORT_FAMILY);

    begin(&request, datapaths, OVS_DP_CMD_NEW, OVS_DATAPATH_VERSION);
    put_dp_ifindex(&request, 0);
    put_string(&request, OVS_DP_ATTR_NAME, DATAPATH);
    put_u32(&request, OVS_DP_ATTR_UPCALL_PID, upcall_port_id);
    put_u32(&request, OVS_DP_ATTR_USER_FEATURES, OVS_DP_F_UNALIGNED);
    transact(control, &request, "new datapath");

    begin(&request, vports, OVS_VPORT_CMD_NEW, OVS_VPORT_VERSION);
    put_dp_ifindex(&request, if_nametoindex(DATAPATH));
    put_string(&request, OVS_VPORT_ATTR_NAME, TAP);
    put_u32(&request, OVS_VPORT_ATTR_TYPE, OVS_VPORT_TYPE_NETDEV);
    put_u32(&request, OVS_VPORT_ATTR_UPCALL_PID, upcall_port_id);
    transact(control, &request, "new vport");
}

/* ----------------------------------------------------------------------------------------------------------- frames */

/* The key of the upcall that waits in the socket; data NULL when none waits. */
static struct attribute receive_key(int upcalls, const uint8_t *frame, size_t size, uint32_t index)
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
    if (generic->cmd != OVS_PACKET_CMD_MISS) {
        die("frame %u: command %u instead of a miss", index, generic->cmd);
    }
    struct attribute key = find(sizeof(struct ovs_header), OVS_PACKET_ATTR_KEY);
    struct attribute packet = find(sizeof(struct ovs_header), OVS_PACKET_ATTR_PACKET);
    if (!key.data || packet.size != size || memcmp(packet.data, frame, size)) {
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

static void dump_keys(FILE *frames, FILE *keys, int tap, int upcalls)
{
    static uint8_t frame[FRAME_SIZE_MAX];
    uint32_t size, count = 0, upcall_count = 0, refused_count = 0;
    struct timespec start, end;

    clock_gettime(CLOCK_MONOTONIC, &start);
    for (; read_frame(frames, frame, &size); count++) {
        if (write(tap, frame, size) != (ssize_t)size) {
            if (errno != EINVAL) {
                die("frame %u: write to the tap device", count);
            }
            refused_count++;
        }
        struct attribute key = receive_key(upcalls, frame, size, count);
        upcall_count += key.data != NULL;
        write_record(keys, count, key);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    usleep(100000);
    receive_key(upcalls, NULL, 0, count);
    double seconds = (end.tv_sec - start.tv_sec) + (end.tv_nsec - start.tv_nsec) / 1e9;
    printf("frames %u keys %u refused %u seconds %.3f\n", count, upcall_count, refused_count, seconds);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fputs("usage: keydump FRAMES KEYS\n", stderr);
        return 2;
    }
    FILE *frames = fopen(argv[1], "rb");
    FILE *keys = fopen(argv[2], "wb");
    if (!frames || !keys) {
        die("opening %s and %s", argv[1], argv[2]);
    }
    setvbuf(frames, NULL, _IOFBF, 1 << 20);
    setvbuf(keys, NULL, _IOFBF, 1 << 20);

    disable_ipv6();
    int upcalls = open_netlink();
    int tap = open_tap();
    make_datapath(open_netlink(), port_id(upcalls));
    dump_keys(frames, keys, tap, upcalls);
    if (fclose(keys)) {
        die("writing the keys");
    }
    return 0;
}
