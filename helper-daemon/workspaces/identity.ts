/** What makes a workspace itself and nobody else: names, machine id, card, address, host account. */
import { randomBytes } from 'node:crypto';
import { hostnameFor } from '../../protocol/names.ts';
import { macOf } from '../network/addressPlan.ts';
import type { WorkspaceRecord } from '../store/workspaceStore.ts';
import { freeAccount } from './accounts.ts';
import type { WorkspaceServices } from './services.ts';

export type Identity = Pick<WorkspaceRecord, 'hostname' | 'machineId' | 'mac' | 'address' | 'uid'>;

/** Call it in the transaction that stores it. @throws CoppiceError `limit_exceeded` */
export function newIdentity(services: WorkspaceServices, id: string, name: string): Identity {
  const address = services.network.plan.free(services.store.addresses());
  return {
    hostname: hostnameFor(name, id),
    machineId: randomBytes(16).toString('hex'),
    address,
    mac: macOf(address),
    uid: services.paths.mode === 'user' ? null : freeUid(services),
  };
}

function freeUid(services: WorkspaceServices): number {
  return freeAccount(new Set(services.store.all().map((record) => record.uid ?? -1))).uid;
}
