/**
 * Where the files are and what they stand on. A header is believed only as far as it names a disk or an
 * image of ours: in system mode a machine's monitor can write its own disk file, header included, and the
 * daemon's tools must not be led to other files of the host by it.
 */
import { realpath } from 'node:fs/promises';
import path from 'node:path';
import type { Base, Locator } from '../backend.ts';
import { fileExists, partPattern, requireFile, uuidPattern } from '../diskFiles.ts';
import { badLocator, errnoOf, imageMissing, layerCorrupt, layerMissing } from '../storageErrors.ts';
import { extendedL2, readHeader, type Backing, type Qcow2Header } from './header.ts';

export interface DiskPlaces {
  /** The daemon's state directory. */
  readonly state: string;
  /** The directory of the catalogue's image files. */
  readonly images: string;
}

export type Standing =
  | { readonly kind: 'layer'; readonly locator: Locator }
  | { readonly kind: 'image'; readonly digest: string; readonly path: string }
  | undefined;

export interface DiskFacts {
  readonly header: Qcow2Header;
  readonly standing: Standing;
}

const diskLocator = new RegExp(`^disks/${uuidPattern}\\.qcow2$`);
const partLocator = new RegExp(`^disks/${partPattern}$`);
/** How heads were spelled before there were layers. */
const formerHead = new RegExp(`^workspaces/${uuidPattern}/disks/head\\.qcow2$`);
const imageFile = /^([0-9a-f]{64})\.qcow2$/;
/** Incompatible features that are ours or harmless: dirty, compression by zstd, extended L2. */
const knownFeatures = 1n | 8n | extendedL2;

export function diskLocatorOf(id: string): Locator {
  const locator = `disks/${id}.qcow2`;
  if (!diskLocator.test(locator)) throw badLocator(locator, 'qcow2');
  return locator;
}

export function isFormerHead(locator: Locator): boolean {
  return formerHead.test(locator);
}

export function isDisk(locator: Locator): boolean {
  return diskLocator.test(locator);
}

export function isPart(locator: Locator): boolean {
  return partLocator.test(locator);
}

/** Path of a head or layer. @throws CoppiceError `internal` for what is no locator */
export function diskPath(places: DiskPlaces, locator: Locator): string {
  if (!isDisk(locator) && !isFormerHead(locator)) throw badLocator(locator, 'qcow2');
  return path.join(places.state, locator);
}

/** @throws CoppiceError `layer_missing`, `layer_corrupt` when its header is unusable or points outside */
export async function diskFacts(places: DiskPlaces, locator: Locator): Promise<DiskFacts> {
  const file = diskPath(places, locator);
  const header = await readHeader(file).catch((error: unknown) => {
    throw errnoOf(error) === 'ENOENT' ? layerMissing(locator) : error;
  });
  if (typeof header === 'string') throw layerCorrupt(locator, header);
  if (header.externalData) throw layerCorrupt(locator, 'it keeps its data in another file');
  if (header.encrypted) throw layerCorrupt(locator, 'it is encrypted');
  if ((header.incompatible & ~knownFeatures) !== 0n) {
    throw layerCorrupt(locator, 'it uses a feature that is not known');
  }
  return { header, standing: await standingOf(places, locator, header) };
}

async function standingOf(
  places: DiskPlaces,
  locator: Locator,
  { backingPath, backingFormat }: Qcow2Header,
): Promise<Standing> {
  if (backingPath === undefined) return undefined;
  const foreign = (): Error => layerCorrupt(locator, 'it stands on a file that is not ours');
  if (!path.isAbsolute(backingPath) || backingFormat !== 'qcow2') throw foreign();
  const name = path.basename(backingPath);
  // Directories are compared as the kernel sees them: the state may be reached through a link.
  const directory = await realpath(path.dirname(backingPath)).catch(() => undefined);
  const isIn = async (place: string): Promise<boolean> =>
    directory !== undefined && directory === (await realpath(place).catch(() => undefined));
  const image = imageFile.exec(name)?.[1];
  if (image !== undefined && (await isIn(places.images))) {
    return { kind: 'image', digest: `sha256:${image}`, path: backingPath };
  }
  const below = `disks/${name}`;
  if (isDisk(below) && (await isIn(path.join(places.state, 'disks')))) {
    return { kind: 'layer', locator: below };
  }
  throw foreign();
}

/**
 * The disk and everything below it, topmost first; all of it is there and has sound headers.
 * @throws CoppiceError `layer_missing`, `layer_corrupt`, `image_missing`
 */
export async function chainOf(places: DiskPlaces, locator: Locator): Promise<Locator[]> {
  const chain: Locator[] = [];
  for (let at = locator; !chain.includes(at);) {
    chain.push(at);
    const { standing } = await diskFacts(places, at);
    if (standing === undefined) return chain;
    if (standing.kind === 'image') {
      if (!(await fileExists(standing.path))) throw imageMissing(standing.path);
      return chain;
    }
    at = standing.locator;
  }
  throw layerCorrupt(locator, 'what it stands on leads back to itself');
}

/** What a file on `base` has to name in its header, and how large `base` is. */
export async function backingFor(
  places: DiskPlaces,
  base: Base,
): Promise<Backing & { readonly virtualBytes: number }> {
  if (base.kind === 'image') {
    const file = path.resolve(base.path);
    if (!(await fileExists(file))) throw imageMissing(file);
    return { path: file, format: 'qcow2', virtualBytes: base.virtualBytes };
  }
  const file = diskPath(places, base.locator);
  await requireFile(file, base.locator);
  const { header } = await diskFacts(places, base.locator);
  return { path: file, format: 'qcow2', virtualBytes: header.virtualBytes };
}

/** True where `standing` is the same disk or image as `base`. */
export function standsOnBase(standing: Standing, base: Base | undefined): boolean {
  if (base === undefined || standing === undefined) return base === standing;
  if (base.kind === 'image') {
    return standing.kind === 'image' && standing.digest === base.digest;
  }
  return standing.kind === 'layer' && standing.locator === base.locator;
}
