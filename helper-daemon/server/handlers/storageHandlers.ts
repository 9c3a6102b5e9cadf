import { collectGarbage } from '../../snapshots/maintenance/gc.ts';
import { storageStatus } from '../../snapshots/maintenance/status.ts';
import { verifyStorage } from '../../snapshots/maintenance/verify.ts';
import type { LayerCare } from '../../workspaces/layerCare.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import type { Handlers } from '../handlerTypes.ts';

type StorageHandlers = Pick<
  Handlers,
  'storage_status' | 'storage_gc' | 'storage_verify' | 'storage_init'
>;

export function storageHandlers(
  services: WorkspaceServices,
  layerCare: LayerCare,
): StorageHandlers {
  return {
    storage_status: () => storageStatus(services),
    storage_gc: (input) => collectGarbage(services, layerCare, input),
    storage_verify: (input, { progress }) => verifyStorage(services, input, progress),
    storage_init: (input, { progress }) => services.storages.init(input, progress),
  };
}
