/*
 * What a scenario of replay.c plays with: sockets, devices, and the file that all they bring is written to.
 *
 * Included once, by replay.c, behind guest.h. One thread; the sockets and devices are those of the network namespace of the scenario that runs.
 */
#include <linux/rtnetlink.h>
#include <poll.h>

#define DEVICES_MAX 16
#define LINKS_MAX 256
/* A device that goes leaves its datapath by a work queue. */
#define REMOVAL_MS 200
#define NOBODY 65534

enum record { STEP, MESSAGE, FRAME_OUT, LINK, FAILURE, FAMILY_IDS };

static const char *const FAMILIES[] = { OVS_DATAPATH_FAMILY, OVS_VPORT_FAMILY, OVS_FLOW_FAMILY,
                                        OVS_PACKET_FAMILY,   OVS_METER_FAMILY, OVS_CT_LIMIT_FAMILY };
#define FAMILY_COUNT (sizeof FAMILIES / sizeof *FAMILIES)

enum { NO_GROUP = -1 };

/* Requesters, one of them without CAP_NET_ADMIN; receivers of upcalls; a listener for each family's multicast group. */
static const struct {
    uint32_t port_id;
    bool admin;
    int group;
} SOCKETS[] = {
    { 1001, true, NO_GROUP }, { 1002, true, NO_GROUP }, { 1003, false, NO_GROUP }, { 2001, true, NO_GROUP },
    { 2002, true, NO_GROUP }, { 2003, true, NO_GROUP }, { 3001, true, 0 },         { 3002, true, 1 },
    { 3003, true, 2 },        { 3005, true, 4 },        { 3006, true, 5 },
};
#define SOCKET_COUNT (sizeof SOCKETS / sizeof *SOCKETS)
#define VPORT_LISTENER 7

/* A device of the kernel, as it is written down: kind 1 when it came, 0 when it went. */
struct link {
    uint32_t ifindex;
    uint32_t kind;
    char name[IFNAMSIZ];
};

struct device {
    char name[IFNAMSIZ];
    int fd;
};

static uint16_t families[FAMILY_COUNT];
static uint32_t groups[FAMILY_COUNT];
static FILE *results;

/* Of the scenario that runs. */
static int sockets[SOCKET_COUNT];
static bool held[SOCKET_COUNT]; /* what waits there is not received */
static int links;
static struct device devices[DEVICES_MAX];
static struct link known[LINKS_MAX];
static size_t known_count;

static void write_record(enum record kind, uint8_t source, const void *first, size_t first_size, const void *rest,
                         size_t rest_size)
{
    struct {
        uint32_t size;
        uint8_t kind, source;
        uint16_t zero;
    } head = { first_size + rest_size, kind, source, 0 };

    if (fwrite(&head, sizeof head, 1, results) != 1 || (first_size && fwrite(first, first_size, 1, results) != 1) ||
        (rest_size && fwrite(rest, rest_size, 1, results) != 1)) {
        die("writing the results");
    }
}

/* ------------------------------------------------------------------------------------------------------------ Sockets */

/* The number of the family's multicast group, out of the reply to GETFAMILY; 0 if it has none. */
static uint32_t group_in_reply(void)
{
    struct attribute list = find(0, CTRL_ATTR_MCAST_GROUPS);

    if (!list.data) {
        return 0;
    }
    const uint8_t *at = list.data + NLA_HDRLEN; /* the attributes of the first */
    for (;;) {
        const struct nlattr *attribute = (const struct nlattr *)at;
        if (attribute->nla_type == CTRL_ATTR_MCAST_GRP_ID) {
            return *(const uint32_t *)(at + NLA_HDRLEN);
        }
        at += NLA_ALIGN(attribute->nla_len);
    }
}

static void learn_families(void)
{
    int control = open_netlink();

    for (size_t i = 0; i < FAMILY_COUNT; i++) {
        families[i] = family_id(control, FAMILIES[i]);
        groups[i] = group_in_reply();
    }
    close(control);
}

static int bind_netlink(int protocol, uint32_t port_id, uint32_t old_groups)
{
    int size = RECEIVE_BUFFER_SIZE, on = 1;
    struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_pid = port_id, .nl_groups = old_groups };
    int fd = socket(AF_NETLINK, SOCK_RAW, protocol);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address)) {
        die("socket %u", port_id);
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
    return fd;
}

