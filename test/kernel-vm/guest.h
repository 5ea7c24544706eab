/*
 * What the programs for the guest of ./boot share: Netlink requests and replies, tap devices, and a way to give up.
 *
 * Included once by each of them. Runs as root with openvswitch and tun loaded; one thread; no library but libc.
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

#define MESSAGE_SIZE_MAX 131072
#define RECEIVE_BUFFER_SIZE (4 << 20)
#define FILE_BUFFER_SIZE (1 << 20)
/* The largest that a tap device takes. */
#define TAP_MTU 65521

/* One reply at a time; attributes point into it until the next receive. */
static union {
    struct nlmsghdr header;
    uint8_t bytes[MESSAGE_SIZE_MAX];
} reply;

/* The one request under construction. */
static union {
    struct nlmsghdr header;
    uint8_t bytes[MESSAGE_SIZE_MAX];
} request;

struct attribute {
    const uint8_t *data;
    size_t size;
};

static inline void die(const char *format, ...)
{
    int error = errno;
    va_list arguments;

    va_start(arguments, format);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, error ? ": %s\n" : "\n", strerror(error));
    exit(1);
}

/* ------------------------------------------------------------------------------------------------- Netlink messages */

static inline void begin(uint16_t family, uint16_t flags, uint8_t command, uint8_t version)
{
    struct genlmsghdr generic = { .cmd = command, .version = version };

    request.header = (struct nlmsghdr){
        .nlmsg_type = family,
        .nlmsg_flags = NLM_F_REQUEST | flags,
        .nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN),
    };
    memcpy(NLMSG_DATA(&request.header), &generic, sizeof generic);
}

/* The user header of the Open vSwitch families follows the generic one. */
static inline void begin_ovs(uint16_t family, uint16_t flags, uint8_t command, uint8_t version, int ifindex)
{
    struct ovs_header header = { .dp_ifindex = ifindex };

    begin(family, flags, command, version);
    memcpy(request.bytes + request.header.nlmsg_len, &header, sizeof header);
    request.header.nlmsg_len += sizeof header;
}

static inline void put(uint16_t type, const void *data, size_t size)
{
    uint8_t *at = request.bytes + request.header.nlmsg_len;
    struct nlattr attribute = { .nla_type = type, .nla_len = NLA_HDRLEN + size };

    memcpy(at, &attribute, sizeof attribute);
    memset(at + NLA_HDRLEN + size, 0, NLA_ALIGN(size) - size);
    memcpy(at + NLA_HDRLEN, data, size);
    request.header.nlmsg_len += NLA_ALIGN(NLA_HDRLEN + size);
}

static inline void put_u32(uint16_t type, uint32_t value)
{
    put(type, &value, sizeof value);
}

static inline void put_string(uint16_t type, const char *text)
{
    put(type, text, strlen(text) + 1);
}

/* Opens an attribute that holds attributes; close_nest() wants what it returns. */
static inline uint32_t open_nest(uint16_t type)
{
    uint32_t start = request.header.nlmsg_len;

    put(type, "", 0);
    return start;
}

static inline void close_nest(uint32_t start)
{
    ((struct nlattr *)(request.bytes + start))->nla_len = request.header.nlmsg_len - start;
}

/* The first attribute of a type in the received message, after `user_size` bytes of user header; data NULL if absent. */
static inline struct attribute find(size_t user_size, uint16_t type)
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

/* The id of a multicast group of the family that family_id() has just asked for. */
static inline uint32_t group_id(const char *name)
{
    struct attribute groups = find(0, CTRL_ATTR_MCAST_GROUPS);

    for (size_t at = 0; at + NLA_HDRLEN <= groups.size;) {
        const struct nlattr *group = (const struct nlattr *)(groups.data + at);
        uint32_t id = 0;
        const char *found = "";
        for (size_t in = NLA_HDRLEN; in + NLA_HDRLEN <= group->nla_len;) {
            const struct nlattr *inner = (const struct nlattr *)((const uint8_t *)group + in);
            const void *payload = (const uint8_t *)inner + NLA_HDRLEN;
            if (inner->nla_type == CTRL_ATTR_MCAST_GRP_ID) {
                id = *(const uint32_t *)payload;
            } else if (inner->nla_type == CTRL_ATTR_MCAST_GRP_NAME) {
                found = payload;
            }
            in += NLA_ALIGN(inner->nla_len);
        }
        if (strcmp(found, name) == 0) {
            return id;
        }
        at += NLA_ALIGN(group->nla_len);
    }
    errno = 0;
    die("no multicast group %s", name);
    return 0;
}

static inline int open_netlink(void)
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

static inline uint32_t port_id(int fd)
{
    struct sockaddr_nl address;
    socklen_t size = sizeof address;

    if (getsockname(fd, (struct sockaddr *)&address, &size)) {
        die("port id of a Netlink socket");
    }
    return address.nl_pid;
}

/* Sends a request and waits for its acknowledgement; the reply before it, if there is one, stays in `reply`. */
static inline void transact(int fd, const char *what)
{
    static union {
        struct nlmsghdr header;
        uint8_t bytes[4096];
    } acknowledgement;

    if (send(fd, &request, request.header.nlmsg_len, 0) < 0) {
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

static inline uint16_t family_id(int fd, const char *name)
{
    begin(GENL_ID_CTRL, NLM_F_ACK, CTRL_CMD_GETFAMILY, 1);
    put_string(CTRL_ATTR_FAMILY_NAME, name);
    transact(fd, name);
    struct attribute id = find(0, CTRL_ATTR_FAMILY_ID);
    if (id.size != sizeof(uint16_t)) {
        die("%s: no family id in the reply", name);
    }
    return *(const uint16_t *)id.data;
}

/* Autoconfiguration would be no harm, as it leaves through the tap and never comes in; silence is still easier to read. */
static inline void disable_ipv6(void)
{
    int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY);

    if (fd < 0 || write(fd, "1", 1) != 1) {
        die("disable_ipv6");
    }
    close(fd);
}

static inline int open_tap(const char *name)
{
    struct ifreq interface = { .ifr_flags = IFF_TAP | IFF_NO_PI };
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    int control = socket(AF_INET, SOCK_DGRAM, 0);

    snprintf(interface.ifr_name, sizeof interface.ifr_name, "%s", name);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &interface)) {
        die("tap device");
    }
    interface.ifr_mtu = TAP_MTU;
    if (control < 0 || ioctl(control, SIOCSIFMTU, &interface)) {
        die("size of the tap device's packets");
    }
    interface.ifr_flags = IFF_UP;
    if (control < 0 || ioctl(control, SIOCSIFFLAGS, &interface)) {
        die("bringing the tap device up");
    }
    close(control);
    return fd;
}

static inline FILE *open_file(const char *path, const char *mode)
{
    FILE *file = fopen(path, mode);

    if (!file) {
        die("%s", path);
    }
    setvbuf(file, NULL, _IOFBF, FILE_BUFFER_SIZE);
    return file;
}
