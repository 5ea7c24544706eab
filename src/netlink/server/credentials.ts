/*
 * Who sent a request, and whether that process may administer. Before it: a datagram with the credentials that the kernel vouches for
 * (SO_PASSCRED). After it: the dispatcher, which refuses operations with the flag `admin` (GENL_ADMIN_PERM) by EPERM.
 *
 * The rule. The kernel asks whether the sender has CAP_NET_ADMIN at the time of its send; a server in user space knows only the sender's pid
 * and real uid, as the kernel delivers them. An administrator is a sender of uid 0 whose process, looked at in /proc when the request is
 * handled, still has that uid, has CAP_NET_ADMIN among its effective capabilities and lives in our user namespace. So
 *
 * - root of a container is refused unless the container was given CAP_NET_ADMIN, also when it shares our network namespace;
 * - a process that has ended, or that our pid namespace does not show, is refused: nobody is left to ask;
 * - capabilities without uid 0 count only with `adminByCapability`. A process may send, then execute a program whose file carries
 *   CAP_NET_ADMIN before we look; where no such program is installed (`getcap -r /`), switching it on is safe. Programs that are setuid
 *   do not help an attacker, as all four uids must be the one that the kernel vouches for.
 *
 * Threads: any; only /proc is read.
 */
import { readFileSync, readlinkSync } from 'node:fs';

const CAP_NET_ADMIN = 12n;

/** The sender of a request. */
export interface Sender {
  /** Netlink port id. */
  readonly portId: number;
  /** Process id in our pid namespace, 0 when it is not visible there. */
  readonly pid: number;
  /** Real user id in our user namespace. */
  readonly uid: number;
}

/** Whether the sender may do what the kernel keeps for CAP_NET_ADMIN; the rule is at the top of this file. */
export function isAdministrator(sender: Sender, adminByCapability = false): boolean {
  if (sender.pid <= 0 || sender.uid < 0) return false;
  if (sender.uid !== 0 && !adminByCapability) return false;
  try {
    const status = readFileSync(`/proc/${sender.pid}/status`, 'latin1');
    const uids = /^Uid:\s*(.*)$/m.exec(status)?.[1].split(/\s+/) ?? [];
    const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
    const trusted = sender.uid === 0 ? uids[0] === '0' : uids.every((uid) => Number(uid) === sender.uid);
    if (!trusted || ((effective >> CAP_NET_ADMIN) & 1n) === 0n) return false;
    return readlinkSync(`/proc/${sender.pid}/ns/user`) === readlinkSync('/proc/self/ns/user');
  } catch {
    return false;
  }
}
