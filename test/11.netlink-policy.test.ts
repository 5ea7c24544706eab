/*
 * Policies: every kind at its limits, in both languages; the modes, nesting, what is missing; values typed by inference; tables that host and
 * datapath write alike.
 *
 * The words and errno values expected here are those of lib/nlattr.c; 11.netlink-kernel-policy asks a kernel for them.
 */
import { beforeAll, describe, expect, expectTypeOf, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import { type Attribute, AttributeBuilder } from '../src/netlink/attributes.ts';
import { MessageBuffer } from '../src/netlink/buffer.ts';
import { NLA_F_NESTED } from '../src/netlink/constants.ts';
import { MessageCursor } from '../src/netlink/message.ts';
import { definePolicy, type Policy, type Rule } from '../src/netlink/policy.ts';
import { policyTableSize, writePolicyTable } from '../src/netlink/policy-table.ts';
import { validateAttributes } from '../src/netlink/policy-validate.ts';
import { encodeAttributes, parseAttributes } from '../src/netlink/policy-values.ts';
import { type Answer, type Build, judgeAll, NetlinkWasm, openBuilds } from './fuzz/netlink-wasm.ts';

let wasm: Record<Build, NetlinkWasm>;
beforeAll(async () => {
  wasm = await openBuilds();
});
const judge = (policy: Policy, bytes: Uint8Array, mode: number): Answer => judgeAll(wasm, policy, bytes, mode);

function attribute(type: number, ...payload: number[]): Uint8Array {
  const bytes = new Uint8Array((payload.length + 7) & ~3);
  bytes.set([(payload.length + 4) & 255, (payload.length + 4) >> 8, type & 255, type >> 8, ...payload]);
  return bytes;
}

function encoded(write: (builder: AttributeBuilder) => void): Uint8Array {
  const buffer = new MessageBuffer();
  const builder = new AttributeBuilder(buffer);
  write(builder);
  builder.finish();
  return buffer.bytes.slice();
}

type RuleShape = Rule extends infer R ? (R extends Rule ? Omit<R, 'type'> : never) : never;
const text = (value: string): number[] => [...Buffer.from(value)];
const PAYLOAD = C.REFUSED_PAYLOAD;
const [EINVAL, ERANGE] = [C.EINVAL, C.ERANGE];

/** Rule, payload, [errno, reason] in liberal mode (none: accepted), the same in strict mode where it differs. */
const LIMITS: [RuleShape, number[], number[]?, number[]?][] = [
  [{ kind: 'u8' }, [1]],
  [{ kind: 'u8' }, [], [ERANGE, PAYLOAD], [EINVAL, C.REFUSED_LENGTH]],
  [{ kind: 'u8' }, [1, 2], undefined, [EINVAL, C.REFUSED_LENGTH]],
  [{ kind: 'u32', min: 5, max: 9 }, [5, 0, 0, 0]],
  [{ kind: 'u32', min: 5, max: 9 }, [9, 0, 0, 0]],
  [{ kind: 'u32', min: 5, max: 9 }, [4, 0, 0, 0], [ERANGE, C.REFUSED_RANGE]],
  [{ kind: 'u32', min: 5, max: 9 }, [9, 0, 0, 1], [ERANGE, C.REFUSED_RANGE]],
  [{ kind: 'u32', min: 0x80000000 }, [0, 0, 0, 0x80]],
  [{ kind: 's8', min: -2, max: 1 }, [0xfe]],
  [{ kind: 's8', min: -2, max: 1 }, [0xfd], [ERANGE, C.REFUSED_RANGE]],
  [{ kind: 's32', min: -2, max: 1 }, [0xfe, 0xff, 0xff, 0xff]],
  [{ kind: 's32', min: -2, max: 1 }, [2, 0, 0, 0], [ERANGE, C.REFUSED_RANGE]],
  [{ kind: 's64', max: -1 }, [255, 255, 255, 255, 255, 255, 255, 255]],
  [{ kind: 's64', max: -1 }, [0, 0, 0, 0, 0, 0, 0, 0], [ERANGE, C.REFUSED_RANGE]],
  [{ kind: 'be16', max: 0x102 }, [1, 2]],
  [{ kind: 'be16', max: 0x102 }, [1, 3], [ERANGE, C.REFUSED_RANGE]],
  [{ kind: 'be64', max: 1 }, [0, 0, 0, 0, 0, 0, 0, 1]],
  [{ kind: 'be64', max: 1 }, [1, 0, 0, 0, 0, 0, 0, 0], [ERANGE, C.REFUSED_RANGE]],
  [{ kind: 'u64', max: 2n ** 40n }, [0, 0, 0, 0, 0, 1, 0, 0]],
  [{ kind: 'u64', max: 2n ** 40n }, [1, 0, 0, 0, 0, 1, 0, 0], [ERANGE, C.REFUSED_RANGE]],
  [{ kind: 'u16', mask: 0x8001 }, [1, 0x80]],
  [{ kind: 'u16', mask: 0x8001 }, [2, 0], [EINVAL, C.REFUSED_MASK]],
  [{ kind: 'u64', mask: 2n ** 63n }, [0, 0, 0, 0, 0, 0, 0, 0x80]],
  [{ kind: 'u64', mask: 2n ** 63n }, [0, 0, 0, 0, 0, 0, 0, 0x40], [EINVAL, C.REFUSED_MASK]],
  [{ kind: 'msecs' }, [1, 0, 0, 0, 0, 0, 0, 0, 0]],
  [{ kind: 'msecs' }, [1, 0, 0, 0], [ERANGE, PAYLOAD]],
  [{ kind: 'uint', max: 7 }, [7, 0, 0, 0]],
  [{ kind: 'uint', max: 7 }, [0, 0, 0, 0, 1, 0, 0, 0], [ERANGE, C.REFUSED_RANGE]],
  [{ kind: 'uint' }, [7, 0, 0, 0, 0], [EINVAL, C.REFUSED_LENGTH]],
  [{ kind: 'sint', min: -1 }, [254, 255, 255, 255], [ERANGE, C.REFUSED_RANGE]],
  [{ kind: 'sint', min: -1 }, [255, 255, 255, 255, 255, 255, 255, 255]],
  [{ kind: 'flag' }, []],
  [{ kind: 'flag' }, [0], [ERANGE, PAYLOAD]],
  [{ kind: 'string', sizeMax: 3 }, text('abc')],
  [{ kind: 'string', sizeMax: 3 }, text('abc\0')],
  [{ kind: 'string', sizeMax: 3 }, text('abcd'), [ERANGE, PAYLOAD]],
  [{ kind: 'string', sizeMax: 3 }, text('abc\0\0'), [ERANGE, PAYLOAD]],
  [{ kind: 'string' }, [], [ERANGE, PAYLOAD]],
  [{ kind: 'nulString', sizeMax: 3 }, text('abc\0')],
  [{ kind: 'nulString', sizeMax: 3 }, text('abc'), [EINVAL, PAYLOAD]],
  [{ kind: 'nulString', sizeMax: 3 }, text('abcd\0'), [EINVAL, PAYLOAD]],
  [{ kind: 'nulString', sizeMax: 3 }, text('a\0bcd'), [ERANGE, PAYLOAD]],
  [{ kind: 'nulString' }, [], [EINVAL, PAYLOAD]],
  [{ kind: 'binary', sizeMax: 2 }, [1, 2]],
  [{ kind: 'binary', sizeMax: 2 }, [1, 2, 3], [ERANGE, PAYLOAD]],
  [{ kind: 'binary', size: 2 }, [1], [ERANGE, C.REFUSED_BINARY_SIZE]],
  [{ kind: 'binary', size: 2 }, [1, 2, 3], [ERANGE, C.REFUSED_BINARY_SIZE]],
  [{ kind: 'binary', sizeMin: 2 }, [1, 2, 3]],
  [{ kind: 'binary', sizeMin: 2 }, [1], [ERANGE, C.REFUSED_BINARY_SIZE]],
  [{ kind: 'binary', size: 2, lenient: true }, [1, 2, 3], undefined, [EINVAL, C.REFUSED_LENGTH]],
  [{ kind: 'binary', size: 2, lenient: true }, [1], [ERANGE, C.REFUSED_BINARY_SIZE]],
  [{ kind: 'bitfield32', mask: 3 }, [1, 0, 0, 0, 3, 0, 0, 0]],
  [{ kind: 'bitfield32', mask: 3 }, [1, 0, 0, 0, 2, 0, 0, 0], [EINVAL, PAYLOAD]],
  [{ kind: 'bitfield32', mask: 3 }, [0, 0, 0, 0, 4, 0, 0, 0], [EINVAL, PAYLOAD]],
  [{ kind: 'bitfield32', mask: 3 }, [1, 0, 0, 0], [ERANGE, PAYLOAD]],
  [{ kind: 'bitfield32', mask: 0 }, [0, 0, 0, 0, 0, 0, 0, 0], [EINVAL, PAYLOAD]],
  [{ kind: 'reject' }, [], [EINVAL, PAYLOAD]],
  [{ kind: 'unspec', sizeMin: 2 }, [1, 2], undefined, [EINVAL, C.REFUSED_UNSUPPORTED]],
  [{ kind: 'unspec', sizeMin: 2 }, [1], [ERANGE, PAYLOAD], [EINVAL, C.REFUSED_UNSUPPORTED]],
];

describe('a rule at its limits', () => {
  it.each(LIMITS)('%o %o', (shape, payload, liberal, strict) => {
    const policy = definePolicy({ it: { ...shape, type: 3 } as Rule });
    const bytes = attribute(3, ...payload);
    for (const [mode, expected] of [
      [C.NL_VALIDATE_LIBERAL, liberal],
      [C.NL_VALIDATE_STRICT, strict ?? liberal],
    ] as const) {
      const { errno, reason, offset } = judge(policy, bytes, mode);
      expect([errno, reason, offset]).toEqual(expected === undefined ? [0, 0, undefined] : [...expected, 0]);
    }
  });
});

describe('lists', () => {
  const inner = definePolicy({ index: { type: 1, kind: 'u32', required: true }, name: { type: 2, kind: 'string' } });
  const policy = definePolicy({
    port: { type: 1, kind: 'u32' },
    one: { type: 2, kind: 'nested', policy: inner },
    many: { type: 3, kind: 'nestedArray', policy: inner },
    last: { type: 5, kind: 'flag' },
  });
  const nested = (type: number, ...parts: Uint8Array[]) =>
    attribute(type | NLA_F_NESTED, ...parts.flatMap((part) => [...part]));
  const port = attribute(1, 9, 0, 0, 0);
  const join = (...parts: Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));
  const { NL_VALIDATE_STRICT: STRICT, NL_VALIDATE_LIBERAL: LIBERAL } = C;

  it.each<[string, Uint8Array, number, number, number?]>([
    ['type 0', attribute(0), STRICT, C.REFUSED_UNKNOWN, 0],
    ['a type over the largest', join(port, attribute(6)), STRICT, C.REFUSED_UNKNOWN, 8],
    ['a type over the largest, liberal', attribute(6), LIBERAL, 0],
    ['a type without a rule', join(port, attribute(4)), STRICT, C.REFUSED_UNSUPPORTED, 8],
    ['a type without a rule, liberal', attribute(4), LIBERAL, 0],
    ['bytes left over', join(port, Uint8Array.of(1, 2)), STRICT, C.REFUSED_LEFTOVER],
    ['bytes left over, liberal', join(port, Uint8Array.of(1, 2)), LIBERAL, 0],
    ['an attribute that is cut', join(port, port).subarray(0, 15), STRICT, C.REFUSED_LEFTOVER],
    ['no padding at the end', join(port, attribute(5)), STRICT, 0],
    ['a nest without its flag', attribute(2, ...port), STRICT, C.REFUSED_NOT_NESTED, 0],
    ['a nest without its flag, liberal', attribute(2, ...port), LIBERAL, 0],
    ['a number with the flag of a nest', attribute(0x8001, 1, 0, 0, 0), STRICT, C.REFUSED_NESTED, 0],
    ['an empty nest', nested(2), STRICT, 0],
    ['a nest shorter than a header', attribute(0x8002, 1), STRICT, PAYLOAD, 0],
    ['an error inside a nest', join(port, nested(2, port, attribute(2))), STRICT, PAYLOAD, 20],
    ['an array', nested(3, nested(7, port), nested(0), nested(7, port)), STRICT, 0],
    [
      'an array with a short entry',
      nested(3, nested(1, port), attribute(2, 1, 2)),
      STRICT,
      C.REFUSED_ARRAY_ELEMENT,
      16,
    ],
    ['a child larger than its parent', nested(2, port, Uint8Array.of(9, 0, 2, 0)), STRICT, C.REFUSED_LEFTOVER],
  ])('%s', (_name, bytes, mode, reason, offset) => {
    const answer = judge(policy, bytes, mode);
    expect([answer.reason, answer.offset]).toEqual([reason, offset]);
  });

  it('say what is missing, and where', () => {
    expect(judge(inner, attribute(2, 65), STRICT)).toMatchObject({
      errno: EINVAL,
      missingType: 1,
      missingNest: undefined,
    });
    const bytes = join(port, nested(3, nested(1, port), nested(2, attribute(2, 65))));
    expect(judge(policy, bytes, LIBERAL)).toMatchObject({ errno: EINVAL, missingType: 1, missingNest: 24 });
    expect(validateAttributes(inner, attribute(2, 65))).not.toHaveProperty('message');
  });

  it('are strict from a type on where the policy says so', () => {
    const rules = { early: { type: 1, kind: 'u8' }, late: { type: 2, kind: 'u8' } } as const;
    const late = definePolicy(rules, { strictStart: 2 });
    expect(judge(late, attribute(1, 1, 2), LIBERAL).reason).toBe(0);
    expect(judge(late, attribute(2, 1, 2), LIBERAL).reason).toBe(C.REFUSED_LENGTH);
  });

  it.each([
    [9, 0],
    [10, C.REFUSED_DEPTH],
    [64, C.REFUSED_DEPTH],
  ])('nested %i deep', (depth, reason) => {
    const itself: Policy = definePolicy({ itself: { type: 1, kind: 'nested', policy: () => itself } });
    // The innermost nest is not empty, or nobody would look into it.
    let bytes = attribute(0x3fff);
    for (let i = 0; i < depth; i++) bytes = nested(1, bytes);
    expect(judge(itself, bytes, LIBERAL).reason).toBe(reason);
  });

  it('have the last of duplicates in the table', () => {
    const bytes = join(port, attribute(5), attribute(1, 8, 0, 0, 0));
    const { exports, words } = wasm.release;
    wasm.release.clearPolicies();
    const table = wasm.release.addPolicy(policy);
    const attrs = wasm.release.place(bytes);
    words.fill(0xeeeeeeee, NetlinkWasm.TABLE >> 2, (NetlinkWasm.TABLE >> 2) + 7);
    expect(exports.parsePolicy(table, attrs, bytes.length, NetlinkWasm.TABLE, STRICT)).toBe(0);
    const found = [...words.subarray(NetlinkWasm.TABLE >> 2, (NetlinkWasm.TABLE >> 2) + 7)];
    expect(found).toEqual([0, attrs + 12, 0, 0, 0, attrs + 8, 0xeeeeeeee]);
    expect(parseAttributes(policy, bytes).port).toBe(8);
  });

  it('give a reject its own words', () => {
    const old = definePolicy({ old: { type: 1, kind: 'reject', message: 'use the new one' } });
    expect(validateAttributes(old, attribute(1))?.message).toBe('use the new one');
  });
});

