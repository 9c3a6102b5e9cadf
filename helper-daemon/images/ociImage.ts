/** Resolves a container image to its layers and configuration: OCI layouts and docker save archives. */
import * as z from 'zod';
import { readJson, verifyBlob, type BlobStore } from './blobStore.ts';
import type { FileRange } from './compression.ts';
import { imageCorrupt, imageInvalid } from './imageErrors.ts';

export interface ContainerImage {
  /** From the base upwards, verified where a digest of the stored form is known. */
  readonly layers: readonly ContainerLayer[];
  readonly config: ContainerConfig;
  /** Digest of manifest or configuration, to say later what was imported. */
  readonly digest: string;
}

export interface ContainerLayer {
  readonly range: FileRange;
  /** Of the uncompressed tar, to be checked while it is read; only where nothing better is known. */
  readonly diffId?: string;
}

export interface ContainerConfig {
  readonly env: readonly string[];
  readonly workingDir: string;
  readonly user: string;
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
}

const digestSchema = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const descriptorSchema = z.object({
  mediaType: z.string().optional(),
  digest: digestSchema,
  size: z.number().int().nonnegative(),
  platform: z.object({ architecture: z.string(), os: z.string() }).optional(),
  annotations: z.record(z.string(), z.string()).nullish(),
});
type Descriptor = z.infer<typeof descriptorSchema>;

const indexSchema = z.object({ manifests: z.array(descriptorSchema).max(1000) });
const manifestSchema = z.object({
  config: descriptorSchema,
  layers: z.array(descriptorSchema).max(1000),
});
const listOrNull = z.array(z.string()).nullish();
const configSchema = z.object({
  architecture: z.string().optional(),
  os: z.string().optional(),
  config: z
    .object({
      Env: listOrNull,
      WorkingDir: z.string().nullish(),
      User: z.string().nullish(),
      Entrypoint: listOrNull,
      Cmd: listOrNull,
    })
    .nullish(),
  rootfs: z.object({ diff_ids: z.array(digestSchema).max(1000) }),
});
const dockerSchema = z
  .array(
    z.object({ Config: z.string(), RepoTags: listOrNull, Layers: z.array(z.string()).max(1000) }),
  )
  .min(1);

const maxIndexDepth = 3;

export async function resolveImage(
  store: BlobStore,
  signal?: AbortSignal,
): Promise<ContainerImage> {
  if ((await store.find('index.json')) !== undefined) return resolveOci(store, signal);
  if ((await store.find('manifest.json')) !== undefined) return resolveDocker(store);
  throw imageInvalid(
    'The archive has neither index.json nor manifest.json, so it is not a container image.',
  );
}

async function resolveOci(store: BlobStore, signal?: AbortSignal): Promise<ContainerImage> {
  const chosen = await chooseManifest(store, await readJson(store, 'index.json'), 0);
  const manifest = parse(
    manifestSchema,
    await readJson(store, blobName(chosen), hexOf(chosen)),
    'manifest',
  );
  const config = parse(
    configSchema,
    await readJson(store, blobName(manifest.config), hexOf(manifest.config)),
    'configuration',
  );
  requirePlatform(config);
  const layers: ContainerLayer[] = [];
  for (const layer of manifest.layers) {
    const range = await store.find(blobName(layer));
    if (range === undefined) throw imageCorrupt(`The image lacks its layer ${layer.digest}.`);
    if (range.size !== layer.size) {
      throw imageCorrupt(
        `The layer ${layer.digest} has ${String(range.size)} bytes instead of ${String(layer.size)}.`,
      );
    }
    await verifyBlob(range, hexOf(layer), signal);
    layers.push({ range });
  }
  return { layers, config: configOf(config), digest: chosen.digest };
}

