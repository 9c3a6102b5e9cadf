/** A router with machines whose wires are arrays: what it lets pass lies there afterwards. */
import { addressPlan, macOf } from '../../../../helper-daemon/network/addressPlan.ts';
import type { Card } from '../../../../helper-daemon/network/network.ts';
import { closedPolicy, type NetworkPolicy } from '../../../../helper-daemon/network/policy.ts';
import {
  createHostAddresses,
  type AddressSpan,
} from '../../../../helper-daemon/network/user/hostAddresses.ts';
import {
  changeCard,
  createMachine,
  type Machine,
} from '../../../../helper-daemon/network/user/machine.ts';
import { createRouter } from '../../../../helper-daemon/network/user/router.ts';
import { parseIpv4 } from '../../../../protocol/networkTarget.ts';
import { ethernet, icmp, prefixed, read, tcp, udp, type Seen, type Segment } from './wire.ts';

export const plan = addressPlan('10.42.0.0/16');

let revisions = 1;

export function cardOf(name: string, address: string, policy: Partial<NetworkPolicy> = {}): Card {
  revisions += 1;
  return {
    workspaceId: name,
    name,
    address,
    mac: macOf(address),
    policy: { ...closedPolicy, ...policy },
    revision: revisions,
    forwards: [],
  };
}

export interface Wired {
  readonly machine: Machine;
  readonly toGuest: Seen[];
  readonly outside: Seen[];
  /** The machine writes an Ethernet frame. */
  write(frame: Buffer): void;
  /** The machine sends a packet by way of its gateway. */
  send(packet: Buffer): void;
  /** The outside sends a packet to the machine. */
  arrive(packet: Buffer): void;
  policy(policy: Partial<NetworkPolicy>): void;
  /** The card changes, and its policy does not. */
  rename(name: string): void;
  /** What has come since the last call, on either wire. */
  take(): { toGuest: Seen[]; outside: Seen[] };
  tcp(to: string, port: number, more?: Partial<Segment>): void;
  udp(to: string, port: number, more?: Partial<Segment>): void;
  ping(to: string): void;
}

export interface Bed {
  add(name: string, policy?: Partial<NetworkPolicy>): Wired;
  /** Monotonic milliseconds, moved by hand. */
  now: number;
  hostAddresses: AddressSpan[];
  answer: (question: Uint8Array) => Promise<Uint8Array | undefined>;
  /** Why the way out is closed. */
  problem: string | undefined;
}

export function createBed(): Bed {
  const machines = new Map<number, Machine>();
  const hostAddresses = createHostAddresses(() => bed.hostAddresses);
  const router = createRouter({
    plan,
    machineAt: (address) => machines.get(address),
    answer: (_machine, question) => bed.answer(question),
  });
  const bed: Bed = {
    now: 1000,
    hostAddresses: [],
    answer: async () => undefined,
    problem: undefined,
    add(name, policy) {
      const taken = new Set([...machines.values()].map(({ card }) => card.address));
      const address = plan.free(taken);
      const toGuest: Seen[] = [];
      const outside: Seen[] = [];
      const wire = (seen: Seen[]) => ({
        pass(bytes: Buffer, start: number, end: number) {
          if (bytes.readUInt32BE(start - 4) !== end - start) throw new Error('wrong length prefix');
          seen.push(read(Buffer.from(bytes.subarray(start, end))));
          return true;
        },
      });
      const machine = createMachine(
        cardOf(name, address, policy),
        {
          guest: wire(toGuest),
          uplink: { ...wire(outside), inUse: true, problem: () => bed.problem },
        },
        { hostAddresses },
      );
      machines.set(parseIpv4(address)!, machine);
      const write = (frame: Buffer): void => {
        const bytes = prefixed(frame);
        router.fromGuest(machine, bytes, 4, bytes.length, bed.now);
      };
      const send = (packet: Buffer): void => {
        write(ethernet(plan.gatewayMac, machine.card.mac, 0x0800, packet));
      };
      return {
        machine,
        toGuest,
        outside,
        write,
        send,
        arrive(packet) {
          const bytes = prefixed(ethernet(machine.card.mac, plan.gatewayMac, 0x0800, packet));
          router.fromUplink(machine, bytes, 4, bytes.length, bed.now);
        },
        policy(next) {
          changeCard(machine, cardOf(name, address, next));
        },
        rename(next) {
          changeCard(machine, { ...machine.card, name: next });
        },
        take: () => ({ toGuest: toGuest.splice(0), outside: outside.splice(0) }),
        tcp: (to, port, more) => send(tcp({ from: address, to, ports: [40_000, port], ...more })),
        udp: (to, port, more) => send(udp({ from: address, to, ports: [40_000, port], ...more })),
        ping: (to) => send(icmp({ from: address, to })),
      };
    },
  };
  return bed;
}
