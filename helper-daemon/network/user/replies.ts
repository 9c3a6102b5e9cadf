/** Frames that the router writes itself. Each begins with its length in four bytes, as the stream wants it. */
import { foldSum, pseudoSum, sumWords } from './checksum.ts';
import {
  etherHeader,
  etherType,
  icmpType,
  ipProtocol,
  tcpFlag,
  writeMac,
  type Mac,
  type Packet,
} from './packet.ts';

/** Bytes before each frame. */
export const lengthPrefix = 4;

const ipHeader = 20;
const payloadAt = lengthPrefix + etherHeader + ipHeader;

/** From whom to whom, on the wire. */
export interface Hop {
  readonly from: Mac;
  readonly to: Mac;
}

function newFrame(hop: Hop, type: number, length: number): Buffer {
  const frame = Buffer.alloc(lengthPrefix + etherHeader + length);
  frame.writeUInt32BE(etherHeader + length, 0);
  writeMac(frame, lengthPrefix, hop.to);
  writeMac(frame, lengthPrefix + 6, hop.from);
  frame.writeUInt16BE(type, lengthPrefix + 12);
  return frame;
}

/** "`address` is at `hop.from`", told to the one who asked. */
export function arpReply(hop: Hop, address: number, askerAddress: number): Buffer {
  const frame = newFrame(hop, etherType.arp, 28);
  const at = lengthPrefix + etherHeader;
  frame.writeUInt32BE(0x0001_0800, at);
  frame.writeUInt32BE(0x0604_0002, at + 4);
  writeMac(frame, at + 8, hop.from);
  frame.writeUInt32BE(address, at + 14);
  writeMac(frame, at + 18, hop.to);
  frame.writeUInt32BE(askerAddress, at + 24);
  return frame;
}

/** "Who has `target`?" */
export function arpRequest(hop: Hop, address: number, target: number): Buffer {
  const frame = arpReply(hop, address, target);
  const at = lengthPrefix + etherHeader;
  frame[at + 7] = 1;
  frame.fill(0, at + 18, at + 24);
  return frame;
}

function ipFrame(
  hop: Hop,
  source: number,
  destination: number,
  protocol: number,
  length: number,
): Buffer {
  const frame = newFrame(hop, etherType.ipv4, ipHeader + length);
  const at = lengthPrefix + etherHeader;
  frame[at] = 0x45;
  frame.writeUInt16BE(ipHeader + length, at + 2);
  // Never to be fragmented, so no identification is needed (RFC 6864).
  frame.writeUInt16BE(0x4000, at + 6);
  frame[at + 8] = 64;
  frame[at + 9] = protocol;
  frame.writeUInt32BE(source, at + 12);
  frame.writeUInt32BE(destination, at + 16);
  frame.writeUInt16BE(foldSum(sumWords(frame, at, at + ipHeader)), at + 10);
  return frame;
}

/** A datagram that answers `packet`, which was UDP. */
export function udpReply(
  hop: Hop,
  packet: Pick<Packet, 'source' | 'destination' | 'sourcePort' | 'destinationPort'>,
  payload: Uint8Array,
): Buffer {
  const length = 8 + payload.length;
  const frame = ipFrame(hop, packet.destination, packet.source, ipProtocol.udp, length);
  frame.writeUInt16BE(packet.destinationPort, payloadAt);
  frame.writeUInt16BE(packet.sourcePort, payloadAt + 2);
  frame.writeUInt16BE(length, payloadAt + 4);
  frame.set(payload, payloadAt + 8);
  const sum = pseudoSum(packet.destination, packet.source, ipProtocol.udp, length);
  // 0 would mean that there is none.
  const checksum = foldSum(sumWords(frame, payloadAt, frame.length, sum)) || 0xffff;
  frame.writeUInt16BE(checksum, payloadAt + 6);
  return frame;
}

/** Refuses the segment as its destination would (RFC 9293, 3.10.7.1). The segment must not be a reset itself. */
export function resetReply(hop: Hop, packet: Packet, bytes: Buffer): Buffer {
  const acknowledges = (packet.flags & tcpFlag.ack) !== 0;
  const sequence = bytes.readUInt32BE(packet.payload + 4);
  const header = ((bytes[packet.payload + 12] ?? 0) >>> 4) * 4;
  const phantom =
    ((packet.flags & tcpFlag.syn) === 0 ? 0 : 1) + ((packet.flags & tcpFlag.fin) === 0 ? 0 : 1);
  const length = Math.max(packet.end - packet.payload - header, 0) + phantom;
  return resetFrame(hop, {
    source: packet.destination,
    destination: packet.source,
    sourcePort: packet.destinationPort,
    destinationPort: packet.sourcePort,
    sequence: acknowledges ? bytes.readUInt32BE(packet.payload + 8) : 0,
    acknowledgement: acknowledges ? undefined : (sequence + length) >>> 0,
  });
}

/** Ends the connection for the receiver of `packet`, as if its sender had: takes the segment's place. */
export function resetInstead(hop: Hop, packet: Packet, bytes: Buffer): Buffer {
  return resetFrame(hop, {
    source: packet.source,
    destination: packet.destination,
    sourcePort: packet.sourcePort,
    destinationPort: packet.destinationPort,
    sequence: bytes.readUInt32BE(packet.payload + 4),
    acknowledgement:
      (packet.flags & tcpFlag.ack) === 0 ? undefined : bytes.readUInt32BE(packet.payload + 8),
  });
}

function resetFrame(
  hop: Hop,
  segment: Pick<Packet, 'source' | 'destination' | 'sourcePort' | 'destinationPort'> & {
    readonly sequence: number;
    readonly acknowledgement: number | undefined;
  },
): Buffer {
  const frame = ipFrame(hop, segment.source, segment.destination, ipProtocol.tcp, 20);
  frame.writeUInt16BE(segment.sourcePort, payloadAt);
  frame.writeUInt16BE(segment.destinationPort, payloadAt + 2);
  frame.writeUInt32BE(segment.sequence, payloadAt + 4);
  frame.writeUInt32BE(segment.acknowledgement ?? 0, payloadAt + 8);
  frame[payloadAt + 12] = 0x50;
  frame[payloadAt + 13] = tcpFlag.rst | (segment.acknowledgement === undefined ? 0 : tcpFlag.ack);
  const sum = pseudoSum(segment.source, segment.destination, ipProtocol.tcp, 20);
  frame.writeUInt16BE(foldSum(sumWords(frame, payloadAt, frame.length, sum)), payloadAt + 16);
  return frame;
}

/** "Communication administratively prohibited", said by the gateway. */
export function prohibitedReply(hop: Hop, gateway: number, packet: Packet, bytes: Buffer): Buffer {
  const quoted = bytes.subarray(packet.header, Math.min(packet.payload + 8, packet.end));
  const frame = ipFrame(hop, gateway, packet.source, ipProtocol.icmp, 8 + quoted.length);
  frame[payloadAt] = icmpType.unreachable;
  frame[payloadAt + 1] = 13;
  frame.set(quoted, payloadAt + 8);
  frame.writeUInt16BE(foldSum(sumWords(frame, payloadAt, frame.length)), payloadAt + 2);
  return frame;
}
