/**
 * The machines' router: every frame of a machine and of its way out passes here, and only what a rule allows
 * leaves again. Frames are changed in place; whoever hands one in gives it away.
 */
import { formatIpv4, parseIpv4 } from '../../../protocol/networkTarget.ts';
import type { AddressPlan } from '../addressPlan.ts';
import { checksumAfterDecrease } from './checksum.ts';
import type { Machine } from './machine.ts';
import { mayCross } from './neighbours.ts';
import {
  etherHeader,
  etherType,
  icmpType,
  ipProtocol,
  isBareSyn,
  macFromText,
  macIs,
  parseArp,
  parsePacket,
  tcpFlag,
  writeMac,
  type Packet,
} from './packet.ts';
import type { Remote } from './reach.ts';
import {
  arpReply,
  lengthPrefix,
  prohibitedReply,
  resetInstead,
  resetReply,
  udpReply,
  type Hop,
} from './replies.ts';

export interface RouterOptions {
  readonly plan: AddressPlan;
  /** The attached machine that has this address. */
  machineAt(address: number): Machine | undefined;
  /** Answers a name question; undefined: not at all. */
  answer(machine: Machine, question: Uint8Array): Promise<Uint8Array | undefined>;
}

/** `now` in monotonic milliseconds. */
export interface Router {
  fromGuest(machine: Machine, bytes: Buffer, start: number, end: number, now: number): void;
  fromUplink(machine: Machine, bytes: Buffer, start: number, end: number, now: number): void;
}

interface Frame {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
  readonly now: number;
}

const reasons = {
  spoofed: 'the sender is not the address of the machine',
  pastGateway: 'not sent by way of the gateway',
  options: 'it has IP options',
  fragment: 'a fragment',
  protocol: 'a protocol that is never passed on',
  gateway: 'the gateway offers nothing but names',
  machine: 'another machine',
} as const;

const passedOn: readonly number[] = [ipProtocol.icmp, ipProtocol.tcp, ipProtocol.udp];

/** Name questions of one machine that may be open at once. */
const maxAsking = 64;
/** What fits into a frame behind Ethernet, IP and UDP headers. */
const maxDatagram = 1500 - 28;

const protocolNames: ReadonlyMap<number, string> = new Map(
  Object.entries(ipProtocol).map(([name, number]) => [number, name]),
);

