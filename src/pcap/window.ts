/*
 * Window: the part of a capture file that has been read and not yet decoded.
 *
 * The decoder appends what it is given; the format parsers look at bytes by their distance from the current place, and
 * step over whole records. A chunk that is appended belongs to the window from then on and is never written to again, so
 * that records may be views over it. Bytes left over from the chunk before are copied in front of the next one. One
 * thread.
 */

export class Window {
  private bytes: Uint8Array = new Uint8Array(0);
  private view: DataView = new DataView(this.bytes.buffer);
  private position = 0;
  /** Bytes of the file before the first byte of `bytes`. */
  private base = 0;
  littleEndian = true;

  /** Bytes from the current place to the end of what has been read. */
  get available(): number {
    return this.bytes.length - this.position;
  }

  /** Distance of the current place from the start of the file. */
  get offset(): number {
    return this.base + this.position;
  }

  append(chunk: Uint8Array): void {
    const left = this.available;
    this.base += this.position;
    if (left === 0) {
      this.bytes = chunk;
    } else {
      const joined = new Uint8Array(left + chunk.length);
      joined.set(this.bytes.subarray(this.position), 0);
      joined.set(chunk, left);
      this.bytes = joined;
    }
    this.position = 0;
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length);
  }

  u8(at: number): number {
    return this.view.getUint8(this.position + at);
  }

  u16(at: number): number {
    return this.view.getUint16(this.position + at, this.littleEndian);
  }

  u32(at: number): number {
    return this.view.getUint32(this.position + at, this.littleEndian);
  }

  u32BigEndian(at: number): number {
    return this.view.getUint32(this.position + at, false);
  }

  i64(at: number): bigint {
    return this.view.getBigInt64(this.position + at, this.littleEndian);
  }

  /** A view of `size` bytes; the caller has made sure that they are there. */
  slice(at: number, size: number): Uint8Array {
    const start = this.position + at;
    return this.bytes.subarray(start, start + size);
  }

  skip(size: number): void {
    this.position += size;
  }
}
