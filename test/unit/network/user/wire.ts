/** Frames as a guest writes and reads them: made and checked here without the code that is tested. */

export interface Segment {
  readonly from: string;
  readonly to: string;
  readonly ports?: readonly [number, number];
  readonly flags?: number;
  readonly sequence?: number;
  readonly acknowledgement?: number;
  readonly data?: Uint8Array;
  readonly ttl?: number;
  /** Word 3 of the IP header: flags and offset. */
  readonly fragment?: number;
  readonly options?: Uint8Array;
  /** A multiple of 4 bytes. */
  readonly tcpOptions?: Uint8Array;
}

export const flag = { fin: 1, syn: 2, rst: 4, push: 8, ack: 16 } as const;

function macBytes(text: string): Buffer {
  return Buffer.from(text.replaceAll(':', ''), 'hex');
}

function addressBytes(text: string): Buffer {
  return Buffer.from(text.split('.').map(Number));
}

/** RFC 1071, word by word. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) {
    sum += (bytes[at]! << 8) + (bytes[at + 1] ?? 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return ~sum & 0xffff;
}

export function ethernet(to: string, from: string, type: number, payload: Buffer): Buffer {
  const head = Buffer.concat([macBytes(to), macBytes(from), Buffer.from([type >> 8, type & 255])]);
  const frame = Buffer.concat([head, payload]);
  return frame.length >= 60 ? frame : Buffer.concat([frame, Buffer.alloc(60 - frame.length)]);
}

export function arp(operation: number, mac: string, from: string, target: string): Buffer {
  return Buffer.concat([
    Buffer.from([0, 1, 8, 0, 6, 4, 0, operation]),
    macBytes(mac),
    addressBytes(from),
    Buffer.alloc(6),
    addressBytes(target),
  ]);
}

export function ip(protocol: number, segment: Segment, payload: Buffer): Buffer {
  const options = Buffer.from(segment.options ?? []);
  const head = Buffer.alloc(20 + options.length);
  head[0] = 0x40 | (head.length / 4);
  head.writeUInt16BE(head.length + payload.length, 2);
  head.writeUInt16BE(segment.fragment ?? 0, 6);
  head[8] = segment.ttl ?? 64;
  head[9] = protocol;
  addressBytes(segment.from).copy(head, 12);
  addressBytes(segment.to).copy(head, 16);
  options.copy(head, 20);
  head.writeUInt16BE(checksum(head), 10);
  return Buffer.concat([head, payload]);
}

function pseudo(protocol: number, segment: Segment, length: number): Buffer {
  return Buffer.concat([
    addressBytes(segment.from),
    addressBytes(segment.to),
    Buffer.from([0, protocol, length >> 8, length & 255]),
  ]);
}

export function tcp(segment: Segment): Buffer {
  const options = Buffer.from(segment.tcpOptions ?? []);
  const head = Buffer.concat([Buffer.alloc(20), options]);
  const [from, to] = segment.ports ?? [40_000, 80];
  head.writeUInt16BE(from, 0);
  head.writeUInt16BE(to, 2);
  head.writeUInt32BE(segment.sequence ?? 1000, 4);
  head.writeUInt32BE(segment.acknowledgement ?? 0, 8);
  head[12] = (head.length / 4) << 4;
  head[13] = segment.flags ?? flag.syn;
  head.writeUInt16BE(65_535, 14);
  const all = Buffer.concat([head, segment.data ?? Buffer.alloc(0)]);
  all.writeUInt16BE(checksum(Buffer.concat([pseudo(6, segment, all.length), all])), 16);
  return ip(6, segment, all);
}

export function udp(segment: Segment): Buffer {
  const head = Buffer.alloc(8);
  const [from, to] = segment.ports ?? [40_000, 123];
  head.writeUInt16BE(from, 0);
  head.writeUInt16BE(to, 2);
  const all = Buffer.concat([head, segment.data ?? Buffer.alloc(0)]);
  all.writeUInt16BE(all.length, 4);
  all.writeUInt16BE(checksum(Buffer.concat([pseudo(17, segment, all.length), all])), 6);
  return ip(17, segment, all);
}

export function icmp(segment: Segment, type = 8, code = 0): Buffer {
  const all = Buffer.concat([
    Buffer.from([type, code, 0, 0, 0, 7, 0, 1]),
    segment.data ?? Buffer.from('abcdefgh'),
  ]);
  all.writeUInt16BE(checksum(all), 2);
  return ip(1, segment, all);
}

/** With the length before it, as the stream carries it. */
export function prefixed(frame: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(frame.length);
  return Buffer.concat([length, frame]);
}