static void change_membership(size_t index, int option, uint32_t family)
{
    if (setsockopt(sockets[index], SOL_NETLINK, option, &groups[family], sizeof groups[family])) {
        die("group of %s", FAMILIES[family]);
    }
}

static void open_sockets(void)
{
    for (size_t i = 0; i < SOCKET_COUNT; i++) {
        if (seteuid(SOCKETS[i].admin ? 0 : NOBODY)) {
            die("seteuid");
        }
        sockets[i] = bind_netlink(NETLINK_GENERIC, SOCKETS[i].port_id, 0);
        if (seteuid(0)) {
            die("seteuid");
        }
        if (SOCKETS[i].group != NO_GROUP) {
            change_membership(i, NETLINK_ADD_MEMBERSHIP, SOCKETS[i].group);
        }
    }
    links = bind_netlink(NETLINK_ROUTE, 0, RTMGRP_LINK);
}

static bool receive_one(size_t index)
{
    ssize_t size = recv(sockets[index], reply.bytes, sizeof reply, MSG_DONTWAIT);

    if (size < 0) {
        if (errno != EAGAIN) {
            uint32_t error = errno;
            write_record(FAILURE, index, &error, sizeof error, NULL, 0);
        }
        return false;
    }
    write_record(MESSAGE, index, reply.bytes, size, NULL, 0);
    return true;
}

/* ------------------------------------------------------------------------------------------------------------ Devices */

static void learn_link(const struct nlmsghdr *message)
{
    const struct ifinfomsg *info = NLMSG_DATA(message);
    const struct rtattr *attribute = IFLA_RTA(info);
    int rest = IFLA_PAYLOAD(message);

    while (RTA_OK(attribute, rest) && attribute->rta_type != IFLA_IFNAME) {
        attribute = RTA_NEXT(attribute, rest);
    }
    struct link link = { .ifindex = info->ifi_index, .kind = message->nlmsg_type == RTM_NEWLINK };
    snprintf(link.name, sizeof link.name, "%s", (const char *)RTA_DATA(attribute));
    size_t i = 0;
    while (i < known_count && strcmp(known[i].name, link.name)) {
        i++;
    }
    if (i == known_count && known_count++ == LINKS_MAX) {
        die("too many devices");
    }
    known[i] = link;
    write_record(LINK, 0, &link, sizeof link, NULL, 0);
}

static void drain_links(void)
{
    ssize_t size;

    while ((size = recv(links, reply.bytes, sizeof reply, MSG_DONTWAIT)) > 0) {
        int rest = size;
        for (const struct nlmsghdr *message = &reply.header; NLMSG_OK(message, rest); message = NLMSG_NEXT(message, rest)) {
            if (message->nlmsg_type == RTM_NEWLINK || message->nlmsg_type == RTM_DELLINK) {
                learn_link(message);
            }
        }
    }
}

static uint32_t ifindex_of(const char *name)
{
    for (size_t i = 0; i < known_count; i++) {
        if (!strncmp(known[i].name, name, IFNAMSIZ)) {
            return known[i].ifindex;
        }
    }
    return 0;
}

/* By name; an empty name finds a free place. */
static struct device *device_named(const char *name)
{
    for (size_t i = 0; i < DEVICES_MAX; i++) {
        if (!strncmp(devices[i].name, name, IFNAMSIZ)) {
            return &devices[i];
        }
    }
    errno = 0;
    die("no device %s", name);
    return NULL;
}

static void make_device(const char *name)
{
    struct device *device = device_named("");
    char short_name[IFNAMSIZ];

    snprintf(short_name, sizeof short_name, "%.15s", name);
    device->fd = open_tap(short_name);
    memcpy(device->name, short_name, sizeof short_name);
}

static void remove_device(const char *name)
{
    struct device *device = device_named(name);
    struct pollfd listener = { .fd = sockets[VPORT_LISTENER], .events = POLLIN };

    close(device->fd);
    memset(device, 0, sizeof *device);
    poll(&listener, 1, REMOVAL_MS);
}

static void drain(void)
{
    for (size_t i = 0; i < SOCKET_COUNT; i++) {
        while (sockets[i] >= 0 && !held[i] && receive_one(i)) {
        }
    }
    drain_links();
    for (size_t i = 0; i < DEVICES_MAX; i++) {
        ssize_t size;
        while (devices[i].name[0] && (size = read(devices[i].fd, reply.bytes, sizeof reply)) >= 0) {
            write_record(FRAME_OUT, 0, devices[i].name, IFNAMSIZ, reply.bytes, size);
        }
    }
}
