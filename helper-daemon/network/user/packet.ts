/**
 * What the router must know of a frame, read without copying. Nothing here throws, whatever the bytes are: what
 * follows no rule is undefined.
 */
import { foldSum, sumWords } from './checksum.ts';

export const etherType = { ipv4: 0x0800, arp: 0x0806 } as const;
export const ipProtocol = { icmp: 1, tcp: 6, udp: 17 } as const;
export const tcpFlag = { fin: 0x01, syn: 0x02, rst: 0x04, ack: 0x10 } as const;
export const icmpType = { echoReply: 0, unreachable: 3, echo: 8, timeExceeded: 11 } as const;

export const etherHeader = 14;

export interface Mac {
  /** First four bytes. */
  readonly high: number;
  /** Last two. */
  readonly low: number;
}

/** Of "02:c0:0a:2a:00:01". */
export function macFromText(text: string): Mac {
  const value = Number.parseInt(text.replaceAll(':', ''), 16);
  return { high: Math.floor(value / 0x1_0000), low: value % 0x1_0000 };
}

export function macIs(frame: Buffer, at: number, mac: Mac): boolean {
  return frame.readUInt32BE(at) === mac.high && frame.readUInt16BE(at + 4) === mac.low;
}

export function writeMac(frame: Buffer, at: number, mac: Mac): void {
  frame.writeUInt32BE(mac.high, at);
  frame.writeUInt16BE(mac.low, at + 4);
}

export interface Arp {
  readonly operation: number;
  readonly senderAddress: number;
  readonly targetAddress: number;
  /** Where the sender's card address stands in the frame. */
  readonly senderMacAt: number;
}

/** IPv4 over Ethernet only. `start` is that of the ARP message, behind the Ethernet header. */
export function parseArp(frame: Buffer, start: number, end: number): Arp | undefined {
  if (end - start < 28) return undefined;
  if (frame.readUInt32BE(start) !== 0x0001_0800 || frame.readUInt16BE(start + 4) !== 0x0604) {
    return undefined;
  }
  return {
    operation: frame.readUInt16BE(start + 6),
    senderAddress: frame.readUInt32BE(start + 14),
    targetAddress: frame.readUInt32BE(start + 24),
    senderMacAt: start + 8,
  };
}

/** Positions are offsets in the buffer that was parsed. */
export interface Packet {
  readonly source: number;
  readonly destination: number;
  readonly protocol: number;
  readonly ttl: number;
  readonly header: number;
  /** Behind the IP header. */
  readonly payload: number;
  /** Behind the last byte that the IP header counts; Ethernet pads short frames. */
  readonly end: number;
  readonly hasOptions: boolean;
  /** `later` ones have no transport header: ports, flags and type are 0 in them. */
  readonly fragment: 'none' | 'first' | 'later';
  /** In bytes. */
  readonly fragmentOffset: number;
  /** 0 in protocols without ports. */
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Of TCP. */
  readonly flags: number;
  /** Of ICMP. */
  readonly type: number;
  readonly code: number;
}

/**
 * Undefined for anything that a careful host would not accept: wrong version, lengths or header checksum, or a
 * transport header that is not all there, also in a first fragment.
 */
export function parsePacket(frame: Buffer, start: number, limit: number): Packet | undefined {
  if (limit - start < 20) return undefined;
  const first = frame[start] ?? 0;
  const headerLength = (first & 0x0f) * 4;
  const total = frame.readUInt16BE(start + 2);
  if (first >>> 4 !== 4 || headerLength < 20 || total < headerLength || total > limit - start) {
    return undefined;
  }
  const payload = start + headerLength;
  if (foldSum(sumWords(frame, start, payload)) !== 0) return undefined;
  const fragmentWord = frame.readUInt16BE(start + 6);
  const fragmentOffset = (fragmentWord & 0x1fff) * 8;
  const moreFragments = (fragmentWord & 0x2000) !== 0;
  const fragment = fragmentOffset > 0 ? 'later' : moreFragments ? 'first' : 'none';
  const protocol = frame[start + 9] ?? 0;
  const end = start + total;
  // The last byte of a reassembled datagram has to be within 64 KiB.
  if (fragmentOffset + (end - payload) > 65_535) return undefined;
  const hasTransport = fragment !== 'later';
  if (hasTransport && !transportFits(frame, protocol, payload, end, fragment)) return undefined;
  const hasPorts = hasTransport && (protocol === ipProtocol.tcp || protocol === ipProtocol.udp);
  const isIcmp = hasTransport && protocol === ipProtocol.icmp;
  return {
    source: frame.readUInt32BE(start + 12),
    destination: frame.readUInt32BE(start + 16),
    protocol,
    ttl: frame[start + 8] ?? 0,
    header: start,
    payload,
    end,
    hasOptions: headerLength > 20,
    fragment,
    fragmentOffset,
    sourcePort: hasPorts ? frame.readUInt16BE(payload) : 0,
    destinationPort: hasPorts ? frame.readUInt16BE(payload + 2) : 0,
    flags: hasPorts && protocol === ipProtocol.tcp ? (frame[payload + 13] ?? 0) : 0,
    type: isIcmp ? (frame[payload] ?? 0) : 0,
    code: isIcmp ? (frame[payload + 1] ?? 0) : 0,
  };
}

function transportFits(
  frame: Buffer,
  protocol: number,
  payload: number,
  end: number,
  fragment: Packet['fragment'],
): boolean {
  const length = end - payload;
  if (protocol === ipProtocol.tcp) {
    if (length < 20) return false;
    const header = ((frame[payload + 12] ?? 0) >>> 4) * 4;
    return header >= 20 && (header <= length || fragment === 'first');
  }
  if (protocol === ipProtocol.udp) {
    if (length < 8) return false;
    const stated = frame.readUInt16BE(payload + 4);
    return stated >= 8 && (stated <= length || fragment === 'first');
  }
  return protocol !== ipProtocol.icmp || length >= 8;
}

/** Opens a connection: SYN without ACK. */
export function isBareSyn(packet: Packet): boolean {
  return (packet.flags & (tcpFlag.syn | tcpFlag.ack)) === tcpFlag.syn;
}
