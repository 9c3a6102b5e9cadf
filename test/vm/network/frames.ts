/** Ethernet frames made byte by byte, for machines that do not keep to the rules. */

export const broadcastMac = 'ff:ff:ff:ff:ff:ff';

export const etherTypes = { ipv4: 0x0800, arp: 0x0806, vlan: 0x8100, ipv6: 0x86dd, lldp: 0x88cc };

function macBytes(mac: string): Buffer {
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}

function addressBytes(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

export function ethernet(to: string, from: string, type: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(14);
  macBytes(to).copy(head, 0);
  macBytes(from).copy(head, 6);
  head.writeUInt16BE(type, 12);
  const frame = Buffer.concat([head, payload]);
  return Buffer.concat([frame, Buffer.alloc(Math.max(0, 60 - frame.length))]);
}

export interface ArpFields {
  readonly operation: 'request' | 'reply';
  readonly senderMac: string;
  readonly sender: string;
  readonly target: string;
  readonly targetMac?: string;
}

export function arp(fields: ArpFields): Buffer {
  const { operation, senderMac, sender, target, targetMac = '00:00:00:00:00:00' } = fields;
  return Buffer.concat([
    Buffer.from([0, 1, 8, 0, 6, 4, 0, operation === 'request' ? 1 : 2]),
    macBytes(senderMac),
    addressBytes(sender),
    macBytes(targetMac),
    addressBytes(target),
  ]);
}

function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) {
    sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

export interface PacketFields {
  readonly from: string;
  readonly to: string;
  readonly protocol: number;
  readonly payload: Buffer;
  /** Of the fragment: offset in bytes, and whether more follow. */
  readonly fragment?: { readonly offset: number; readonly more: boolean };
}

export function ipv4({ from, to, protocol, payload, fragment }: PacketFields): Buffer {
  const head = Buffer.alloc(20);
  head[0] = 0x45;
  head.writeUInt16BE(20 + payload.length, 2);
  head.writeUInt16BE(7, 4);
  if (fragment !== undefined) {
    head.writeUInt16BE((fragment.more ? 0x2000 : 0) | (fragment.offset / 8), 6);
  }
  head[8] = 64;
  head[9] = protocol;
  addressBytes(from).copy(head, 12);
  addressBytes(to).copy(head, 16);
  head.writeUInt16BE(checksum(head), 10);
  return Buffer.concat([head, payload]);
}

export function echoRequest(size = 24): Buffer {
  const message = Buffer.alloc(size, 'x');
  message.set([8, 0, 0, 0, 0, 7, 0, 1]);
  message.writeUInt16BE(checksum(message), 2);
  return message;
}

export function udp(fromPort: number, toPort: number, data: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt16BE(fromPort, 0);
  head.writeUInt16BE(toPort, 2);
  head.writeUInt16BE(8 + data.length, 4);
  return Buffer.concat([head, data]);
}

export function syn(from: string, to: string, fromPort: number, toPort: number): Buffer {
  const segment = Buffer.alloc(20);
  segment.writeUInt16BE(fromPort, 0);
  segment.writeUInt16BE(toPort, 2);
  segment.writeUInt32BE(1, 4);
  segment.set([0x50, 0x02, 0xff, 0xff], 12);
  const pseudo = Buffer.concat([addressBytes(from), addressBytes(to), Buffer.from([0, 6, 0, 20])]);
  segment.writeUInt16BE(checksum(Buffer.concat([pseudo, segment])), 16);
  return segment;
}

export interface SeenFrame {
  readonly type: number;
  /** Of IPv4 packets. */
  readonly from: string;
  readonly protocol: number;
}

/** What a frame holds, as far as the tests ask. */
export function describeFrame(frame: Buffer): SeenFrame {
  return {
    type: frame.readUInt16BE(12),
    from: [...frame.subarray(26, 30)].join('.'),
    protocol: frame[23] ?? 0,
  };
}
