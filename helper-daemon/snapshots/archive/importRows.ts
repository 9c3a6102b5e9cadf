/** The rows of an imported workspace, all in one transaction. */
import type { WorkspaceRecord } from '../../store/workspaceStore.ts';
import { closedPolicy } from '../../network/policy.ts';
import { newIdentity } from '../../workspaces/identity.ts';
import { nextRevision } from '../../workspaces/policies.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import type { Making } from './importParts.ts';

/**
 * The workspace is in `creating` until its head is there: the head belongs to the host account that its row
 * reserves.
 * @throws CoppiceError `name_taken`, `limit_exceeded`, `quota_exceeded`
 */
export function insertRows(services: WorkspaceServices, making: Making): WorkspaceRecord {
  const { id, name, owner, manifest, ids, storage, layers, memories } = making;
  const { workspace, image, head, snapshots } = manifest;
  return services.transaction(() => {
    for (const layer of layers) services.tree.insertLayer(layer);
    for (const memory of memories) services.tree.insertMemory(memory);
    const record: WorkspaceRecord = {
      ...newIdentity(services, id, name),
      id,
      name,
      state: 'creating',
      role: 'user',
      // Until the end; see nameFile.
      imageName: image.name,
      imageDigest: image.digest,
      vcpus: workspace.vcpus,
      memoryMb: workspace.memory_mb,
      diskGb: workspace.disk_gb,
      init: workspace.init,
      ephemeral: false,
      // What continues from memory must see another life than the one in its memory.
      generation: memories.length === 0 ? 1 : workspace.generation,
      createdAt: services.now().toISOString(),
      problem: null,
      storage: storage.name,
      head: storage.headLocator(ids.head),
      baseLayer: ids.layer(head.layer),
      snapshotId: head.snapshot === null ? null : ids.snapshot(head.snapshot),
      forkedFrom: null,
      idleSuspendSecs: 0,
      expiresAt: null,
      memoryId: null,
      network: closedPolicy,
      networkRevision: nextRevision(services),
      owner,
    };
    services.quotas.require(record);
    services.store.insert(record);
    for (const snapshot of snapshots) {
      services.tree.insertSnapshot({
        id: ids.snapshot(snapshot.id),
        workspaceId: id,
        name: snapshot.name,
        description: snapshot.description,
        parentId: snapshot.parent === null ? null : ids.snapshot(snapshot.parent),
        layerId: ids.layer(snapshot.layer),
        memoryId: snapshot.memory === null ? null : ids.memory(snapshot.memory),
        diskGb: snapshot.disk_gb,
        implicit: false,
        createdAt: snapshot.created_at,
      });
    }
    return record;
  });
}
