/** Machines on a bridge of the host, kept apart by nftables. */
import { closeSync } from 'node:fs';
import { asCoppiceError, CoppiceError } from '../../../protocol/errors.ts';
import type { Log } from '../../system/log.ts';
import type { AddressPlan } from '../addressPlan.ts';
import { listenDns } from '../dns/listener.ts';
import { createResolver, type Resolver, type ResolverOptions } from '../dns/resolver.ts';
import type { Attachment, Card, Denial, Network, RunKey } from '../network.ts';
import { noTraffic, refusedConnections, trafficOf } from './accounts.ts';
import { createAdmissions, type Admissions } from './admissions.ts';
import { ensureBridge } from './bridgeDevice.ts';
import { elementsOfCard, mayReach, tapName } from './cardElements.ts';
import { bridgeConflicts } from './conflicts.ts';
import { openFirewall, type Firewall, type Step } from './firewall.ts';
import { lockNetwork, type NetworkLock } from './lock.ts';
import { createMembers, type Members } from './members.ts';
import { programProblem, rightsProblem, subnetProblem, type Problem } from './problems.ts';
import { skeleton } from './skeleton.ts';
import { createTap, forgetNeighbour, plugIn } from './tap.ts';
import { unavailableNetwork } from './unavailable.ts';

export interface BridgeOptions {
  readonly plan: AddressPlan;
  readonly bridge: string;
  readonly resolverOptions: ResolverOptions;
  readonly log: Log;
}

/** How often it is looked whether another program has removed the rules, in milliseconds. */
const guardInterval = 10_000;

/** Never fails: what the host lacks is told by `problem`, and by every attempt to attach a machine. */
export async function openBridgeNetwork(options: BridgeOptions): Promise<Network> {
  const { plan, bridge, log } = options;
  let lock: NetworkLock | undefined;
  const refuse = async ({ what, fix }: Problem): Promise<Network> => {
    await lock?.release();
    const problem = `Machines cannot be connected to ${bridge}: ${what}. ${fix}.`;
    log.warn({ bridge }, problem);
    return unavailableNetwork({ plan, bridge, problem });
  };
  try {
    const early = (await programProblem()) ?? (await rightsProblem());
    if (early !== undefined) return await refuse(early);
    lock = await lockNetwork(bridge);
    if (lock === undefined) {
      return await refuse({
        what: 'another coppiced on this host has it',
        fix: 'Stop that daemon, or give this one a COPPICE_BRIDGE and COPPICE_SUBNET of its own',
      });
    }
    const taken = await subnetProblem(plan, bridge);
    if (taken !== undefined) return await refuse(taken);
    const admissions = createAdmissions();
    const rules = skeleton({ bridge, subnet: plan.subnet, gateway: plan.gateway });
    // The rules come first: a bridge without them would let machines of an earlier daemon reach the host.
    const firewall = await openFirewall(rules, () => admissions.live(), log);
    admissions.restore(firewall.found.timed);
    await ensureBridge(bridge, plan);
    return await connectedNetwork(options, { lock, firewall, admissions });
  } catch (error) {
    const { message } = asCoppiceError(error);
    return await refuse({ what: message.replace(/[.\s]+$/, ''), fix: 'coppice doctor tells more' });
  }
}

interface Parts {
  readonly lock: NetworkLock;
  readonly firewall: Firewall;
  readonly admissions: Admissions;
}

