/** Moving machines to another subnet: COPPICE_SUBNET was changed while they had addresses of the old one. */
import { macOf } from '../network/addressPlan.ts';
import { guestNetwork } from './network.ts';
import type { WorkspaceServices } from './services.ts';

/** Gives those outside the subnet an address in it. Returns their ids. Call it before machines are taken over. */
export function readdress(services: WorkspaceServices): string[] {
  const { plan } = services.network;
  return services.transaction(() => {
    const moved = services.store.all().filter(({ address }) => !plan.contains(address));
    for (const { id } of moved) {
      const address = plan.free(services.store.addresses());
      services.store.update(id, { address, mac: macOf(address) });
    }
    return moved.map(({ id }) => id);
  });
}

/** Those of them that run learn it now, the others with their next start. */
export async function tellAddresses(
  services: WorkspaceServices,
  moved: readonly string[],
): Promise<void> {
  for (const id of moved) {
    const live = services.machines.get(id);
    const record = services.store.byId(id);
    if (live === undefined || record?.state !== 'running') continue;
    try {
      const { system } = await live.link.clients();
      await system.configure({ network: guestNetwork(services, record) });
    } catch (error) {
      services.log.warn({ workspace: id, err: error }, 'machine not told its new address');
    }
  }
}
