/** One machine as the router sees it: its card, what that allows, and the two ways frames can leave to. */
import { parseIpv4 } from '../../../protocol/networkTarget.ts';
import type { Card } from '../network.ts';
import { denialLog, type DenialLog } from '../denialLog.ts';
import type { HostAddresses } from './hostAddresses.ts';
import { macFromText, type Mac } from './packet.ts';
import { bandwidthLimit, rateLimit, type RateLimit } from './rateLimit.ts';
import { createReach, type Reach } from './reach.ts';

/** Where frames go. They are taken over with their length prefix, as frameSocket.ts says. */
export interface FrameSink {
  /** False: lost. */
  pass(bytes: Buffer, start: number, end: number): boolean;
}

/** The way out. It comes up with the first frame. */
export interface Way extends FrameSink {
  /** Why frames cannot leave at the moment. */
  problem(): string | undefined;
  /** Whether it has been used since it came up last. */
  readonly inUse: boolean;
}

export interface Counters {
  sentBytes: number;
  sentPackets: number;
  receivedBytes: number;
  receivedPackets: number;
  deniedPackets: number;
}

export interface Machine {
  card: Card;
  mac: Mac;
  address: number;
  readonly reach: Reach;
  readonly denials: DenialLog;
  readonly counters: Counters;
  /** From the machine. */
  outLimit: RateLimit;
  inLimit: RateLimit;
  /** Refusals that are answered: a machine that floods gets no flood back. */
  readonly replyLimit: RateLimit;
  /** Questions whose answers are awaited. */
  asking: number;
  readonly guest: FrameSink;
  readonly uplink: Way;
}

const repliesPerSecond = 500;

export function createMachine(
  card: Card,
  sinks: { readonly guest: FrameSink; readonly uplink: Way },
  shared: { readonly hostAddresses: HostAddresses; readonly denials?: DenialLog },
): Machine {
  return {
    card,
    ...identityOf(card),
    reach: createReach(card.policy, shared.hostAddresses),
    denials: shared.denials ?? denialLog(),
    counters: {
      sentBytes: 0,
      sentPackets: 0,
      receivedBytes: 0,
      receivedPackets: 0,
      deniedPackets: 0,
    },
    outLimit: bandwidthLimit(card.policy.bandwidthMbit),
    inLimit: bandwidthLimit(card.policy.bandwidthMbit),
    replyLimit: rateLimit(repliesPerSecond, repliesPerSecond),
    asking: 0,
    ...sinks,
  };
}

/** The card has changed; it holds for the next packet. */
export function changeCard(machine: Machine, card: Card): void {
  const before = machine.card;
  machine.card = card;
  Object.assign(machine, identityOf(card));
  machine.reach.update(card.policy, { forget: before.revision !== card.revision });
  if (before.policy.bandwidthMbit !== card.policy.bandwidthMbit) {
    machine.outLimit = bandwidthLimit(card.policy.bandwidthMbit);
    machine.inLimit = bandwidthLimit(card.policy.bandwidthMbit);
  }
}

function identityOf(card: Card): Pick<Machine, 'mac' | 'address'> {
  return { mac: macFromText(card.mac), address: parseIpv4(card.address) ?? 0 };
}
