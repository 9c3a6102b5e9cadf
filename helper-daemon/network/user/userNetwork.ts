/** The network of a daemon without root: the daemon itself is the router between the cards of its machines. */
import { join } from 'node:path';
import type { DoctorCheck } from '../../../protocol/operations/daemon.ts';
import type { Log } from '../../system/log.ts';
import { boundSocket } from '../../system/run.ts';
import type { AddressPlan } from '../addressPlan.ts';
import { createResolver, type Resolver, type ResolverOptions } from '../dns/resolver.ts';
import type { Card, Denial, Network, RunKey } from '../network.ts';
import { denialLog, denialsKeptMs, type DenialLog } from '../denialLog.ts';
import { openGuestLink, type GuestLink } from './guestLink.ts';
import { createHostAddresses } from './hostAddresses.ts';
import { changeCard, createMachine, type Machine } from './machine.ts';
import { mayOpen } from './neighbours.ts';
import { createRouter } from './router.ts';
import { createUplink, passtArguments, type Uplink } from './uplink.ts';
import { findUplinkProblem } from './uplinkProblem.ts';
import { endStrayUplink } from './uplinkRecord.ts';

export interface UserNetworkOptions {
  readonly plan: AddressPlan;
  readonly resolverOptions: ResolverOptions;
  readonly log: Log;
  /** The program; looked for on PATH when absent. */
  readonly passt?: string;
}

interface Attached {
  readonly run: RunKey;
  readonly machine: Machine;
  readonly uplink: Uplink;
  link: GuestLink | undefined;
}

interface Remembered {
  readonly denials: DenialLog;
  /** Milliseconds since the epoch; undefined while the machine is attached. */
  detachedAt: number | undefined;
}

/** More would wait for the machine than a good network has on the way; its way out is read later. */
const enoughWaiting = 256 * 1024;
/** A host may get its default route while the daemon runs, or lose it. */
const problemKeptMs = 30_000;

