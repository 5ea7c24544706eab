/*
 * A family for tests of the serving side: numbers that can be listed, told, set, waited for and failed with. It says what its handlers were asked.
 */
import { constants } from 'node:os';
import { definePolicy } from '../../src/netlink/policy.ts';
import { defineFamily, type Family, refuse } from '../../src/netlink/server/family.ts';

export const GET = 1;
export const SET = 2;
export const FAIL = 3;
export const SLOW = 4;
export const LARGE = 5;
export const SECRET = 6;
export const VALUE = 1;
export const TEXT = 2;
export const NUMBERS = 'numbers';

const policy = definePolicy({
  value: { type: VALUE, kind: 'u32' },
  text: { type: TEXT, kind: 'string', sizeMax: 100 },
});

/** What the family does and has done; tests change and read it. */
export class Numbers {
  /** How many a dump lists. */
  count = 0;
  generation = 1;
  isGenerationBroken = false;
  /** Called before each step of a dump, with its index. */
  onStep: (index: number) => void = () => {};
  steps = 0;
  dumpsOpen = 0;
  dumpsEnded = 0;
  /** Values that SET and SLOW were called with. */
  readonly seen: number[] = [];
  /** Bytes of the answer to LARGE. */
  largeSize = 0;
  /** What FAIL throws. */
  failure: () => unknown = () => refuse(constants.errno.ENODEV, 'no such number', 20);
  /** What SLOW waits for. */
  gate: Promise<void> = Promise.resolve();
  readonly family: Family;

  constructor() {
    const numbers = this;
    this.family = defineFamily({
      name: NUMBERS,
      version: 3,
      headerSize: 4,
      reservedFrom: 256,
      groups: { changes: {}, secrets: { admin: true } },
      ops: {
        [GET]: {
          policy,
          do: ({ attributes, header }, reply) => {
            reply.message(GET, (writer) => writer.u32(VALUE, (attributes.value ?? 0) * 2), header);
          },
          *dump(_request, reply) {
            numbers.dumpsOpen++;
            try {
              for (let index = 0; index < numbers.count; index++) {
                numbers.onStep(index);
                numbers.steps++;
                yield reply.message(GET, (writer) => writer.u32(VALUE, index).string(TEXT, 'x'.repeat(index % 90)));
              }
            } finally {
              numbers.dumpsEnded++;
            }
          },
          generation() {
            if (numbers.isGenerationBroken) throw new Error('no generation');
            return numbers.generation;
          },
        },
        [SET]: {
          policy,
          flags: { admin: true },
          do({ attributes: { value = 0 } }, reply) {
            numbers.seen.push(value);
            reply.notify('changes', SET, (writer) => writer.u32(VALUE, value));
          },
        },
        [FAIL]: {
          do() {
            throw numbers.failure();
          },
          dump() {
            throw numbers.failure();
          },
        },
        [SLOW]: {
          policy,
          async do({ attributes: { value = 0 } }, reply) {
            await numbers.gate;
            numbers.seen.push(value);
            reply.message(SLOW, (writer) => writer.u32(VALUE, value));
          },
          async *dump(_request, reply) {
            for (let index = 0; index < numbers.count; index++) {
              await numbers.gate;
              yield reply.message(SLOW, (writer) => writer.u32(VALUE, index));
            }
          },
        },
        [LARGE]: {
          do(_request, reply) {
            // nlmsghdr, genlmsghdr, the family's header and the attribute's header take 28.
            reply.message(LARGE, (writer) => writer.binary(VALUE, new Uint8Array(numbers.largeSize - 28)));
          },
        },
      },
    });
  }
}
