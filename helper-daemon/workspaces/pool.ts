/**
 * Machines that have continued from a template and stand still until somebody wants one: what is left to do
 * then is to tell them who they are.
 */
import { randomUUID } from 'node:crypto';
import type { PoolStatus } from '../../protocol/operations/pool.ts';
import { limits } from '../../protocol/limits.ts';
import { hostnameFor } from '../../protocol/names.ts';
import { closedPolicy } from '../network/policy.ts';
import type { WorkspaceRecord } from '../store/workspaceStore.ts';
import { makeItself, type BootOptions } from './boot.ts';
import { bringUp, type Draft } from './bringUp.ts';
import { destroyWorkspace, removeEverything } from './destroy.ts';
import { refreshCard } from './network.ts';
import { nextRevision } from './policies.ts';
import type { WorkspaceServices } from './services.ts';
import type { MachineKind, Templates } from './templates.ts';
import { changeState } from './view.ts';

export interface Pool {
  /** A ready machine of this kind, turned into the workspace; undefined when there is none. */
  claim(
    kind: MachineKind,
    draft: Draft,
    options: BootOptions,
  ): Promise<WorkspaceRecord | undefined>;
  status(): PoolStatus;
  set(change: { readonly size?: number; readonly memoryBudgetMb?: number }): void;
  /** Makes machines until there are enough, or lets some go. */
  fill(): Promise<void>;
  close(): Promise<void>;
}

/** A machine that has done nothing takes about this much of its own. */
const memberMb = 48;
const defaultBudgetMb = 1024;
const megabyte = 1024 ** 2;

export function pool(services: WorkspaceServices, templates: Templates): Pool {
  let filling: Promise<void> | undefined;
  /** Somebody asked while it was being filled: the size may be another one now. */
  let wanted = false;
  let closed = false;
  const { settings } = services;
  const size = (): number => Number(settings.get('pool.size') ?? 0);
  const budgetMb = (): number => Number(settings.get('pool.memory_mb') ?? defaultBudgetMb);
  const members = (): WorkspaceRecord[] =>
    services.store.all().filter((record) => record.role === 'pool' && record.state === 'paused');
  const usedMb = (): number =>
    Math.ceil(services.memories.loadedBytes() / megabyte) + members().length * memberMb;

  services.memories.setBudget(budgetMb() * megabyte);

  async function fillOnce(): Promise<void> {
    for (const extra of members().slice(closed ? 0 : size())) {
      await destroyWorkspace(services, extra.id, ['pool']);
    }
    while (!closed && templates.enabled() && members().length < size()) {
      if (usedMb() + memberMb > budgetMb()) return;
      await addMember();
    }
  }

  async function addMember(): Promise<void> {
    const image = await services.images.require(undefined);
    const kind: MachineKind = {
      image,
      vcpus: limits.vcpus.default,
      memoryMb: limits.memoryMb.default,
      diskGb: limits.diskGb.default,
    };
    const options: BootOptions = {
      signal: new AbortController().signal,
      progress: () => undefined,
    };
    await templates.prepare(kind, { ...options, rebuild: false });
    const template = await templates.find(kind);
    if (template === undefined) return;
    const id = randomUUID();
    await services.memories.use(template.memoryId, (from) =>
      bringUp(
        services,
        {
          role: 'pool',
          name: `pool-${id}`,
          imageName: image.name,
          imageDigest: image.digest,
          vcpus: kind.vcpus,
          memoryMb: kind.memoryMb,
          diskGb: kind.diskGb,
          init: 'agent',
          storage: templates.storageOf(template),
          baseLayer: template.layerId,
        },
        { ...options, from, paused: true },
        id,
      ),
    );
  }

  function fill(): Promise<void> {
    wanted = true;
    filling ??= fillWhileWanted().catch((error: unknown) => {
      services.log.warn({ err: error }, 'pool not filled');
    });
    return filling;
  }

  async function fillWhileWanted(): Promise<void> {
    try {
      while (wanted) {
        wanted = false;
        await fillOnce();
      }
    } finally {
      filling = undefined;
    }
  }

  /** Makes a standing machine this workspace, under its lock. Undefined when it is gone or not fit. */
  async function become(
    member: WorkspaceRecord,
    draft: Draft,
    options: BootOptions,
  ): Promise<WorkspaceRecord | undefined> {
    const live = services.machines.get(member.id);
    if (services.store.byId(member.id)?.role !== 'pool' || live === undefined) return undefined;
    const { record, entry } = services.transaction(() => {
      services.quotas.require(draft);
      services.store.update(member.id, {
        role: 'user',
        owner: draft.owner ?? null,
        state: 'creating',
        name: draft.name,
        hostname: hostnameFor(draft.name, member.id),
        ephemeral: draft.ephemeral ?? false,
        idleSuspendSecs: draft.idleSuspendSecs ?? 0,
        expiresAt: draft.expiresAt ?? null,
        network: draft.network ?? closedPolicy,
        networkRevision: nextRevision(services),
        createdAt: services.now().toISOString(),
      });
      const entry = services.journal.begin('create', member.id);
      return { record: services.store.byId(member.id) ?? member, entry };
    });
    try {
      await refreshCard(services, member.id);
      await live.machine.resume();
      await makeItself(services, record, live, { ...options, as: 'self' });
      const running = services.transaction(() => {
        services.journal.end(entry);
        return changeState(services, member.id, { state: 'running' });
      });
      services.machines.set(live);
      return running;
    } catch (error) {
      await removeEverything(services, record, entry);
      throw error;
    }
  }

  return {
    async claim(kind, draft, options) {
      for (const member of members()) {
        const fits =
          member.imageDigest === kind.image.digest &&
          member.vcpus === kind.vcpus &&
          member.memoryMb === kind.memoryMb &&
          member.diskGb === kind.diskGb &&
          member.storage === draft.storage;
        if (!fits) continue;
        const record = await services.locks.run(member.id, () => become(member, draft, options));
        if (record === undefined) continue;
        void fill();
        return record;
      }
      return undefined;
    },
    status: () => ({
      templates: templates.enabled(),
      size: size(),
      ready: members().length,
      memory_budget_mb: budgetMb(),
      memory_used_mb: usedMb(),
      template_list: templates.list(),
    }),
    set(change) {
      if (change.size !== undefined) settings.set('pool.size', String(change.size));
      if (change.memoryBudgetMb !== undefined) {
        settings.set('pool.memory_mb', String(change.memoryBudgetMb));
        services.memories.setBudget(change.memoryBudgetMb * megabyte);
      }
      void fill();
    },
    fill,
    async close() {
      closed = true;
      await filling;
      await fillOnce();
    },
  };
}
