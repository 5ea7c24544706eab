/*
 * The family ovs_meter of the WASM kernel. Answers and errno values were recorded from Linux 6.1 with the same requests; only how many meters and bands
 * there can be is this datapath's own.
 */
import { describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import { FAMILY_CT_LIMIT, FAMILY_DATAPATH, FAMILY_METER } from '../assembly/kernel/families.ts';
import * as OVS from '../assembly/netlink/openvswitch.ts';
import { type AttributeBuilder, NLM_F_DUMP } from '../src/netlink/index.ts';
import { BUILDS, bareDatapath } from './support/datapath.ts';
import { KernelSocket, type RequestParts } from './support/kernel-socket.ts';

const [ENOENT, ENODEV, EINVAL, ERANGE, EOPNOTSUPP] = [2, 19, 22, 34, 95];
const IFINDEX = 2;
const { OVS_METER_CMD_FEATURES: FEATURES, OVS_METER_CMD_SET: SET } = OVS;
const { OVS_METER_CMD_DEL: DEL, OVS_METER_CMD_GET: GET } = OVS;

type Write = (a: AttributeBuilder) => void;

function request(command: number, attributes?: Write, ifindex = IFINDEX): RequestParts {
  return { family: FAMILY_METER, command, ifindex, attributes };
}

const id =
  (meter: number): Write =>
  (a) =>
    void a.u32(OVS.OVS_METER_ATTR_ID, meter);

function band(type?: number, rate?: number, burst?: number): Write {
  return (a) =>
    void a.nest(OVS.OVS_BAND_ATTR_UNSPEC, () => {
      if (type !== undefined) a.u32(OVS.OVS_BAND_ATTR_TYPE, type);
      if (rate !== undefined) a.u32(OVS.OVS_BAND_ATTR_RATE, rate);
      if (burst !== undefined) a.u32(OVS.OVS_BAND_ATTR_BURST, burst);
    });
}

function set(meter: number, bands: Write[], more?: Write): RequestParts {
  return request(SET, (a) => {
    id(meter)(a);
    more?.(a);
    a.nest(OVS.OVS_METER_ATTR_BANDS, () => {
      for (const one of bands) one(a);
    });
  });
}

async function withDatapath(build: 'release' | 'debug', look: (socket: KernelSocket) => void) {
  await using datapath = bareDatapath({ build, dpIfindex: IFINDEX });
  const socket = new KernelSocket(datapath.memory);
  const attributes: Write = (a) => void a.string(OVS.OVS_DP_ATTR_NAME, 'dp0').u32(OVS.OVS_DP_ATTR_UPCALL_PID, 0);
  socket.done({ family: FAMILY_DATAPATH, version: 2, command: OVS.OVS_DP_CMD_NEW, attributes });
  look(socket);
}

/** What the one answer holds behind dp_ifindex, in hexadecimal; USED, which is a time, as zeros. */
function answer(socket: KernelSocket, parts: RequestParts): string {
  const frames = socket.done(parts);
  expect(frames.length).toBe(1);
  const hex = Buffer.from(frames[0].bytes.subarray(24)).toString('hex');
  return hex.replace(/0c000500.{16}/, `0c000500${'0'.repeat(16)}`);
}

const ID5 = '0800010005000000';
const USED = `0c000500${'0'.repeat(16)}`;
const statistics = (packets = '00', bytes = '00'): string =>
  `14000300${packets}${'0'.repeat(14)}${bytes}${'0'.repeat(14)}`;
/** BANDS with the statistics of one band, at zero. */
const BAND = `1c0004001800000014000400${'0'.repeat(32)}`;

describe.each(BUILDS)('ovs_meter, %s', (build) => {
  it('says how many meters and bands there can be', async () => {
    await withDatapath(build, (socket) => {
      expect(answer(socket, request(FEATURES))).toBe(
        '0800070000000400' + '0800080008000000' + '100004000c0000000800010001000000',
      );
      expect(socket.ask(request(FEATURES, undefined, 99)).errno).toBe(ENODEV);
    });
  });

  it('makes, shows, replaces and removes a meter', async () => {
    await withDatapath(build, (socket) => {
      expect(socket.ask(request(GET, id(5))).errno).toBe(ENOENT);
      expect(answer(socket, set(5, [band(1, 100, 10)]))).toBe(ID5);
      expect(answer(socket, request(GET, id(5)))).toBe(ID5 + statistics() + USED + BAND);
      // who replaces a meter is told what it has seen, after the id that every answer begins with
      const seen: Write = (a) =>
        void a.binary(OVS.OVS_METER_ATTR_STATS, new Uint8Array([1, ...Array(7).fill(0), 2, ...Array(7).fill(0)]));
      expect(answer(socket, set(5, [band(1, 100, 10)], seen))).toBe(ID5 + ID5 + statistics() + USED + BAND);
      expect(answer(socket, request(GET, id(5)))).toBe(ID5 + statistics('01', '02') + USED + BAND);
      const clear: Write = (a) => void a.flag(OVS.OVS_METER_ATTR_CLEAR);
      expect(answer(socket, set(5, [band(1, 100, 10)], clear))).toBe(ID5 + ID5 + statistics('01', '02') + USED + BAND);
      // unless it was made with CLEAR
      expect(answer(socket, set(5, [band(9, 1, 1), band(1, 2, 2)]))).toBe(ID5);
      expect(answer(socket, request(DEL, id(5)))).toMatch(new RegExp(`^${ID5}${statistics()}${USED}34000400`));
      expect(answer(socket, request(DEL, id(5)))).toBe('');
      expect(answer(socket, set(7, []))).toBe('0800010007000000');
      expect(answer(socket, request(GET, id(7)))).toBe(`0800010007000000${statistics()}${USED}04000400`);
    });
  });

  it('refuses what the kernel refuses, with its errno', async () => {
    await withDatapath(build, (socket) => {
      const nest = (write: Write): RequestParts =>
        request(SET, (a) => void a.u32(1, 5).nest(OVS.OVS_METER_ATTR_BANDS, () => write(a)));
      const cases: [string, RequestParts, number][] = [
        ['get without an id', request(GET), EINVAL],
        ['del without an id', request(DEL), EINVAL],
        ['set without an id', request(SET, (a) => void a.nest(4, () => void band(1, 1, 1)(a))), EINVAL],
        ['set without bands', request(SET, id(5)), EINVAL],
        ['a rate of zero', set(5, [band(1, 0, 10)]), EINVAL],
        ['a band without a type', set(5, [band(undefined, 1, 10)]), EINVAL],
        ['a band without a rate', set(5, [band(1, undefined, 10)]), EINVAL],
        ['a band without a burst', set(5, [band(1, 1)]), EINVAL],
        ['too many bands', set(5, Array(C.METER_BANDS_MAX + 1).fill(band(1, 1, 1))), EINVAL],
        ['a band of two bytes', nest((a) => void a.binary(0, new Uint8Array(2))), EINVAL],
        ['a type of three bytes', nest((a) => void a.nest(0, () => void a.binary(1, new Uint8Array(3)))), ERANGE],
        ['statistics of five bytes', set(5, [band(1, 1, 1)], (a) => void a.binary(3, new Uint8Array(5))), ERANGE],
        ['get in no datapath', request(GET, id(5), 99), ENODEV],
        ['del in no datapath', request(DEL, id(5), 99), ENODEV],
        ['set in no datapath', { ...set(5, [band(1, 1, 1)]), ifindex: 99 }, ENODEV],
        ['a dump', { ...request(GET), flags: NLM_F_DUMP }, EOPNOTSUPP],
      ];
      for (const [what, parts, errno] of cases) expect([what, socket.ask(parts).errno]).toEqual([what, errno]);
    });
  });

  it('has no ovs_ct_limit, as a kernel that was built without it', async () => {
    await withDatapath(build, (socket) => {
      expect(socket.ask({ family: FAMILY_CT_LIMIT, command: 3 }).errno).toBe(ENOENT);
    });
  });
});
