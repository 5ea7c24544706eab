/*
 * tap: makes tap devices, and sends through them what its input says, line by line: a device's name and a frame in hexadecimal.
 *
 *   tap NAME... < FRAMES
 *
 * What comes out of the devices is thrown away. They are there until the input ends. Runs as root inside the guest of ./boot; one thread.
 */
#define _GNU_SOURCE
#include "guest.h"

#define DEVICES_MAX 8
#define FRAME_SIZE_MAX 2048

static const char *names[DEVICES_MAX];
static int devices[DEVICES_MAX];
static int count;

static void drain(int fd)
{
    while (read(fd, reply.bytes, sizeof reply) >= 0) {
    }
}

static void send_frame(const char *name, const char *digits)
{
    static uint8_t frame[FRAME_SIZE_MAX];
    size_t size = 0;

    for (; size < sizeof frame && sscanf(digits, "%2hhx", &frame[size]) == 1; digits += 2) {
        size++;
    }
    for (int i = 0; i < count; i++) {
        if (!strcmp(names[i], name) && write(devices[i], frame, size) < 0) {
            die("%s", name);
        }
        drain(devices[i]);
    }
}

int main(int argc, char **argv)
{
    char name[IFNAMSIZ], digits[2 * FRAME_SIZE_MAX + 1];

    disable_ipv6();
    for (; count < argc - 1 && count < DEVICES_MAX; count++) {
        names[count] = argv[count + 1];
        char short_name[IFNAMSIZ];
        snprintf(short_name, sizeof short_name, "%.15s", names[count]);
        devices[count] = open_tap(short_name);
    }
    while (scanf("%15s %4096s", name, digits) == 2) {
        send_frame(name, digits);
    }
    return 0;
}
