/*
 * replay: plays scenarios against the kernel's Open vSwitch datapath and writes down everything that comes back.
 *
 *   replay SCENARIOS RESULTS
 *
 * SCENARIOS holds steps: u32 size of the payload, u16 number of fixes, u8 operation, u8 socket; then the fixes; then the payload. A fix
 * is a place of the payload that only this kernel can fill: u32 offset, u32 kind, char[16] name; the id of family number `kind` (u16), or, for
 * FIX_IFINDEX, the ifindex of the device of that name (u32), which may be gone by now. RESULTS receives records of u32 size, u8 kind, u8 source, u16
 * zero, and `size` bytes: first the ids of the families, then what each step brought, closed by one of kind STEP. Numbers are in host order.
 *
 * Every scenario runs in a process and a network namespace of its own, so that it begins with an empty kernel, and with the same
 * sockets, whose port ids are fixed: SOCKETS of replay-world.h, in the order of test/support/conformance/scenario.ts. The kernel handles a request inside
 * send() and a frame inside write() to a tap device: what follows from it waits in sockets and devices when these return.
 *
 * Runs as root inside the guest of ./boot, with openvswitch and tun loaded. One thread; linked statically.
 */
#define _GNU_SOURCE
#include "guest.h"
#include "replay-world.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PAYLOAD_SIZE_MAX 131072

enum operation { END, SEND, POST, FRAME, DEVICE, REMOVE, JOIN, LEAVE, CLOSE };
enum { FIX_IFINDEX = 255 };

struct step {
    uint32_t size;
    uint16_t fix_count;
    uint8_t operation;
    uint8_t socket;
};

struct fix {
    uint32_t at;
    uint32_t kind;
    char name[IFNAMSIZ];
};

/* What of SCENARIOS is left. */
static const uint8_t *next, *end;
static uint8_t payload[PAYLOAD_SIZE_MAX];

static void apply(const struct fix *fix)
{
    if (fix->kind == FIX_IFINDEX) {
        uint32_t ifindex = ifindex_of(fix->name);
        memcpy(payload + fix->at, &ifindex, sizeof ifindex);
    } else {
        memcpy(payload + fix->at, &families[fix->kind], sizeof *families);
    }
}

static void send_datagram(const struct step *step)
{
    if (send(sockets[step->socket], payload, step->size, 0) < 0) {
        uint32_t error = errno;
        write_record(FAILURE, step->socket, &error, sizeof error, NULL, 0);
    }
}

static void inject(const struct step *step)
{
    const struct device *device = device_named((const char *)payload);

    if (write(device->fd, payload + IFNAMSIZ, step->size - IFNAMSIZ) < 0) {
        uint32_t error = errno;
        write_record(FAILURE, 0, &error, sizeof error, NULL, 0);
    }
}

static void perform(const struct step *step)
{
    switch (step->operation) {
    case SEND:
    case POST:
        held[step->socket] = step->operation == POST;
        send_datagram(step);
        break;
    case FRAME:
        inject(step);
        break;
    case DEVICE:
        make_device((const char *)payload);
        break;
    case REMOVE:
        remove_device((const char *)payload);
        break;
    case JOIN:
    case LEAVE:
        change_membership(step->socket, step->operation == JOIN ? NETLINK_ADD_MEMBERSHIP : NETLINK_DROP_MEMBERSHIP,
                          payload[0]);
        break;
    case CLOSE:
        close(sockets[step->socket]);
        sockets[step->socket] = -1;
        break;
    default:
        errno = 0;
        die("no operation %u", step->operation);
    }
    drain();
    write_record(STEP, 0, NULL, 0, NULL, 0);
}

/* Takes the next `size` bytes of the scenarios. */
static const void *take(size_t size)
{
    const uint8_t *taken = next;

    if (size > (size_t)(end - next)) {
        errno = 0;
        die("the file of scenarios is damaged");
    }
    next += size;
    return taken;
}

/* Takes the next step, with its payload made ready for this kernel; false at the end of the scenario. */
static bool take_step(struct step *step)
{
    memcpy(step, take(sizeof *step), sizeof *step);
    if (step->operation == END) {
        return false;
    }
    const uint8_t *fixes = take(step->fix_count * sizeof(struct fix));
    const void *data = take(step->size);
    if (step->size >= sizeof payload || step->socket >= SOCKET_COUNT) {
        errno = 0;
        die("a step of %u bytes on socket %u", step->size, step->socket);
    }
    memcpy(payload, data, step->size);
    payload[step->size] = 0;
    for (size_t i = 0; i < step->fix_count; i++) {
        struct fix fix;
        memcpy(&fix, fixes + i * sizeof fix, sizeof fix);
        apply(&fix);
    }
    return true;
}

static void play(void)
{
    struct step step;

    if (unshare(CLONE_NEWNET)) {
        die("unshare");
    }
    disable_ipv6();
    open_sockets();
    while (take_step(&step)) {
        perform(&step);
    }
    if (fflush(results)) {
        die("writing the results");
    }
}

/* The parent goes over the steps that a child plays. */
static void skip(void)
{
    struct step step;

    do {
        memcpy(&step, take(sizeof step), sizeof step);
        take(step.fix_count * sizeof(struct fix) + step.size);
    } while (step.operation != END);
}

static void read_scenarios(const char *path)
{
    struct stat status;
    int fd = open(path, O_RDONLY);

    if (fd < 0 || fstat(fd, &status)) {
        die("%s", path);
    }
    next = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (next == MAP_FAILED) {
        die("%s", path);
    }
    end = next + status.st_size;
    close(fd);
}

static void write_setting(const char *path, const char *value)
{
    int fd = open(path, O_WRONLY);

    if (fd < 0 || write(fd, value, strlen(value)) < 0) {
        die("%s", path);
    }
    close(fd);
}

int main(int argc, char **argv)
{
    uint32_t count = 0;

    if (argc != 3) {
        fputs("usage: replay SCENARIOS RESULTS\n", stderr);
        return 2;
    }
    read_scenarios(argv[1]);
    results = open_file(argv[2], "wb");
    write_setting("/proc/sys/kernel/modprobe", "\n"); /* tunnel ports are modules: no module, no such type of port */
    write_setting("/sys/kernel/rcu_expedited", "1");
    learn_families();
    write_record(FAMILY_IDS, 0, families, sizeof families, NULL, 0);
    fflush(results);
    for (; next < end; skip(), count++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            play();
            _exit(0);
        }
        if (child < 0 || waitpid(child, &status, 0) < 0 || status) {
            errno = 0;
            die("scenario %u failed", count);
        }
    }
    printf("%u scenarios\n", count);
    return 0;
}