describe('values', () => {
  const inner = definePolicy({ index: { type: 1, kind: 'u32', required: true } });
  const policy = definePolicy({
    name: { type: 1, kind: 'nulString', required: true },
    bytes: { type: 2, kind: 'u64' },
    up: { type: 3, kind: 'flag' },
    one: { type: 4, kind: 'nested', policy: inner },
    many: { type: 5, kind: 'nestedArray', policy: () => inner },
    raw: { type: 6, kind: 'nested' },
    bits: { type: 7, kind: 'bitfield32', mask: 3 },
  });

  it('have types that follow from the rules', () => {
    type Parsed = ReturnType<typeof parseAttributes<typeof policy extends Policy<infer T> ? T : never>>;
    expectTypeOf<Parsed['name']>().toEqualTypeOf<string>();
    expectTypeOf<Parsed['bytes']>().toEqualTypeOf<bigint | undefined>();
    expectTypeOf<Parsed['raw']>().toEqualTypeOf<Attribute[] | undefined>();
    expectTypeOf<NonNullable<Parsed['one']>['index']>().toEqualTypeOf<number>();
    expectTypeOf<NonNullable<Parsed['many']>[number]['index']>().toEqualTypeOf<number>();
  });

  it('are parsed as they were encoded, unknown ones kept', () => {
    const unknown = [{ type: 99, isNested: true, isNetByteOrder: false, payload: Uint8Array.of(1, 2, 3), offset: 0 }];
    const values = {
      ...{ name: 'eth0', bytes: 2n ** 40n, up: true, one: { index: 7 }, many: [{ index: 8 }, { index: 9 }] },
      ...{ raw: [{ ...unknown[0], type: 4 }], bits: { value: 1, selector: 3 }, unknown },
    };
    const bytes = encoded((builder) => encodeAttributes(policy, builder, values));
    expect(parseAttributes(policy, bytes)).toMatchObject({
      ...values,
      raw: [expect.objectContaining({ type: 4 })],
      unknown: [expect.objectContaining({ type: 99, isNested: true, payload: unknown[0].payload })],
    });
    bytes.fill(0xee);
  });

  it.each([
    ['a missing attribute', attribute(2, ...new Array(8).fill(0)), { attributeType: 1, attributeOffset: undefined }],
    ['a wrong one', encoded((b) => b.string(1, 'a').u8(2, 1)), { attributeType: 2, attributeOffset: 108 }],
    [
      'one missing in a nest',
      encoded((b) => b.string(1, 'a').nest(4, (n) => n.flag(9))),
      { attributeType: 1, attributeOffset: 108 },
    ],
    [
      'bytes left over',
      Uint8Array.of(...attribute(1, 65, 0), 1),
      { attributeType: undefined, attributeOffset: undefined },
    ],
    [
      'a nest malformed inside',
      encoded((b) => b.string(1, 'a').binary(6, Uint8Array.of(9, 0, 1, 0))),
      { attributeType: 1, attributeOffset: 112 },
    ],
  ])('are refused for %s', (_name, bytes, details) => {
    const message = Uint8Array.of(...new Array(100).fill(0xee), ...bytes);
    expect(() => parseAttributes(policy, message, 100, bytes.length)).toThrow(
      expect.objectContaining({ code: 'ERR_NETLINK_MALFORMED', ...details }),
    );
  });
});

