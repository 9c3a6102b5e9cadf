/** The files of an archive in their order, and the digest that its last one gives over all before it. */
import { createHash } from 'node:crypto';
import type { ArchiveManifest } from './manifest.ts';

export const manifestName = 'coppice.json';
export const endName = 'coppice.end';

export interface ArchiveEntry {
  readonly kind: 'image' | 'layer' | 'memory';
  /** Of the layer or memory; digest of the image. */
  readonly id: string;
  readonly name: string;
  readonly bytes: number;
  /** Hex. */
  readonly sha256: string;
}

/** Everything between the first and the last entry. */
export function entriesOf({ image, layers, memories }: ArchiveManifest): ArchiveEntry[] {
  const { digest, bytes } = image;
  const sha256 = digest.replace(/^sha256:/, '');
  return [
    ...(image.included
      ? [{ kind: 'image', id: digest, name: 'image.qcow2', bytes, sha256 } as const]
      : []),
    ...layers.map((layer) => ({
      kind: 'layer' as const,
      id: layer.id,
      name: `layers/${layer.id}.qcow2`,
      bytes: layer.bytes,
      sha256: layer.sha256,
    })),
    ...memories.map((memory) => ({
      kind: 'memory' as const,
      id: memory.id,
      name: `memory/${memory.id}.memory`,
      bytes: memory.bytes,
      sha256: memory.sha256,
    })),
  ];
}

/** The last entry: over a list of all others as sha256sum prints it. */
export function encodeEnd(
  entries: readonly { readonly name: string; readonly sha256: string }[],
): Buffer {
  const hash = createHash('sha256');
  for (const { name, sha256 } of entries) hash.update(`${sha256}  ${name}\n`);
  return Buffer.from(
    `${JSON.stringify({ entries: entries.length, sha256: hash.digest('hex') })}\n`,
  );
}
