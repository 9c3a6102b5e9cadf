/** The named blobs of a container image: in a directory, or in place inside an uncompressed tar. */
import { createHash } from 'node:crypto';
import { open, realpath, stat } from 'node:fs/promises';
import { join, posix, sep } from 'node:path';
import { openRange, type FileRange } from './compression.ts';
import { imageCorrupt, imageInvalid, throwIfAborted } from './imageErrors.ts';
import { components } from './ext4/tree.ts';
import { tarEntries } from './tarEntries.ts';

export interface BlobStore {
  /** Where a blob lies, by its path inside the layout; undefined when it is not there. */
  find(name: string): Promise<FileRange | undefined>;
}

/** Indexes, manifests and configurations; real ones are a few kilobytes. */
const maxJsonBytes = 4 * 1024 * 1024;

export function directoryBlobs(directory: string): BlobStore {
  return {
    async find(name) {
      const path = join(directory, ...components(name));
      const facts = await stat(path).catch(() => undefined);
      if (facts?.isFile() !== true) return undefined;
      // A link in a hostile layout would make the import read, and publish, any file of the host.
      const inside = (await realpath(directory)) + sep;
      if (!(await realpath(path)).startsWith(inside)) {
        throw imageInvalid(`${name} in the OCI layout is a link that leaves it.`);
      }
      return { path, start: 0, size: facts.size };
    },
  };
}

/** Reads the tar once to learn where everything is; contents stay where they are. */
export async function archiveBlobs(
  path: string,
  size: number,
  signal?: AbortSignal,
): Promise<BlobStore> {
  const ranges = new Map<string, FileRange>();
  const links = new Map<string, string>();
  const stream = openRange({ path, start: 0, size });
  try {
    for await (const entry of tarEntries(stream)) {
      throwIfAborted(signal, 'The import');
      const name = components(entry.path).join('/');
      if (entry.kind === 'file') ranges.set(name, { path, start: entry.offset, size: entry.size });
      else if (entry.kind === 'link') links.set(name, components(entry.linkTarget).join('/'));
      // Old docker save archives link equal layers of several images to one another.
      else if (entry.kind === 'symlink') {
        links.set(name, posix.join(posix.dirname(name), entry.linkTarget));
      }
    }
  } finally {
    stream.destroy();
  }
  return {
    find: (name) => {
      let target: string | undefined = components(name).join('/');
      for (let hops = 0; hops < 8 && target !== undefined; hops += 1) {
        const range = ranges.get(target);
        if (range !== undefined) return Promise.resolve(range);
        target = links.get(target);
      }
      return Promise.resolve(undefined);
    },
  };
}

export async function readJson(store: BlobStore, name: string, sha256?: string): Promise<unknown> {
  const range = await store.find(name);
  if (range === undefined) throw imageCorrupt(`The image lacks ${name}.`);
  if (range.size > maxJsonBytes) throw imageInvalid(`${name} of the image is far too large.`);
  const file = await open(range.path, 'r');
  const bytes = Buffer.alloc(range.size);
  try {
    await file.read(bytes, 0, range.size, range.start);
  } finally {
    await file.close();
  }
  if (sha256 !== undefined && createHash('sha256').update(bytes).digest('hex') !== sha256) {
    throw imageCorrupt(`${name} of the image does not have the content its digest promises.`);
  }
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown;
  } catch {
    throw imageCorrupt(`${name} of the image is not JSON.`);
  }
}

export async function verifyBlob(
  range: FileRange,
  sha256: string,
  signal?: AbortSignal,
): Promise<void> {
  const hash = createHash('sha256');
  for await (const chunk of openRange(range)) {
    throwIfAborted(signal, 'The import');
    hash.update(chunk as Buffer);
  }
  if (hash.digest('hex') !== sha256) {
    throw imageCorrupt(
      `A layer of the image does not have the content its digest promises (sha256:${sha256}).`,
    );
  }
}