async function chooseManifest(store: BlobStore, json: unknown, depth: number): Promise<Descriptor> {
  const index = parse(indexSchema, json, 'index');
  // Attestations travel beside images with a platform that does not exist.
  const usable = index.manifests.filter(
    ({ platform }) =>
      platform === undefined || (platform.os === 'linux' && platform.architecture === 'amd64'),
  );
  const exact = usable.filter(({ platform }) => platform !== undefined);
  const candidates = exact.length > 0 ? exact : usable;
  const distinct = [...new Map(candidates.map((one) => [one.digest, one])).values()];
  const [only] = distinct;
  if (only === undefined) {
    const offered = index.manifests.map(
      ({ platform }) => `${platform?.os ?? '?'}/${platform?.architecture ?? '?'}`,
    );
    throw imageInvalid(
      `The image has no variant for linux/amd64 (it has: ${offered.join(', ') || 'nothing'}).`,
      'Pull or build it for linux/amd64 and save it again.',
    );
  }
  if (distinct.length > 1) {
    const names = distinct.map(
      (one) => one.annotations?.['org.opencontainers.image.ref.name'] ?? one.digest.slice(7, 19),
    );
    throw imageInvalid(
      `The archive holds ${String(distinct.length)} images: ${names.join(', ')}.`,
      'Save the one you want into an archive of its own.',
    );
  }
  if (only.mediaType === undefined || !/index|manifest\.list/.test(only.mediaType)) return only;
  if (depth >= maxIndexDepth) throw imageInvalid('The indexes of the image are nested too deeply.');
  return chooseManifest(store, await readJson(store, blobName(only), hexOf(only)), depth + 1);
}

async function resolveDocker(store: BlobStore): Promise<ContainerImage> {
  const images = parse(dockerSchema, await readJson(store, 'manifest.json'), 'manifest');
  if (images.length > 1) {
    throw imageInvalid(
      `The archive holds ${String(images.length)} images: ${images.map((one) => one.RepoTags?.[0] ?? one.Config.slice(0, 12)).join(', ')}.`,
      'Save the one you want into an archive of its own.',
    );
  }
  const [image] = images as [z.infer<typeof dockerSchema>[number]];
  const configDigest = /([0-9a-f]{64})(?:\.json)?$/.exec(image.Config)?.[1];
  const config = parse(
    configSchema,
    await readJson(store, image.Config, configDigest),
    'configuration',
  );
  requirePlatform(config);
  if (config.rootfs.diff_ids.length !== image.Layers.length) {
    throw imageCorrupt('The image names more or fewer layers than its configuration.');
  }
  const layers: ContainerLayer[] = [];
  for (const [index, name] of image.Layers.entries()) {
    const range = await store.find(name);
    if (range === undefined) throw imageCorrupt(`The image lacks its layer ${name}.`);
    layers.push({
      range,
      diffId: (config.rootfs.diff_ids[index] as string).slice('sha256:'.length),
    });
  }
  return { layers, config: configOf(config), digest: `sha256:${configDigest ?? 'unknown'}` };
}

function requirePlatform(config: z.infer<typeof configSchema>): void {
  if ((config.os ?? 'linux') !== 'linux' || (config.architecture ?? 'amd64') !== 'amd64') {
    throw imageInvalid(
      `The image is for ${config.os ?? '?'}/${config.architecture ?? '?'}, not for linux/amd64.`,
      'Pull or build it for linux/amd64 and save it again.',
    );
  }
}

function configOf({ config }: z.infer<typeof configSchema>): ContainerConfig {
  return {
    env: config?.Env ?? [],
    workingDir: config?.WorkingDir ?? '',
    user: config?.User ?? '',
    entrypoint: config?.Entrypoint ?? [],
    cmd: config?.Cmd ?? [],
  };
}

function blobName(descriptor: Descriptor): string {
  return `blobs/sha256/${hexOf(descriptor)}`;
}

function hexOf(descriptor: Descriptor): string {
  return descriptor.digest.slice('sha256:'.length);
}

function parse<T>(schema: z.ZodType<T>, json: unknown, what: string): T {
  const result = schema.safeParse(json);
  if (!result.success) {
    throw imageInvalid(`The ${what} of the image is wrong: ${z.prettifyError(result.error)}`);
  }
  return result.data;
}
