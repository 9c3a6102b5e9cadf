/**
 * What machines' cards are connected to. Two of them: bridge (root: TAPs, nftables) and user (the daemon itself
 * passes frames on). Both are told the wanted state of a machine as a whole, and see to it.
 */
import type { DoctorCheck } from '../../protocol/operations/daemon.ts';
import type { AddressPlan } from './addressPlan.ts';
import type { NetworkPolicy } from './policy.ts';

/** A port of this host that leads to the machine. Only a bridge has anything to do with it. */
export interface CardForward {
  /** Host address; 0.0.0.0: every address of the host. */
  readonly bind: string;
  readonly hostPort: number;
  readonly guestPort: number;
  /** The kernel carries it, past the daemon's listener; else machines are only let through to that. */
  readonly direct: boolean;
}

/** Everything the network must know of one machine. */
export interface Card {
  readonly workspaceId: string;
  /** For the name `<workspace>.coppice` that those who may reach it can resolve. */
  readonly name: string;
  readonly address: string;
  readonly mac: string;
  readonly policy: NetworkPolicy;
  /**
   * 1 to 2^31 - 1, unlike that of any other machine, and new whenever the policy allows less than before:
   * connections that an earlier policy allowed are recognised by it, and end unless this one allows them too.
   */
  readonly revision: number;
  readonly forwards: readonly CardForward[];
}

/** What the engine puts behind the card. */
export type CardBackend =
  /** Reaches nothing. */
  | { readonly kind: 'none' }
  /** A TAP device; the descriptor is inherited by the monitor, and its end is the device's. */
  | { readonly kind: 'tap'; readonly fd: number }
  /** The monitor listens on a Unix socket in its run directory (`net.sock`) and speaks length-prefixed frames. */
  | { readonly kind: 'socket' };

export interface Attachment {
  readonly backend: CardBackend;
  /** Closes what only the start of the monitor needed. Call it once that has happened or failed. */
  release(): void;
}

export interface Traffic {
  readonly sentBytes: number;
  readonly sentPackets: number;
  readonly receivedBytes: number;
  readonly receivedPackets: number;
  readonly deniedPackets: number;
}

export interface Denial {
  /** Milliseconds since the epoch. */
  readonly lastAt: number;
  readonly kind: 'connection' | 'name';
  readonly destination: string;
  readonly port: number | undefined;
  /** tcp, udp, icmp, a number; dns for names. */
  readonly protocol: string;
  readonly count: number;
  readonly reason: string;
}

export interface Network {
  readonly mode: 'bridge' | 'user';
  readonly plan: AddressPlan;
  /** Says why machines cannot be connected on this host; undefined: they can. Asked before a machine is started. */
  problem(): string | undefined;
  /** Why machines that may leave could not; undefined: they can. */
  uplinkProblem(): Promise<string | undefined>;
  /**
   * Before a machine's monitor is started. From here until `detach` the card is in force. Without a card (templates,
   * probes) the machine reaches nothing.
   * @throws CoppiceError `prerequisite_missing`, `internal`
   */
  attach(run: RunKey, card: Card | undefined): Promise<Attachment>;
  /** The monitor runs: after `attach`, or for a machine of an earlier daemon, whose card it then learns here. */
  connect(run: RunKey, card: Card | undefined): Promise<void>;
  /** The card has changed. Done when it is in force; nothing for a machine that is not attached. */
  apply(card: Card): Promise<void>;
  /** The machine has ended. Nothing when the workspace has another run by now. */
  detach(run: RunKey): Promise<void>;
  /** What doctor says of it. */
  checks(): Promise<DoctorCheck[]>;
  /** After recovery: whatever belongs to no attached machine is removed. */
  settle(): Promise<void>;
  traffic(workspaceId: string): Promise<Traffic>;
  /** Most recent first. Kept about an hour, also after a change of policy. */
  denials(workspaceId: string): Promise<Denial[]>;
  /** Machines of a bridge stay connected; those of the user network are without one until the next daemon. */
  close(): Promise<void>;
}

export interface RunKey {
  readonly workspaceId: string;
  readonly runId: string;
  readonly runDir: string;
}
