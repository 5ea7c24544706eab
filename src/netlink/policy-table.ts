/*
 * A policy as the table that assembly/netlink/policy.ts walks: rows of POLICY_ROW_SIZEOF bytes, nested policies as addresses.
 *
 * Before it: definePolicy. After it: parsePolicy in the datapath. Ownership: the caller gives the memory, and keeps it unchanged as long as
 * somebody parses by it. Threads: the writer publishes the address after the call.
 */
import * as C from '../../assembly/constants.ts';
import type { ByteView } from '../native/netlink.ts';
import { nestedPolicy, type Policy, type PolicyRow } from './policy.ts';

/** The policy and all that it holds, each once. */
function reachable(policy: Policy): Policy[] {
  const found = [policy];
  for (const { rows } of found) {
    for (const row of rows) {
      const inner = row === undefined ? undefined : nestedPolicy(row);
      if (inner !== undefined && !found.includes(inner)) found.push(inner);
    }
  }
  return found;
}

/** Bytes that writePolicyTable writes. */
export function policyTableSize(policy: Policy): number {
  return reachable(policy).reduce((size, { maxType }) => size + (maxType + 1) * C.POLICY_ROW_SIZEOF, 0);
}

/** Writes the policy at `address` of `bytes`, a multiple of eight, and those inside it behind. Returns the address after all. */
export function writePolicyTable(policy: Policy, bytes: ByteView, address: number): number {
  const policies = reachable(policy);
  const addresses = new Map<Policy, number>();
  let end = address;
  for (const one of policies) {
    addresses.set(one, end);
    end += (one.maxType + 1) * C.POLICY_ROW_SIZEOF;
  }
  if (address % 8 !== 0 || address < 0 || end > bytes.length)
    throw new RangeError('the policy table does not fit the memory');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  bytes.fill(0, address, end);
  for (const one of policies) {
    const at = addresses.get(one) ?? 0;
    view.setUint32(at + C.POLICY_MAX_TYPE, one.maxType, true);
    view.setUint16(at + C.POLICY_STRICT_START, one.strictStart, true);
    view.setUint16(at + C.POLICY_REQUIRED_COUNT, one.required.length, true);
    for (const row of one.rows) {
      if (row !== undefined) writeRow(view, at + row.type * C.POLICY_ROW_SIZEOF, row, addresses);
    }
  }
  return end;
}

function writeRow(view: DataView, at: number, row: PolicyRow, addresses: ReadonlyMap<Policy, number>): void {
  const inner = nestedPolicy(row);
  view.setUint8(at + C.POLICY_KIND, row.kind);
  view.setUint8(at + C.POLICY_FLAGS, row.flags);
  view.setUint16(at + C.POLICY_PAYLOAD_SIZE, row.size, true);
  view.setUint32(at + C.POLICY_NESTED, inner === undefined ? 0 : (addresses.get(inner) ?? 0), true);
  view.setBigUint64(at + C.POLICY_MIN, BigInt.asUintN(64, row.min), true);
  view.setBigUint64(at + C.POLICY_MAX, BigInt.asUintN(64, row.max), true);
}