async function connectedNetwork(
  { plan, bridge, resolverOptions, log }: BridgeOptions,
  { lock, firewall, admissions }: Parts,
): Promise<Network> {
  const members: Members = createMembers(firewall.found);
  const resolver: Resolver = createResolver(
    {
      peer(asker, name) {
        const peer = members.named(name);
        return peer !== undefined && mayReach(asker, peer) ? peer : undefined;
      },
      async admit(asker, addresses, ports, seconds) {
        // The policy has changed since the question was asked.
        if (members.at(asker.address)?.revision !== asker.revision) return;
        const admit = admissions.admit(asker, addresses, ports, seconds);
        if (admit.length === 0) return;
        try {
          await firewall.apply({ admit });
        } catch (error) {
          admissions.withdraw(admit);
          throw error;
        }
      },
    },
    { ...resolverOptions, gateway: plan.gateway },
  );
  let dnsProblem: string | undefined;
  const dns = await listenDns(resolver, (address) => members.at(address), plan.gateway).catch(
    (error: unknown) => {
      dnsProblem = asCoppiceError(error).message;
      log.warn({ err: error }, 'machines cannot resolve names: coppice doctor tells why');
      return undefined;
    },
  );
  const guard = setInterval(() => {
    firewall.repair().catch((error: unknown) => {
      log.error({ err: error }, 'the rules of machines could not be checked');
    });
  }, guardInterval).unref();

  /** Puts the card in force, or takes it back where there is none. */
  async function put(run: RunKey, card: Card | undefined, canWait: boolean): Promise<void> {
    const { workspaceId } = run;
    const before = members.of(workspaceId);
    const changed = members.put(run, card);
    const wantPair = (mate: string): Step => ({
      want: {
        group: `pair ${[workspaceId, mate].sort().join(' ')}`,
        elements: () => members.pair(workspaceId, mate),
      },
      canWait,
    });
    const wantMachine: Step = {
      want: {
        group: `machine ${workspaceId}`,
        elements: () => (card === undefined ? [] : elementsOfCard(card, tapName(run.runId))),
      },
      end: changed.endedNames.flatMap((address) => admissions.forget(address)),
      canWait,
    };
    try {
      await firewall.apply(wantMachine, ...changed.teamMates.map(wantPair));
    } catch (error) {
      if (card !== undefined && members.of(workspaceId) === card) members.put(run, before);
      throw error;
    }
    if (before !== undefined && card === undefined) resolver.forget(workspaceId);
  }

  async function detach(run: RunKey): Promise<void> {
    if (members.runOf(run.workspaceId)?.runId === run.runId) await put(run, undefined, false);
  }

  return {
    mode: 'bridge',
    plan,
    problem: () => undefined,
    uplinkProblem: () => Promise.resolve(undefined),
    checks: () => bridgeConflicts({ plan, bridge, dnsProblem }),
    async attach(run, card): Promise<Attachment> {
      const tap = tapName(run.runId);
      const fd = createTap(tap);
      let isOpen = true;
      const release = (): void => {
        if (isOpen) closeSync(fd);
        isOpen = false;
      };
      try {
        // The rules first: from the moment it is up, the device is judged by them.
        await put(run, card, false);
        await plugIn(tap, bridge, card?.address);
      } catch (error) {
        release();
        await detach(run).catch(() => undefined);
        throw failedToAttach(error);
      }
      return { backend: { kind: 'tap', fd }, release };
    },
    async connect(run, card) {
      const before = members.of(run.workspaceId);
      if (card === undefined && before === undefined) return;
      await put(run, card, true);
      // A machine that was made beforehand gets its address only now.
      const isNew = card !== undefined && before?.address !== card.address;
      if (isNew && !firewall.found.addresses.has(card.address)) {
        await forgetNeighbour(bridge, card.address);
      }
    },
    async apply(card) {
      const run = members.runOf(card.workspaceId);
      if (run !== undefined) await put(run, card, false);
    },
    detach,
    async settle() {
      const strangers = admissions
        .machines()
        .filter((address) => members.at(address) === undefined);
      await firewall.apply({
        reconcile: true,
        end: strangers.flatMap((address) => admissions.forget(address)),
      });
    },
    async traffic(workspaceId) {
      const card = members.of(workspaceId);
      return card === undefined ? noTraffic : await trafficOf(card.address);
    },
    async denials(workspaceId) {
      const card = members.of(workspaceId);
      if (card === undefined) return [];
      const connections = await refusedConnections(card, plan, members.since(card.address));
      const all: Denial[] = [...connections, ...resolver.denials(workspaceId)];
      return all.sort((a, b) => b.lastAt - a.lastAt);
    },
    async close() {
      clearInterval(guard);
      resolver.close();
      await dns?.close();
      await lock.release();
    },
  };
}

function failedToAttach(error: unknown): CoppiceError {
  const { code, message, next, details } = asCoppiceError(error);
  if (code === 'prerequisite_missing') return asCoppiceError(error);
  return new CoppiceError(
    {
      code: 'internal',
      message: `The machine could not be connected to the network: ${message}`,
      next: next ?? 'Run coppice doctor.',
      ...(details === undefined ? {} : { details }),
    },
    { cause: error },
  );
}
