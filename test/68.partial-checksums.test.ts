/*
 * Packets whose transport checksum is still to be made (PACKET_FLAG_CSUM_PARTIAL): after random lists, making it must give the frame that the
 * slow model has for the same packet with a checksum that was right from the start. SEED sets the seed.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import * as K from '../assembly/constants.ts';
import {
  applyActions,
  layoutOf,
  withCompletedChecksum,
  withPartialChecksum,
  withRightChecksums,
} from './reference/actions.ts';
import { cases } from './support/action-cases.ts';
import { encodeActions } from './support/action-list.ts';
import { Executor } from './support/executor.ts';

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2147483647));
const CASES = 12_000;
const PROTOCOLS = [6, 17, 58];

test(`sets keep to the pseudo header, ${CASES} random packets and lists, SEED=${SEED}`, async () => {
  await using executor = await Executor.open();
  const compared = new Map<number, number>();
  for (const { frame, cut, headroom, actions } of fc.sample(cases, { seed: SEED, numRuns: CASES })) {
    const partial = cut ? undefined : withPartialChecksum(frame);
    const { proto, l4 } = layoutOf(frame);
    if (partial === undefined || (proto === 17 && isUnchecked(frame, l4!))) continue;
    const wanted = withRightChecksums(applyActions(frame, actions, headroom).frame);
    const got = executor.execute(partial, encodeActions(actions), { headroom, flags: K.PACKET_FLAG_CSUM_PARTIAL });
    expect(Buffer.from(withCompletedChecksum(got.frame)).toString('hex')).toBe(Buffer.from(wanted).toString('hex'));
    expect(got.flags & K.PACKET_FLAG_CSUM_PARTIAL).not.toBe(0);
    compared.set(proto, (compared.get(proto) ?? 0) + 1);
  }
  for (const proto of PROTOCOLS) expect(compared.get(proto), `protocol ${proto}`).toBeGreaterThan(CASES / 100);
});

/** UDP with a checksum of zero: none. */
function isUnchecked(frame: Uint8Array, l4: number): boolean {
  return Buffer.from(frame).readUInt16BE(l4 + 6) === 0;
}