export function createRouter({ plan, machineAt, answer }: RouterOptions): Router {
  const gateway = parseIpv4(plan.gateway) ?? 0;
  const gatewayMac = macFromText(plan.gatewayMac);
  const subnetFirst = gateway - 1;
  const subnetLast = subnetFirst + 2 ** (32 - plan.prefixLength) - 1;

  function toGuestHop(machine: Machine): Hop {
    return { from: gatewayMac, to: machine.mac };
  }

  /** Passes a frame to the machine, whose card addresses it then bears. */
  function deliver(machine: Machine, bytes: Buffer, start: number, end: number, now: number): void {
    const { counters } = machine;
    writeMac(bytes, start, machine.mac);
    writeMac(bytes, start + 6, gatewayMac);
    if (!machine.inLimit.take(end - start, now)) return;
    if (!machine.guest.pass(bytes, start, end)) return;
    counters.receivedBytes += end - start;
    counters.receivedPackets += 1;
  }

  function reply(machine: Machine, frame: Buffer, now: number): void {
    deliver(machine, frame, lengthPrefix, frame.length, now);
  }

  function countSent(machine: Machine, start: number, end: number): void {
    machine.counters.sentBytes += end - start;
    machine.counters.sentPackets += 1;
  }

  /** Says no, so that the program does not wait for an answer that will not come. */
  function refuse(machine: Machine, packet: Packet, bytes: Buffer, now: number): void {
    if (packet.fragment === 'later' || packet.destination >= 0xe000_0000) return;
    const hop = toGuestHop(machine);
    if (packet.protocol === ipProtocol.tcp) {
      if ((packet.flags & tcpFlag.rst) !== 0 || !machine.replyLimit.take(1, now)) return;
      reply(machine, resetReply(hop, packet, bytes), now);
    } else if (packet.protocol === ipProtocol.udp || packet.type === icmpType.echo) {
      if (!machine.replyLimit.take(1, now)) return;
      reply(machine, prohibitedReply(hop, gateway, packet, bytes), now);
    }
  }

  function deny(machine: Machine, packet: Packet, reason: string): void {
    machine.counters.deniedPackets += 1;
    const { destination, protocol } = packet;
    machine.denials.note({
      kind: 'connection',
      destination: formatIpv4(destination),
      port: portOf(packet),
      protocol: protocolNames.get(protocol) ?? String(protocol),
      reason,
    });
  }

  function onArp(machine: Machine, bytes: Buffer, start: number, end: number, now: number): void {
    const arp = parseArp(bytes, start + etherHeader, end);
    const own =
      arp !== undefined &&
      macIs(bytes, arp.senderMacAt, machine.mac) &&
      (arp.senderAddress === machine.address || arp.senderAddress === 0);
    if (!own) {
      machine.counters.deniedPackets += 1;
      return;
    }
    if (arp.operation !== 1 || arp.targetAddress !== gateway) return;
    countSent(machine, start, end);
    reply(machine, arpReply(toGuestHop(machine), gateway, arp.senderAddress), now);
  }

  function toGateway(machine: Machine, packet: Packet, { bytes, start, end, now }: Frame): void {
    const whole = packet.fragment === 'none';
    if (whole && packet.protocol === ipProtocol.udp && packet.destinationPort === 53) {
      countSent(machine, start, end);
      ask(machine, packet, bytes);
    } else if (whole && packet.protocol === ipProtocol.icmp && packet.type === icmpType.echo) {
      countSent(machine, start, end);
      if (machine.replyLimit.take(1, now)) echo(machine, packet, { bytes, start, end, now });
    } else {
      deny(machine, packet, whole ? reasons.gateway : reasons.fragment);
      if (packet.protocol === ipProtocol.tcp) refuse(machine, packet, bytes, now);
    }
  }

  function ask(machine: Machine, packet: Packet, bytes: Buffer): void {
    if (machine.asking >= maxAsking) return;
    machine.asking += 1;
    const stated = packet.payload + bytes.readUInt16BE(packet.payload + 4);
    // A copy: the question outlives the chunk it came in.
    const question = Uint8Array.from(bytes.subarray(packet.payload + 8, stated));
    answer(machine, question)
      .then((found) => {
        if (found === undefined || found.length > maxDatagram) return;
        if (machineAt(machine.address) !== machine) return;
        reply(machine, udpReply(toGuestHop(machine), packet, found), performance.now());
      })
      .catch(() => undefined)
      .finally(() => {
        machine.asking -= 1;
      });
  }

  function echo(machine: Machine, packet: Packet, { bytes, start, end, now }: Frame): void {
    bytes.writeUInt32BE(packet.destination, packet.header + 12);
    bytes.writeUInt32BE(packet.source, packet.header + 16);
    bytes[packet.payload] = icmpType.echoReply;
    const checksum = bytes.readUInt16BE(packet.payload + 2);
    bytes.writeUInt16BE(checksumAfterDecrease(checksum, icmpType.echo * 256), packet.payload + 2);
    deliver(machine, bytes, start, end, now);
  }

  function toMachine(machine: Machine, packet: Packet, { bytes, start, end, now }: Frame): void {
    const target = machineAt(packet.destination);
    // Whether there is such a machine does not show in the answer.
    if (
      target === undefined ||
      target === machine ||
      !mayCross(machine.card, target.card, packet)
    ) {
      deny(machine, packet, reasons.machine);
      refuse(machine, packet, bytes, now);
      return;
    }
    if (packet.ttl <= 1) return;
    bytes[packet.header + 8] = packet.ttl - 1;
    const checksum = bytes.readUInt16BE(packet.header + 10);
    bytes.writeUInt16BE(checksumAfterDecrease(checksum, 256), packet.header + 10);
    countSent(machine, start, end);
    deliver(target, bytes, start, end, now);
  }

  function toOutside(machine: Machine, packet: Packet, { bytes, start, end, now }: Frame): void {
    let refusal =
      outsideRefusal(packet) ??
      machine.reach.refusal(
        { protocol: packet.protocol, address: packet.destination, port: portOf(packet) },
        packet.protocol === ipProtocol.tcp && isBareSyn(packet),
        now,
      ) ??
      machine.uplink.problem();
    if (refusal === undefined) {
      // passt takes the padding of short frames for data.
      bytes.writeUInt32BE(packet.end - start, start - lengthPrefix);
      if (machine.uplink.pass(bytes, start, packet.end)) countSent(machine, start, end);
      // A frame that is lost on the way is no refusal, a way that did not come up is one.
      else refusal = machine.uplink.problem();
    }
    if (refusal === undefined) return;
    deny(machine, packet, refusal);
    refuse(machine, packet, bytes, now);
    endOutside(machine, packet, bytes);
  }

  /** A connection that is no longer allowed ends outside as well. */
  function endOutside(machine: Machine, packet: Packet, bytes: Buffer): void {
    const midway = packet.protocol === ipProtocol.tcp && packet.fragment === 'none';
    if (!midway || isBareSyn(packet) || packet.hasOptions || !machine.uplink.inUse) return;
    const hop = { from: machine.mac, to: gatewayMac };
    const frame = resetInstead(hop, packet, bytes);
    machine.uplink.pass(frame, lengthPrefix, frame.length);
  }

  function outsideRefusal(packet: Packet): string | undefined {
    // Reassembly is nobody's business here, and ports could hide in it.
    if (packet.fragment !== 'none') return reasons.fragment;
    const { protocol } = packet;
    if (protocol === ipProtocol.tcp || protocol === ipProtocol.udp) return undefined;
    const ping = protocol === ipProtocol.icmp && packet.type === icmpType.echo;
    return ping && packet.code === 0 ? undefined : reasons.protocol;
  }

  /** Errors about packets of the machine count as answers of where those went. */
  function answeredRemote(packet: Packet, bytes: Buffer): Remote | undefined {
    const { protocol, type } = packet;
    if (protocol === ipProtocol.tcp || protocol === ipProtocol.udp) {
      return { protocol, address: packet.source, port: packet.sourcePort };
    }
    if (protocol !== ipProtocol.icmp) return undefined;
    if (type === icmpType.echoReply) return { protocol, address: packet.source, port: undefined };
    if (type !== icmpType.unreachable && type !== icmpType.timeExceeded) return undefined;
    const quoted = packet.payload + 8;
    if (packet.end - quoted < 28 || (bytes[quoted] ?? 0) !== 0x45) return undefined;
    const about = bytes[quoted + 9] ?? 0;
    if (!passedOn.includes(about)) return undefined;
    return {
      protocol: about,
      address: bytes.readUInt32BE(quoted + 16),
      port: about === ipProtocol.icmp ? undefined : bytes.readUInt16BE(quoted + 22),
    };
  }

  return {
    fromGuest(machine, bytes, start, end, now) {
      const { counters } = machine;
      if (end - start < etherHeader || !macIs(bytes, start + 6, machine.mac)) {
        counters.deniedPackets += 1;
        return;
      }
      if (!machine.outLimit.take(end - start, now)) return;
      const type = bytes.readUInt16BE(start + 12);
      if (type === etherType.arp) {
        onArp(machine, bytes, start, end, now);
        return;
      }
      const packet =
        type === etherType.ipv4 ? parsePacket(bytes, start + etherHeader, end) : undefined;
      if (packet === undefined) {
        counters.deniedPackets += 1;
        return;
      }
      const { destination } = packet;
      if (packet.source !== machine.address) {
        deny(machine, packet, reasons.spoofed);
      } else if (!macIs(bytes, start, gatewayMac)) {
        deny(machine, packet, reasons.pastGateway);
      } else if (packet.hasOptions) {
        deny(machine, packet, reasons.options);
      } else if (destination === gateway) {
        toGateway(machine, packet, { bytes, start, end, now });
      } else if (destination >= subnetFirst && destination <= subnetLast) {
        toMachine(machine, packet, { bytes, start, end, now });
      } else {
        toOutside(machine, packet, { bytes, start, end, now });
      }
    },

    fromUplink(machine, bytes, start, end, now) {
      if (end - start < etherHeader) return;
      const type = bytes.readUInt16BE(start + 12);
      if (type === etherType.arp) {
        const arp = parseArp(bytes, start + etherHeader, end);
        if (arp?.operation !== 1 || arp.targetAddress !== machine.address) return;
        const frame = arpReply(
          { from: machine.mac, to: gatewayMac },
          machine.address,
          arp.senderAddress,
        );
        machine.uplink.pass(frame, lengthPrefix, frame.length);
        return;
      }
      if (type !== etherType.ipv4) return;
      const packet = parsePacket(bytes, start + etherHeader, end);
      if (packet?.destination !== machine.address || packet.fragment !== 'none') return;
      const remote = answeredRemote(packet, bytes);
      if (remote === undefined) return;
      if (machine.reach.mayAnswer(remote, now)) {
        deliver(machine, bytes, start, end, now);
        return;
      }
      machine.counters.deniedPackets += 1;
      if (packet.protocol !== ipProtocol.tcp || (packet.flags & tcpFlag.rst) !== 0) return;
      // The policy has changed under a connection: both ends are told, also the one that only listens.
      const outside = resetReply({ from: machine.mac, to: gatewayMac }, packet, bytes);
      machine.uplink.pass(outside, lengthPrefix, outside.length);
      reply(machine, resetInstead(toGuestHop(machine), packet, bytes), now);
    },
  };
}

/** What of a packet a rule may name; undefined where there are no ports. */
function portOf(packet: Packet): number | undefined {
  const { protocol } = packet;
  const has = protocol === ipProtocol.tcp || protocol === ipProtocol.udp;
  return has && packet.fragment !== 'later' ? packet.destinationPort : undefined;
}