/** Needs neither root nor anything of the host before a machine wants to leave it; that takes passt. */
export function openUserNetwork(options: UserNetworkOptions): Network {
  const { plan, log } = options;
  const program = options.passt ?? 'passt';
  const hostAddresses = createHostAddresses();
  const attached = new Map<string, Attached>();
  const byAddress = new Map<number, Machine>();
  const remembered = new Map<string, Remembered>();
  let known: { readonly answer: Promise<string | undefined>; readonly at: number } | undefined;

  const resolver: Resolver = createResolver(
    {
      peer(asker, name) {
        const cards = [...attached.values()].map(({ machine }) => machine.card);
        return cards.find((card) => card.name.toLowerCase() === name && mayOpen(asker, card));
      },
      async admit(asker, addresses, ports, seconds) {
        const machine = attached.get(asker.workspaceId)?.machine;
        // What an earlier policy allowed to be asked is not admitted by this one.
        if (machine?.card.revision !== asker.revision) return;
        machine.reach.admit(addresses, ports, seconds, performance.now());
      },
    },
    options.resolverOptions,
  );

  const router = createRouter({
    plan,
    machineAt: (address) => byAddress.get(address),
    answer: (machine, question) => resolver.answer(machine.card, question, 'udp'),
  });

  function enter(run: RunKey, card: Card): Attached {
    const uplink = createUplink({
      program,
      args: () => passtArguments(plan, machine.card.address, boundSocket),
      runDir: run.runDir,
      log,
      onFrame: (bytes, start, end) => {
        router.fromUplink(machine, bytes, start, end, performance.now());
      },
      onBatchEnd: () => {
        entry.link?.flush();
        if ((entry.link?.backlog() ?? 0) > enoughWaiting) uplink.pause();
      },
    });
    const machine = createMachine(
      card,
      { guest: { pass: (...frame) => entry.link?.pass(...frame) ?? false }, uplink },
      { hostAddresses, denials: denialsOf(card.workspaceId) },
    );
    const entry: Attached = { run, machine, uplink, link: undefined };
    attached.set(card.workspaceId, entry);
    byAddress.set(machine.address, machine);
    return entry;
  }

  function denialsOf(workspaceId: string): DenialLog {
    const memory = remembered.get(workspaceId) ?? {
      denials: denialLog(),
      detachedAt: undefined,
    };
    memory.detachedAt = undefined;
    remembered.set(workspaceId, memory);
    return memory.denials;
  }

  /** What ended workspaces were refused is of interest for a while. */
  function forgetOld(): void {
    for (const [workspaceId, { detachedAt }] of remembered) {
      if (detachedAt === undefined || Date.now() - detachedAt < denialsKeptMs) continue;
      remembered.delete(workspaceId);
      resolver.forget(workspaceId);
    }
  }

  async function leave(entry: Attached): Promise<void> {
    const { machine, run } = entry;
    attached.delete(run.workspaceId);
    if (byAddress.get(machine.address) === machine) byAddress.delete(machine.address);
    const memory = remembered.get(run.workspaceId);
    if (memory !== undefined) memory.detachedAt = Date.now();
    entry.link?.close();
    entry.link = undefined;
    await entry.uplink.close();
    forgetOld();
  }

  async function attach(run: RunKey, card: Card): Promise<Attached> {
    const before = attached.get(run.workspaceId);
    if (before?.run.runId === run.runId) {
      change(before, card);
      return before;
    }
    if (before !== undefined) await leave(before);
    return enter(run, card);
  }

  function change(entry: Attached, card: Card): void {
    const { machine } = entry;
    if (byAddress.get(machine.address) === machine) byAddress.delete(machine.address);
    changeCard(machine, card);
    byAddress.set(machine.address, machine);
  }

  function uplinkProblem(): Promise<string | undefined> {
    const now = performance.now();
    if (known === undefined || now - known.at > problemKeptMs) {
      const asked = { answer: findUplinkProblem(plan, program), at: now };
      known = asked;
      // What is missing is looked for again at once: somebody may have installed it.
      void asked.answer.then((problem) => {
        if (problem !== undefined && known === asked) known = undefined;
      });
    }
    return known.answer;
  }

  return {
    mode: 'user',
    plan,
    problem: () => undefined,
    uplinkProblem,
    async attach(run, card) {
      if (card !== undefined) await attach(run, card);
      // The same device with and without a card, so that copies of either fit the other.
      return { backend: { kind: 'socket' }, release: () => undefined };
    },
    async connect(run, card) {
      if (card === undefined) return;
      if (attached.get(run.workspaceId)?.run.runId !== run.runId) {
        endStrayUplink(run.runDir, program);
      }
      const entry = await attach(run, card);
      entry.link?.close();
      const link = openGuestLink({
        path: join(run.runDir, 'net.sock'),
        log,
        onFrame: (bytes, start, end) => {
          router.fromGuest(entry.machine, bytes, start, end, performance.now());
        },
        onDrain: () => entry.uplink.resume(),
      });
      entry.link = link;
      await link.ready;
    },
    async apply(card) {
      const entry = attached.get(card.workspaceId);
      if (entry !== undefined) change(entry, card);
    },
    async detach(run) {
      const entry = attached.get(run.workspaceId);
      if (entry?.run.runId === run.runId) await leave(entry);
      endStrayUplink(run.runDir, program);
    },
    checks: async () => [checkOf(await uplinkProblem())],
    async settle() {
      // Nothing of this network outlives the daemon.
    },
    async traffic(workspaceId) {
      const counters = attached.get(workspaceId)?.machine.counters;
      return { ...(counters ?? noTraffic) };
    },
    async denials(workspaceId) {
      forgetOld();
      const packets = remembered.get(workspaceId)?.denials.list() ?? [];
      const both: Denial[] = [...packets, ...resolver.denials(workspaceId)];
      return both.sort((a, b) => b.lastAt - a.lastAt);
    },
    async close() {
      await Promise.all([...attached.values()].map(leave));
      resolver.close();
    },
  };
}

function checkOf(problem: string | undefined): DoctorCheck {
  const check = { id: 'uplink', title: 'Way out for machines (only where a policy allows it)' };
  if (problem === undefined) return { ...check, status: 'ok', detail: 'passt works', fix: null };
  return { ...check, status: 'warning', detail: problem, fix: 'apt-get install passt' };
}

const noTraffic = {
  sentBytes: 0,
  sentPackets: 0,
  receivedBytes: 0,
  receivedPackets: 0,
  deniedPackets: 0,
};
