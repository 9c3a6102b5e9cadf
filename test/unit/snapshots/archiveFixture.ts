/** Archives without a daemon: a manifest, the files it names, and what becomes of them when they are read. */
import { createHash } from 'node:crypto';
import { entriesOf, type ArchiveEntry } from '../../../helper-daemon/snapshots/archive/entries.ts';
import type { ArchiveManifest } from '../../../helper-daemon/snapshots/archive/manifest.ts';
import { readArchive } from '../../../helper-daemon/snapshots/archive/readArchive.ts';
import { archiveBytes } from '../../../helper-daemon/snapshots/archive/writeArchive.ts';

const gib = 1024 ** 3;

export function uuid(number: number): string {
  return `00000000-0000-4000-8000-${number.toString(16).padStart(12, '0')}`;
}

export interface Sample {
  readonly manifest: ArchiveManifest;
  readonly contents: ReadonlyMap<string, Buffer>;
}

/** A root, two branches from it, and memory of one of them. */
export function sampleArchive(fill = 'x'): Sample {
  const contents = new Map<string, Buffer>();
  const file = (id: string, size: number): { bytes: number; sha256: string } => {
    const content = Buffer.from(`${id}${fill}`.repeat(size)).subarray(0, size);
    contents.set(id, content);
    return { bytes: size, sha256: createHash('sha256').update(content).digest('hex') };
  };
  const image = file('image', 5000);
  const digest = `sha256:${image.sha256}`;
  contents.set(digest, contents.get('image') ?? Buffer.alloc(0));
  contents.delete('image');
  const layer = (number: number, parent: number | null): ArchiveManifest['layers'][number] => ({
    id: uuid(number),
    parent: parent === null ? null : uuid(parent),
    virtual_bytes: gib,
    ...file(uuid(number), 700 * number),
  });
  const snapshot = (
    name: string,
    number: number,
    parent: number | null,
  ): ArchiveManifest['snapshots'][number] => ({
    id: uuid(number + 100),
    name,
    description: `what ${name} is`,
    parent: parent === null ? null : uuid(parent + 100),
    layer: uuid(number),
    memory: number === 3 ? uuid(200) : null,
    disk_gb: 1,
    created_at: '2026-01-02T03:04:05.678Z',
  });
  return {
    contents,
    manifest: {
      format: 'coppice-archive',
      version: 1,
      creator: '0.0.0',
      workspace: {
        name: 'demo',
        vcpus: 1,
        memory_mb: 256,
        disk_gb: 1,
        init: 'agent',
        generation: 3,
      },
      image: {
        name: 'debian-dev',
        digest,
        bytes: image.bytes,
        virtual_bytes: gib,
        included: true,
      },
      layers: [layer(1, null), layer(2, 1), layer(3, 1), layer(4, 3)],
      snapshots: [snapshot('root', 1, null), snapshot('left', 2, 1), snapshot('right', 3, 1)],
      memories: [
        {
          id: uuid(200),
          binding: { vcpus: '1' },
          channel_key: 'ab'.repeat(32),
          memory_mb: 256,
          ...file(uuid(200), 4096),
        },
      ],
      head: { layer: uuid(4), snapshot: uuid(103) },
    },
  };
}

export async function pack({ manifest, contents }: Sample): Promise<Buffer> {
  async function* read({ id }: ArchiveEntry): AsyncGenerator<Uint8Array> {
    yield await Promise.resolve(contents.get(id) ?? Buffer.alloc(0));
  }
  return await gather(archiveBytes(manifest, read));
}

async function gather(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(Buffer.from(chunk));
  return Buffer.concat(all);
}

export interface Unpacked {
  readonly manifest: ArchiveManifest;
  readonly contents: ReadonlyMap<string, Buffer>;
}

/** @param seen what was written, also of an archive that is refused in the end */
export async function unpack(
  archive: Uint8Array,
  seen = new Map<string, Buffer>(),
  pieceBytes = 1000,
): Promise<Unpacked> {
  const manifest = await readArchive(pieces(archive, pieceBytes), () =>
    Promise.resolve((entry) => {
      const chunks: Buffer[] = [];
      return Promise.resolve({
        write: (chunk) => Promise.resolve(void chunks.push(Buffer.from(chunk))),
        close: () => Promise.resolve(void seen.set(entry.id, Buffer.concat(chunks))),
      });
    }),
  );
  return { manifest, contents: seen };
}

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    yield await Promise.resolve(bytes.subarray(at, at + size));
  }
}

/** Bytes of all entries of a sample, in the order of the archive. */
export function totalBytes({ manifest }: Sample): number {
  return entriesOf(manifest).reduce((sum, { bytes }) => sum + bytes, 0);
}