describe('definePolicy', () => {
  it.each<[string, Record<string, Rule>, object?]>([
    ['a type that is none', { a: { type: 0, kind: 'u8' } }],
    ['two rules for a type', { a: { type: 1, kind: 'u8' }, b: { type: 1, kind: 'u16' } }],
    ['a range outside of its kind', { a: { type: 1, kind: 'u8', max: 256 } }],
    ['a range the wrong way round', { a: { type: 1, kind: 's8', min: 2, max: 1 } }],
    ['a mask and a range', { a: { type: 1, kind: 'u8', mask: 1, max: 2 } }],
    ['a mask of a signed kind', { a: { type: 1, kind: 's8', mask: 1 } }],
    ['sizes that cannot be', { a: { type: 1, kind: 'binary', sizeMin: 3, sizeMax: 2 } }],
    ['two sorts of sizes', { a: { type: 1, kind: 'binary', size: 3, sizeMax: 5 } }],
    ['a size over 16 bits', { a: { type: 1, kind: 'string', sizeMax: 65536 } }],
    ['the name that is taken', { unknown: { type: 1, kind: 'u8' } }],
    ['a largest type below a rule', { a: { type: 3, kind: 'u8' } }, { maxType: 2 }],
    ['a strict start that is no type', { a: { type: 3, kind: 'u8' } }, { strictStart: -1 }],
  ])('refuses %s', (_name, rules, options) => {
    expect(() => definePolicy(rules, options)).toThrow(RangeError);
  });
});

