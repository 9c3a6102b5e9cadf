import { randomBytes, randomUUID } from 'node:crypto';
import { limits } from '../../protocol/limits.ts';
import { hostnameFor } from '../../protocol/names.ts';
import type { ParsedInputOf } from '../../protocol/operations.ts';
import type { WorkspaceRecord } from '../store/workspaceStore.ts';
import { accountOf, freeAccount, giveTo } from './accounts.ts';
import { requireDisk, requireMemory } from './admission.ts';
import { bootMachine, type BootOptions } from './boot.ts';
import {
  makeWorkspaceDirectories,
  removeWorkspaceDirectories,
  workspaceDirectories,
} from './directories.ts';
import type { WorkspaceServices } from './services.ts';
import { announce, changeState } from './view.ts';

/**
 * Makes a workspace and boots it. When any step fails everything made so far is taken back.
 * @throws CoppiceError see workspace_create in protocol/
 */
export async function createWorkspace(
  services: WorkspaceServices,
  input: ParsedInputOf<'workspace_create'>,
  options: BootOptions,
): Promise<WorkspaceRecord> {
  const { store, journal, paths } = services;
  const memoryMb = input.memory_mb ?? limits.memoryMb.default;
  const image = await services.images.require(input.base_image);
  await Promise.all([requireMemory(memoryMb), requireDisk(paths.workspaces)]);

  const id = randomUUID();
  const name = input.name ?? `ws-${id.slice(0, 8)}`;
  const request: WorkspaceRecord = {
    id,
    name,
    state: 'creating',
    imageName: image.name,
    imageDigest: image.digest,
    vcpus: input.vcpus ?? limits.vcpus.default,
    memoryMb,
    diskGb: input.disk_gb ?? limits.diskGb.default,
    init: input.init ?? 'agent',
    ephemeral: input.ephemeral ?? false,
    hostname: hostnameFor(name, id),
    machineId: randomBytes(16).toString('hex'),
    generation: 1,
    createdAt: services.now().toISOString(),
    uid: null,
    problem: null,
  };

  return await services.locks.run(id, async () => {
    const { record, entry } = services.transaction(() => {
      const owned = withAccount(services, request);
      store.insert(owned);
      return { record: owned, entry: journal.begin('create', id) };
    });
    announce(services, id);
    try {
      options.progress('Preparing the disk');
      await makeWorkspaceDirectories(paths, id);
      await services.storage.createHead({
        directory: workspaceDirectories(paths, id).disks,
        id: 'head',
        base: { path: image.path, format: 'qcow2', virtualBytes: image.virtualBytes },
        sizeBytes: record.diskGb * 1024 ** 3,
      });
      await giveTo(accountOf(record.uid), workspaceDirectories(paths, id).disks);
      await bootMachine(services, record, options);
      return services.transaction(() => {
        journal.end(entry);
        return changeState(services, id, { state: 'running' });
      });
    } catch (error) {
      await removeWorkspaceDirectories(paths, id);
      services.transaction(() => {
        store.remove(id);
        journal.end(entry);
      });
      services.publish({ type: 'workspace_removed', workspace_id: id, name });
      throw error;
    }
  });
}

function withAccount(services: WorkspaceServices, request: WorkspaceRecord): WorkspaceRecord {
  if (services.paths.mode === 'user') return request;
  const taken = new Set(services.store.all().map((record) => record.uid ?? -1));
  return { ...request, uid: freeAccount(taken).uid };
}
