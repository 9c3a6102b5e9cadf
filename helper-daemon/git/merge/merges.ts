/** Merges between workspaces: who takes part, one at a time into each, and what a daemon that died left of them. */
import { randomUUID } from 'node:crypto';
import { CoppiceError } from '../../../protocol/errors.ts';
import type { OutputOf, ParsedInputOf } from '../../../protocol/operations.ts';
import type { JournalEntry } from '../../store/journal.ts';
import type { WorkspaceRecord } from '../../store/workspaceStore.ts';
import { resolveWorkspace } from '../../workspaces/resolve.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import type { GitHost } from '../host.ts';
import { commitOf, openRepository } from '../repository.ts';
import { workspaceHost } from '../workspaceHost.ts';
import { mergeRepositories, type MergePlace, type MergeSource } from './merge.ts';
import { mergeLabel, removeScratch, scratchOf } from './scratch.ts';

/** Snapshots of the target, which are above this layer. */
export interface RollbackSnapshots {
  take(workspaceId: string, name: string, progress: (message: string) => void): Promise<void>;
  /** Nothing where there is none. */
  discard(workspaceId: string, name: string): Promise<void>;
}

export interface MergeCall {
  readonly signal: AbortSignal;
  progress(message: string, fraction?: number): void;
}

export interface Merges {
  /** @throws CoppiceError see workspace_merge in protocol/ */
  run(
    input: ParsedInputOf<'workspace_merge'>,
    call: MergeCall,
  ): Promise<OutputOf<'workspace_merge'>>;
  /** Ends what the daemon before left; a machine that is not up is tidied by the next merge in it. */
  recover(interrupted: readonly JournalEntry[]): Promise<void>;
}

/** How long tidying up one machine may take. */
const cleanupMs = 120_000;

export function merges(services: WorkspaceServices, rollback: RollbackSnapshots): Merges {
  const active = new Set<string>();
  const { journal, log } = services;

  async function run(
    input: ParsedInputOf<'workspace_merge'>,
    call: MergeCall,
  ): Promise<OutputOf<'workspace_merge'>> {
    const target = resolveWorkspace(services.store, input.target_workspace);
    const sources = input.source_workspaces.map((label) => {
      const record = resolveWorkspace(services.store, label);
      if (record.id === target.id) throw intoItself(label);
      return { label, record };
    });
    return await oneAtATime(target, async () => {
      if (call.signal.aborted) throw cancelled();
      const id = randomUUID();
      const snapshot = `merge-${stamp(services.now())}`;
      const detail = {
        merge: id,
        path: input.path,
        snapshot,
        sources: sources.map(({ record }) => record.id).join(','),
      };
      const entries = [journal.begin('merge', target.id, detail)];
      active.add(id);
      const release = [target, ...sources.map(({ record }) => record)].map((record) =>
        services.activity.begin(record.id),
      );
      try {
        return await mergeRepositories(input, {
          id,
          target: await placeOf(target, call.signal),
          sources: sources.map((source) => sourceOf(source, call.signal)),
          isActive: (other) => active.has(other),
          async secure(head) {
            entries.push(journal.begin('merge', target.id, { ...detail, head }));
            if (!input.rollback_snapshot) return null;
            await rollback.take(target.id, snapshot, (message) => call.progress(message));
            return snapshot;
          },
          unsecure: (name) => rollback.discard(target.id, name),
          progress: (message, fraction) => call.progress(message, fraction),
        });
      } finally {
        for (const end of release) end();
        active.delete(id);
        for (const entry of entries) journal.end(entry);
      }
    });
  }

  /** Whoever comes second merges into what the first has made. */
  async function oneAtATime<T>(target: WorkspaceRecord, work: () => Promise<T>): Promise<T> {
    return await services.locks.run(`merge ${target.id}`, work);
  }

  function sourceOf(
    { label, record }: { readonly label: string; readonly record: WorkspaceRecord },
    signal: AbortSignal,
  ): MergeSource {
    return { label, shortId: record.id.slice(0, 8), open: () => placeOf(record, signal) };
  }

  async function placeOf(record: WorkspaceRecord, signal: AbortSignal): Promise<MergePlace> {
    return {
      host: await workspaceHost(services, record.id, signal),
      forCleanup: await workspaceHost(services, record.id, new AbortController().signal),
    };
  }

  async function recover(interrupted: readonly JournalEntry[]): Promise<void> {
    const known = new Map<string, JournalEntry>();
    for (const entry of interrupted) {
      // The later one of a merge knows more.
      if (entry.kind === 'merge') known.set(entry.detail['merge'] ?? '', entry);
    }
    for (const entry of known.values()) {
      const target = services.store.byId(entry.subject);
      if (target === undefined) continue;
      await oneAtATime(target, () => settle(target, entry)).catch((error: unknown) => {
        log.warn({ workspace: target.id, err: error }, 'interrupted merge not ended');
      });
    }
  }

  async function settle(target: WorkspaceRecord, { detail }: JournalEntry): Promise<void> {
    const { merge: id = '', path = '', snapshot = '', head, sources = '' } = detail;
    log.info({ workspace: target.id, merge: id }, 'ending an interrupted merge');
    for (const workspaceId of sources.split(',')) {
      await tidy(workspaceId, id, path, () => Promise.resolve());
    }
    await tidy(target.id, id, path, async (host) => {
      const repository = await openRepository(host, path);
      if (head !== undefined && (await commitOf(repository, 'HEAD')) === head) {
        await rollback.discard(target.id, snapshot);
      }
    });
  }

  async function tidy(
    workspaceId: string,
    id: string,
    path: string,
    then: (host: GitHost) => Promise<void>,
  ): Promise<void> {
    if (services.machines.get(workspaceId) === undefined) return;
    try {
      const host = await workspaceHost(services, workspaceId, AbortSignal.timeout(cleanupMs));
      await host.settle(mergeLabel(id));
      const repository = await openRepository(host, path);
      await removeScratch(repository, scratchOf(repository, id));
      await then(host);
    } catch (error) {
      log.warn({ workspace: workspaceId, merge: id, err: error }, 'merge not tidied up');
    }
  }

  return { run, recover };
}

function cancelled(): CoppiceError {
  return new CoppiceError({ code: 'cancelled', message: 'The merge was cancelled.' });
}

function intoItself(label: string): CoppiceError {
  return new CoppiceError({
    code: 'invalid_input',
    message: `source_workspaces: ${label} is the target itself.`,
    next: 'Name only other workspaces as sources.',
  });
}

/** Sorts by time: 20261120-143015.123. */
function stamp(now: Date): string {
  return now.toISOString().replace(/[-:Z]/g, '').replace('T', '-');
}
