/*
 * A walker over the sections of a WebAssembly module: enough of the binary format to see its globals and whether it has data.
 */

export interface WasmGlobal {
  type: 'i32' | 'i64' | 'f32' | 'f64' | 'v128';
  mutable: boolean;
  /** Value of its constant initialiser. */
  value: bigint;
}

export interface WasmShape {
  /** Ids of the sections in the order of the file, custom ones (0) included. */
  sections: number[];
  globals: WasmGlobal[];
  data: WasmData[];
}

/** What an instantiation writes into the memory. */
export interface WasmData {
  address: number;
  size: number;
}

const GLOBAL = 6;
const DATA = 11;
const TYPES = new Map<number, WasmGlobal['type']>([
  [0x7f, 'i32'],
  [0x7e, 'i64'],
  [0x7d, 'f32'],
  [0x7c, 'f64'],
  [0x7b, 'v128'],
]);
const I32_CONST = 0x41;
const I64_CONST = 0x42;
const END = 0x0b;

class Cursor {
  readonly #bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  u8(): number {
    if (this.at >= this.#bytes.length) throw new Error('the module ends too early');
    return this.#bytes[this.at++];
  }

  /** LEB128, unsigned. */
  unsigned(): number {
    let result = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.u8();
      result += (byte & 127) * 2 ** shift;
      if (byte < 128) return result;
    }
  }

  /** LEB128, signed. */
  signed(): bigint {
    let result = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.u8();
      result |= BigInt(byte & 127) << shift;
      if (byte < 128) return BigInt.asIntN(Number(shift) + 7, result);
    }
  }
}

export function wasmShape(bytes: Uint8Array): WasmShape {
  if (Buffer.from(bytes.subarray(0, 8)).toString('latin1') !== '\0asm\x01\0\0\0')
    throw new Error('no WebAssembly module');
  const shape: WasmShape = { sections: [], globals: [], data: [] };
  const cursor = new Cursor(bytes, 8);
  while (cursor.at < bytes.length) {
    const id = cursor.u8();
    const end = cursor.unsigned() + cursor.at;
    shape.sections.push(id);
    if (id === GLOBAL) shape.globals = globalsAt(cursor);
    if (id === DATA) shape.data = dataAt(cursor);
    cursor.at = end;
  }
  return shape;
}

function globalsAt(cursor: Cursor): WasmGlobal[] {
  return Array.from({ length: cursor.unsigned() }, () => {
    const type = TYPES.get(cursor.u8());
    const mutable = cursor.u8() === 1;
    const opcode = cursor.u8();
    if (type === undefined || (opcode !== I32_CONST && opcode !== I64_CONST))
      throw new Error('a global of another kind');
    const value = cursor.signed();
    if (cursor.u8() !== END) throw new Error('an initialiser of several instructions');
    return { type, mutable, value };
  });
}

function dataAt(cursor: Cursor): WasmData[] {
  return Array.from({ length: cursor.unsigned() }, () => {
    if (cursor.unsigned() !== 0 || cursor.u8() !== I32_CONST) throw new Error('a data segment of another kind');
    const address = Number(cursor.signed());
    if (cursor.u8() !== END) throw new Error('an address of several instructions');
    const size = cursor.unsigned();
    cursor.at += size;
    return { address, size };
  });
}