export interface Seen {
  readonly toMac: string;
  readonly fromMac: string;
  readonly kind: 'arp' | 'tcp' | 'udp' | 'icmp' | 'other';
  readonly from: string;
  readonly to: string;
  readonly ports: readonly [number, number];
  readonly flags: number;
  readonly sequence: number;
  readonly acknowledgement: number;
  readonly type: number;
  readonly code: number;
  readonly ttl: number;
  readonly data: Buffer;
}

/** Reads a frame (without its length) and insists on every checksum in it. */
export function read(frame: Buffer): Seen {
  const text = (at: number): string => [...frame.subarray(at, at + 4)].join('.');
  const mac = (at: number): string =>
    frame
      .toString('hex', at, at + 6)
      .match(/../g)!
      .join(':');
  const base = {
    toMac: mac(0),
    fromMac: mac(6),
    sequence: 0,
    acknowledgement: 0,
    flags: 0,
    ttl: 0,
  };
  const type = frame.readUInt16BE(12);
  if (type === 0x0806) {
    const [from, to] = [text(28), text(38)];
    const code = frame.readUInt16BE(20);
    return {
      ...base,
      kind: 'arp',
      from,
      to,
      ports: [0, 0],
      type: 0,
      code,
      data: frame.subarray(22, 28),
    };
  }
  if (type !== 0x0800) {
    return { ...base, kind: 'other', from: '', to: '', ports: [0, 0], type, code: 0, data: frame };
  }
  const header = (frame[14]! & 15) * 4;
  const total = frame.readUInt16BE(16);
  const payload = frame.subarray(14 + header, 14 + total);
  const protocol = frame[23]!;
  const segment = { from: text(26), to: text(30) };
  wrongUnless(checksum(frame.subarray(14, 14 + header)) === 0, 'IP checksum');
  const isFragment = (frame.readUInt16BE(20) & 0x3fff) !== 0;
  const common = { ...base, ...segment, ttl: frame[22]! };
  if (protocol === 1 && !isFragment) {
    wrongUnless(checksum(payload) === 0, 'ICMP checksum');
    const [kind, code] = [payload[0]!, payload[1]!];
    return { ...common, kind: 'icmp', ports: [0, 0], type: kind, code, data: payload.subarray(8) };
  }
  if (isFragment || (protocol !== 6 && protocol !== 17)) {
    return { ...common, kind: 'other', ports: [0, 0], type: protocol, code: 0, data: payload };
  }
  // UDP over IPv4 may go without.
  const hasSum = protocol === 6 || payload.readUInt16BE(6) !== 0;
  const summed = Buffer.concat([pseudo(protocol, segment, payload.length), payload]);
  wrongUnless(!hasSum || checksum(summed) === 0, 'TCP or UDP checksum');
  const ports = [payload.readUInt16BE(0), payload.readUInt16BE(2)] as const;
  if (protocol === 17) {
    return { ...common, kind: 'udp', ports, type: 0, code: 0, data: payload.subarray(8) };
  }
  return {
    ...common,
    kind: 'tcp',
    ports,
    sequence: payload.readUInt32BE(4),
    acknowledgement: payload.readUInt32BE(8),
    flags: payload[13]!,
    type: 0,
    code: 0,
    data: payload.subarray((payload[12]! >> 4) * 4),
  };
}

function wrongUnless(right: boolean, what: string): void {
  if (!right) throw new Error(`${what} is wrong`);
}
