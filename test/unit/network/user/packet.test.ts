import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  etherHeader,
  parseArp,
  parsePacket,
} from '../../../../helper-daemon/network/user/packet.ts';
import {
  prohibitedReply,
  resetReply,
  udpReply,
} from '../../../../helper-daemon/network/user/replies.ts';
import { arp, ethernet, flag, icmp, ip, read, tcp, udp } from './wire.ts';

const ends = { from: '10.42.0.2', to: '203.0.113.9' };
const hop = { from: { high: 1, low: 2 }, to: { high: 3, low: 4 } };

function framed(packet: Buffer): Buffer {
  return ethernet('02:00:00:00:00:01', '02:00:00:00:00:02', 0x0800, packet);
}

function parsed(packet: Buffer): ReturnType<typeof parsePacket> {
  const frame = framed(packet);
  return parsePacket(frame, etherHeader, frame.length);
}

describe('parsePacket', () => {
  it('reads addresses, ports and flags', () => {
    const packet = parsed(tcp({ ...ends, ports: [1234, 443], flags: flag.syn | flag.ack }));
    expect(packet).toMatchObject({
      source: 0x0a2a_0002,
      destination: 0xcb00_7109,
      sourcePort: 1234,
      destinationPort: 443,
      flags: 18,
      fragment: 'none',
      hasOptions: false,
    });
  });

  it('does not count the padding of short frames', () => {
    const packet = parsed(udp({ ...ends, data: Buffer.from('x') }));
    expect(packet!.end - packet!.payload).toBe(9);
  });

  it('takes no ports from a fragment that is not the first', () => {
    const packet = parsed(udp({ ...ends, ports: [53, 53], fragment: 0x2001 }));
    expect(packet).toMatchObject({ fragment: 'later', sourcePort: 0, destinationPort: 0 });
  });

  it('refuses a first fragment that is too short for its ports', () => {
    expect(parsed(ip(6, { ...ends, fragment: 0x2000 }, Buffer.alloc(16)))).toBeUndefined();
    expect(parsed(ip(17, { ...ends, fragment: 0x2000 }, Buffer.alloc(4)))).toBeUndefined();
  });

  it('refuses wrong versions, lengths and checksums', () => {
    const good = tcp(ends);
    const spoil = (at: number, value: number, repair = true): Buffer => {
      const bad = Buffer.from(good);
      bad[at] = value;
      if (!repair) return bad;
      bad.writeUInt16BE(0, 10);
      let sum = 0;
      for (let word = 0; word < 20; word += 2) sum += bad.readUInt16BE(word);
      bad.writeUInt16BE(~((sum & 0xffff) + (sum >>> 16)) & 0xffff, 10);
      return bad;
    };
    expect(parsed(spoil(8, 64))).toBeDefined();
    expect(parsed(spoil(0, 0x65))).toBeUndefined();
    expect(parsed(spoil(0, 0x44))).toBeUndefined();
    expect(parsed(spoil(0, 0x4f))).toBeUndefined();
    expect(parsed(spoil(2, 0xff))).toBeUndefined();
    expect(parsed(spoil(3, 19))).toBeUndefined();
    expect(parsed(spoil(8, 63, false))).toBeUndefined();
    expect(parsed(spoil(32, 0xf0))).toBeUndefined();
  });

  it('refuses a UDP length beyond the packet', () => {
    const packet = udp(ends);
    packet.writeUInt16BE(2000, 24);
    expect(parsed(packet)).toBeUndefined();
  });

  it('throws for no bytes at all', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), fc.nat(40), (bytes, start) => {
        const frame = Buffer.from(bytes);
        parseArp(frame, Math.min(start, frame.length), frame.length);
        const packet = parsePacket(frame, Math.min(start, frame.length), frame.length);
        return packet === undefined || packet.end <= frame.length;
      }),
      { numRuns: 5000 },
    );
  });

  it('stays within the frame when single bytes of good packets are changed', () => {
    const goods = [tcp(ends), udp(ends), icmp(ends), udp({ ...ends, options: Buffer.alloc(8, 1) })];
    fc.assert(
      fc.property(
        fc.constantFrom(...goods),
        fc.array(fc.tuple(fc.nat(39), fc.nat(255)), { maxLength: 3 }),
        fc.nat(60),
        (good, changes, cut) => {
          const frame = framed(good);
          for (const [at, value] of changes) frame[etherHeader + at] = value;
          const end = Math.max(frame.length - cut, etherHeader);
          const packet = parsePacket(frame, etherHeader, end);
          if (packet === undefined) return true;
          const replies = [prohibitedReply(hop, 1, packet, frame)];
          if (packet.protocol === 6 && packet.fragment !== 'later') {
            replies.push(resetReply(hop, packet, frame));
          }
          for (const reply of replies) read(reply.subarray(4));
          return packet.payload <= packet.end && packet.end <= end;
        },
      ),
      { numRuns: 5000 },
    );
  });
});

describe('replies', () => {
  it('have right checksums whatever they carry', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), fc.nat(0xffff), (data, port) => {
        const packet = {
          source: 0x0a2a_0002,
          destination: 1,
          sourcePort: port,
          destinationPort: 53,
        };
        const seen = read(udpReply(hop, packet, data).subarray(4));
        expect(seen.data.equals(data)).toBe(true);
        expect(seen.ports).toEqual([53, port]);
      }),
    );
  });

  it('reset what was sent, at the number that its sender expects', () => {
    const frame = framed(tcp({ ...ends, sequence: 0xffff_ffff, data: Buffer.from('abc') }));
    const packet = parsePacket(frame, etherHeader, frame.length)!;
    expect(read(resetReply(hop, packet, frame).subarray(4))).toMatchObject({
      flags: flag.rst | flag.ack,
      acknowledgement: 3,
      sequence: 0,
    });
    const later = framed(tcp({ ...ends, flags: flag.ack, acknowledgement: 77 }));
    const second = parsePacket(later, etherHeader, later.length)!;
    expect(read(resetReply(hop, second, later).subarray(4))).toMatchObject({
      flags: flag.rst,
      sequence: 77,
    });
  });

  it('does not take an ARP message for another protocol', () => {
    const good = arp(1, '02:00:00:00:00:01', '10.42.0.2', '10.42.0.1');
    expect(parseArp(good, 0, good.length)).toMatchObject({
      operation: 1,
      senderAddress: 0x0a2a_0002,
    });
    good[3] = 6;
    expect(parseArp(good, 0, good.length)).toBeUndefined();
  });
});
