/**
 * Exporting: everything an archive needs is taken hold of first, under the workspace's lock; it is packed and
 * sent afterwards, as slowly as the client reads, whatever becomes of the workspace meanwhile.
 */
import { CoppiceError } from '../../../protocol/errors.ts';
import type { ParsedInputOf } from '../../../protocol/operations.ts';
import type { WorkspaceRecord } from '../../store/workspaceStore.ts';
import { requireDisk } from '../../workspaces/admission.ts';
import { freezeWorkspace } from '../../workspaces/freeze.ts';
import { usableBase } from '../../workspaces/heads.ts';
import { headBytes } from '../../workspaces/inspect.ts';
import { resolveWorkspace } from '../../workspaces/resolve.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import { findSnapshot } from '../find.ts';
import type { ArchiveEntry } from './entries.ts';
import type { ArchiveManifest } from './manifest.ts';
import { planExport, type ExportPlan } from './plan.ts';
import { takeHold, type ExportOptions, type Held } from './takeHold.ts';
import { archiveBytes } from './writeArchive.ts';

export interface PreparedExport {
  readonly fileName: string;
  /** The archive, once. Its files are let go of at the end, whatever the end is. */
  bytes(signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined>;
  /** For an archive that nobody fetches. */
  release(): Promise<void>;
}

/** @throws CoppiceError see workspace_export in protocol/ */
export async function prepareExport(
  services: WorkspaceServices,
  input: ParsedInputOf<'workspace_export'>,
  options: ExportOptions,
): Promise<PreparedExport> {
  const { id } = resolveWorkspace(services.store, input.workspace_id);
  const held: Held = new Map();
  const release = async (): Promise<void> => {
    const files = [...held.values()];
    held.clear();
    await Promise.all(files.map((file) => file.close()));
  };
  try {
    const { manifest, fileName } = await services.locks.run(id, async () => {
      const only =
        input.snapshot_name === undefined
          ? undefined
          : findSnapshot(services, resolveWorkspace(services.store, id), input.snapshot_name);
      if (only === undefined) await freezePresent(services, id, options);
      const plan = (): ExportPlan =>
        planExport(
          services,
          resolveWorkspace(services.store, id),
          only,
          input.include_memory === true,
        );
      const includeImage = input.include_image !== false;
      const { name } = plan().workspace;
      return {
        manifest: await takeHold(services, plan, includeImage, held, options),
        fileName: `${only === undefined ? name : `${name}-${only.name}`}.coppice`,
      };
    });
    return { fileName, bytes: (signal) => packed(manifest, held, release, signal), release };
  } catch (error) {
    await release();
    throw error;
  }
}

/** The present state becomes a layer without a name; it is folded away again when things are quiet. */
async function freezePresent(
  services: WorkspaceServices,
  id: string,
  options: ExportOptions,
): Promise<void> {
  const workspace = resolveWorkspace(services.store, id);
  requireSettled(workspace);
  // What is damaged below must be known before anything changes.
  await usableBase(services, workspace, workspace.baseLayer);
  await requireDisk(services.paths.state, await headBytes(services, workspace));
  options.progress('Freezing the state');
  await freezeWorkspace(services, workspace, {
    memory: 'none',
    progress: options.progress,
    publish: () => undefined,
  });
}

function requireSettled({ name, state }: WorkspaceRecord): void {
  if (['running', 'paused', 'stopped', 'suspended'].includes(state)) return;
  throw new CoppiceError({
    code: 'wrong_state',
    message: `${name} cannot be exported now (state: ${state}).`,
    next: 'Wait until it has settled, then try again; or export one of its snapshots.',
    details: { state },
  });
}

async function* packed(
  manifest: ArchiveManifest,
  held: Held,
  release: () => Promise<void>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const read = ({ id, name }: ArchiveEntry): AsyncIterable<Uint8Array> => {
    const file = held.get(id);
    if (file === undefined) throw new Error(`${name} is not held`);
    return file.read();
  };
  try {
    for await (const chunk of archiveBytes(manifest, read)) {
      if (signal.aborted) return;
      yield chunk;
    }
  } finally {
    await release();
  }
}
