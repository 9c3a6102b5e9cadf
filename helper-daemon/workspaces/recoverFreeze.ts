/** A freeze that a crash interrupted: which disk does the machine write to? */
import type { Machine } from '../engine/machine.ts';
import type { Freeze } from '../storage/backend.ts';
import type { JournalDetail } from '../store/journal.ts';
import type { WorkspaceRecord } from '../store/workspaceStore.ts';
import { accountOf } from './accounts.ts';
import { adoptLayer, layerRecord, type FreezeDetail } from './freeze.ts';
import type { WorkspaceServices } from './services.ts';

/**
 * Settles on one head. Nobody was told of the snapshot, so its name is not published; but where the machine may
 * have written to the new head that one is the truth, and the layer below it stays without a name.
 */
export async function settleFreeze(
  services: WorkspaceServices,
  record: WorkspaceRecord,
  detail: JournalDetail,
  machine: Machine | undefined,
): Promise<void> {
  const freeze = detail as FreezeDetail;
  // The record may have been written and only the journal's end be missing.
  if (services.tree.layer(freeze.layerId) !== undefined) return;
  const storage = services.storages.named(record.storage);
  const nextHead = storage.headLocator(freeze.nextHeadId);
  const next = await storage.disk(nextHead).catch(() => undefined);
  const plan: Freeze = await storage.prepareFreeze({ ...freeze, owner: accountOf(record.uid) });
  const moved =
    plan.nextHead !== record.head &&
    next !== undefined &&
    // A dead machine may have moved; an unused new head has the same content as the old one.
    (machine === undefined || (await machine.diskPath()) === next.path);
  if (!moved) {
    await plan.abort();
    return;
  }
  await plan.settle();
  const layer = await layerRecord(services, record, freeze, plan);
  services.transaction(() => adoptLayer(services, record, layer, plan.nextHead));
}

/**
 * A freeze of this daemon's own whose end could not be written down (the disk was full): until it is settled the row
 * names a head that has become a layer. The caller holds the workspace's lock. @returns the row as it is then
 */
export async function settleOpenFreeze(
  services: WorkspaceServices,
  record: WorkspaceRecord,
): Promise<WorkspaceRecord> {
  const open = services.journal
    .open()
    .filter(({ kind, subject }) => kind === 'freeze' && subject === record.id);
  for (const { id, detail } of open) {
    await settleFreeze(services, record, detail, services.machines.get(record.id)?.machine);
    services.journal.end(id);
  }
  return services.store.byId(record.id) ?? record;
}