describe('a table', () => {
  it('is written alike by the host and by the datapath', () => {
    const inner = definePolicy({ index: { type: 1, kind: 'u32', required: true } });
    const policy: Policy = definePolicy(
      {
        name: { type: 1, kind: 'string', sizeMax: 15, required: true },
        mtu: { type: 2, kind: 'u32', min: 68, max: 65535 },
        offset: { type: 3, kind: 's64', min: -5, max: 5 },
        flags: { type: 4, kind: 'u8', mask: 7, required: true },
        bits: { type: 5, kind: 'bitfield32', mask: 3 },
        inner: { type: 7, kind: 'nested', policy: inner },
      },
      { maxType: 8, strictStart: 4 },
    );
    const { exports: wasmExports, bytes } = wasm.debug;
    const [at, size] = [NetlinkWasm.SCRATCH, policyTableSize(policy)];
    bytes.fill(0xee, at, at + size + 8);
    const nestedAt = wasmExports.beginPolicy(at, 8, 4);
    wasmExports.setRule(at, 1, C.KIND_STRING, 15);
    wasmExports.setRequired(at, 1);
    wasmExports.setRequired(at, 1);
    wasmExports.setRange(at, 2, C.KIND_U32, 68n, 65535n);
    wasmExports.setRange(at, 3, C.KIND_S64, -5n, 5n);
    wasmExports.setMask(at, 4, C.KIND_U8, 7n);
    wasmExports.setRequired(at, 4);
    wasmExports.setMask(at, 5, C.KIND_BITFIELD32, 3n);
    wasmExports.setNested(at, 7, C.KIND_NESTED, nestedAt);
    const end = wasmExports.beginPolicy(nestedAt, 1, 0);
    wasmExports.setRule(nestedAt, 1, C.KIND_U32, 0);
    wasmExports.setRequired(nestedAt, 1);
    expect(end - at).toBe(size);
    const theirs = withoutRangesOf(bytes.slice(at, end));
    expect(writePolicyTable(policy, bytes, at)).toBe(end);
    expect(withoutRangesOf(bytes.slice(at, end))).toEqual(theirs);
    expect([...bytes.slice(end, end + 8)]).toEqual(new Array(8).fill(0xee));
    expect(() => writePolicyTable(policy, bytes, bytes.length - 8)).toThrow(RangeError);
    expect(() => writePolicyTable(policy, bytes, 4)).toThrow(RangeError);
  });

  /** The host writes the range of the kind also where nobody looks at it. */
  function withoutRangesOf(table: Uint8Array): Uint8Array {
    for (let row = 0; row < table.length; row += C.POLICY_ROW_SIZEOF) {
      const [kind, flags] = [table[row + C.POLICY_KIND], table[row + C.POLICY_FLAGS]];
      const used = (flags & (C.POLICY_RANGED | C.POLICY_MASKED)) !== 0 || kind === C.KIND_BITFIELD32;
      if (!used) table.fill(0, row + C.POLICY_MIN, row + C.POLICY_ROW_SIZEOF);
    }
    return table;
  }
});

describe('the acknowledgement that the datapath writes', () => {
  it('is read by the cursor', () => {
    const { bytes, exports: wasmExports } = wasm.debug;
    const [request, at] = [NetlinkWasm.SCRATCH, NetlinkWasm.OUT];
    bytes.set([24, 0, 0, 0, 0x1c, 0, 5, 0, 1, 2, 3, 4, 9, 8, 7, 6], request);
    expect(wasmExports.putAck(at, at + 36, request, -22)).toBe(at + 36);
    expect(wasmExports.putAck(at, at + 35, request, -22)).toBe(0);
    const cursor = new MessageCursor(bytes, at, 36);
    expect(cursor.next()).toBe(true);
    expect([cursor.isError, cursor.errno(), cursor.seq, cursor.portId, cursor.size]).toEqual([
      true,
      22,
      0x04030201,
      0x06070809,
      36,
    ]);
    expect(cursor.extendedAck()).toEqual({});
  });
});
