/** What an archive says about itself: `coppice.json`, its first entry. See docs/archive-format.md. */
import * as z from 'zod';
import { limits } from '../../../protocol/limits.ts';
import { imageName, workspaceName } from '../../../protocol/names.ts';
import { snapshotDescription, snapshotName } from '../../../protocol/operations/snapshotModel.ts';
import { diskGb, memoryMb, vcpus } from '../../../protocol/operations/workspaceModel.ts';
import { archiveInvalid } from './archiveErrors.ts';
import { requireSoundTree } from './soundTree.ts';

export const formatVersion = 1;
export const manifestLimit = 4 * 1024 ** 2;

/** Snapshots, and layers without a name between them that nobody has folded yet. */
const maxLayers = 4 * limits.snapshots.max;

const id = z.uuid().refine((text) => text === text.toLowerCase(), 'must be in lower case');
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'not a SHA-256');
const bytes = z.int().positive();

const layer = z.strictObject({
  id,
  parent: id.nullable(),
  virtual_bytes: bytes.multipleOf(512),
  bytes,
  sha256,
});

const snapshot = z.strictObject({
  id,
  name: snapshotName,
  description: snapshotDescription,
  parent: id.nullable(),
  layer: id,
  memory: id.nullable(),
  disk_gb: diskGb,
  created_at: z.iso.datetime({ offset: true }),
});

const memory = z.strictObject({
  id,
  binding: z
    .record(z.string().max(64), z.string().max(1024))
    .refine((binding) => Object.keys(binding).length <= 64, 'too many entries'),
  channel_key: z.string().regex(/^[\x21-\x7e]{1,256}$/, 'not a channel key'),
  memory_mb: memoryMb,
  bytes,
  sha256,
});

const manifestSchema = z.strictObject({
  format: z.literal('coppice-archive'),
  version: z.literal(formatVersion),
  creator: z.string().max(128),
  workspace: z.strictObject({
    name: workspaceName,
    vcpus,
    memory_mb: memoryMb,
    disk_gb: diskGb,
    init: z.enum(['agent', 'system']),
    generation: z.int().positive(),
  }),
  image: z.strictObject({
    name: imageName,
    digest: z.string().regex(/^sha256:[0-9a-f]{64}$/, 'not a digest'),
    bytes,
    virtual_bytes: bytes.multipleOf(512),
    included: z.boolean(),
  }),
  layers: z.array(layer).min(1).max(maxLayers),
  snapshots: z.array(snapshot).max(limits.snapshots.max),
  memories: z.array(memory).max(limits.snapshots.max),
  head: z.strictObject({ layer: id, snapshot: id.nullable() }),
});

export type ArchiveManifest = z.infer<typeof manifestSchema>;
export type ArchivedLayer = z.infer<typeof layer>;

const anyVersion = z.looseObject({ format: z.literal('coppice-archive'), version: z.int() });

export function encodeManifest(manifest: ArchiveManifest): Buffer {
  return Buffer.from(`${JSON.stringify(manifest)}\n`);
}

/**
 * The description of an archive whose author is not known: everything in it is within bounds, its trees are
 * trees, and everything named is there.
 * @throws CoppiceError `archive_invalid`
 */
export function decodeManifest(text: Buffer): ArchiveManifest {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(text));
  } catch (error) {
    throw archiveInvalid('it is not JSON', 'coppice.json', error);
  }
  const known = anyVersion.safeParse(value);
  if (!known.success) throw archiveInvalid('it does not describe a workspace', 'coppice.json');
  if (known.data.version !== formatVersion) {
    throw archiveInvalid(
      `it is of format ${String(known.data.version)}, and this version of Coppice reads format ${String(formatVersion)}`,
      'coppice.json',
    );
  }
  const parsed = manifestSchema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const place = issue?.path.map(String).join('.').slice(0, 200) ?? '';
    throw archiveInvalid(issue?.message.slice(0, 200) ?? 'it is damaged', `coppice.json, ${place}`);
  }
  requireSoundTree(parsed.data);
  return parsed.data;
}
