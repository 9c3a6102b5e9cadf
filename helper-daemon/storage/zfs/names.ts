/** Names in the pool. Locators say nothing of pool and prefix, so that both may be renamed. */
import { CoppiceError } from '../../../protocol/errors.ts';
import type { Locator } from '../backend.ts';
import { uuidPattern } from '../diskFiles.ts';
import { badLocator } from '../storageErrors.ts';

export interface ZfsPlace {
  readonly pool: string;
  /** Dataset below the pool that holds everything of ours. */
  readonly prefix: string;
  /** Volumes, or files in datasets where the pool cannot make volumes. */
  readonly mode: 'zvol' | 'file';
  readonly dialect: 'openzfs' | 'fuse';
}

/** User properties of ours; a snapshot shows those of its dataset unless it has its own. */
export const stateProperty = 'coppice:state';
export const bytesProperty = 'coppice:bytes';
export const ownerProperty = 'coppice:owner';
export const formatProperty = 'coppice:format';
export const modeProperty = 'coppice:mode';
export const dialectProperty = 'coppice:dialect';

/**
 * State of a dataset that is only kept for its snapshots: its head was deleted, but a snapshot cannot exist
 * without its dataset.
 */
export const husk = 'husk';

/** Tag of the holds that keep an administrator's `zfs destroy` from taking a layer away. */
export const holdTag = 'coppice';

const headLocator = new RegExp(`^heads/${uuidPattern}$`);
const layerLocator = new RegExp(`^heads/${uuidPattern}@${uuidPattern}$`);
const temporaryLocator = new RegExp(`^tmp/${uuidPattern}$`);
const namePart = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

/** @throws CoppiceError `invalid_input`; ZFS itself would take names with spaces, or of options. */
export function checkPlaceNames(place: Pick<ZfsPlace, 'pool' | 'prefix'>): void {
  const poolOk = namePart.test(place.pool) && /^[A-Za-z]/.test(place.pool);
  if (poolOk && place.prefix.split('/').every((part) => namePart.test(part))) return;
  throw new CoppiceError({
    code: 'invalid_input',
    message: `${JSON.stringify(`${place.pool}/${place.prefix}`.slice(0, 200))} is no usable name of a pool and a dataset in it.`,
    next: 'Use letters, digits, ".", "_" and "-", with a letter first; for example pool tank, prefix coppice.',
  });
}

export function rootOf(place: Pick<ZfsPlace, 'pool' | 'prefix'>): string {
  return `${place.pool}/${place.prefix}`;
}

export function headLocatorOf(id: string): Locator {
  return requireHead(`heads/${id}`);
}

export function requireHead(locator: Locator): Locator {
  if (!headLocator.test(locator)) throw badLocator(locator, 'zfs');
  return locator;
}

export function requireLayer(locator: Locator): Locator {
  if (!layerLocator.test(locator)) throw badLocator(locator, 'zfs');
  return locator;
}

export function isHead(locator: Locator): boolean {
  return headLocator.test(locator);
}

export function isLayer(locator: Locator): boolean {
  return layerLocator.test(locator);
}

export function isTemporary(locator: Locator): boolean {
  return temporaryLocator.test(locator);
}

/** The dataset that a snapshot is of. */
export function datasetOf(snapshot: string): string {
  return snapshot.split('@', 1)[0] ?? snapshot;
}
