/** What makes a workspace itself and nobody else: names, machine id, card, address, host account. */
import { randomBytes } from 'node:crypto';
import { CoppiceError } from '../../protocol/errors.ts';
import { hostnameFor } from '../../protocol/names.ts';
import type { WorkspaceRecord } from '../store/workspaceStore.ts';
import { freeAccount } from './accounts.ts';
import type { WorkspaceServices } from './services.ts';

/** 10.42.0.0/16; the first address is the gateway's. */
const firstHost = 2;
const lastHost = 0xfffe;
export const prefixLength = 16;

export type Identity = Pick<WorkspaceRecord, 'hostname' | 'machineId' | 'mac' | 'address' | 'uid'>;

/** Call it in the transaction that stores it. @throws CoppiceError `limit_exceeded` */
export function newIdentity(services: WorkspaceServices, id: string, name: string): Identity {
  const address = freeAddress(services.store.addresses());
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

function freeAddress(taken: ReadonlySet<string>): string {
  for (let host = firstHost; host <= lastHost; host += 1) {
    const address = `10.42.${String(host >> 8)}.${String(host & 0xff)}`;
    if (!taken.has(address)) return address;
  }
  throw new CoppiceError({
    code: 'limit_exceeded',
    message: 'Every address of 10.42.0.0/16 belongs to a machine.',
    next: 'Destroy workspaces that are no longer needed.',
  });
}

/** Locally administered and as unique as the address. */
function macOf(address: string): string {
  const bytes = address.split('.').map((part) => Number(part).toString(16).padStart(2, '0'));
  return ['02', 'c0', ...bytes].join(':');
}
