/**
 * The images machines start from. Files are named by digest and never change; a name points at one. A
 * file stays while a name or a workspace needs it.
 */
import { chmod, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { randomUUID } from 'node:crypto';
import { CoppiceError } from '../../protocol/errors.ts';
import { limits } from '../../protocol/limits.ts';
import type { ImageInfo } from '../../protocol/operations/image.ts';
import type { ImageRecord, ImageStore } from '../store/imageStore.ts';
import type { Journal } from '../store/journal.ts';
import type { WorkspaceStore } from '../store/workspaceStore.ts';

const defaultImageName = 'debian-dev';

/** What a builder or importer leaves in the directory it was given. */
export interface ProducedImage {
  /** A qcow2 file inside the directory it was asked to write to. */
  readonly path: string;
  /** Hex. */
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly virtualBytes: number;
  readonly provenance: Readonly<Record<string, unknown>>;
}

export interface ProduceOptions {
  readonly directory: string;
  readonly signal: AbortSignal;
  readonly progress: (message: string, fraction?: number) => void;
}

export interface RecipeInfo {
  readonly name: string;
  readonly description: string;
}

export interface ImageSources {
  recipes(): Promise<readonly RecipeInfo[]>;
  build(
    name: string,
    options: ProduceOptions & { readonly rebuild: boolean },
  ): Promise<ProducedImage>;
  import(source: string, name: string, options: ProduceOptions): Promise<ProducedImage>;
  /** @throws CoppiceError `image_corrupt` */
  verify(file: string, facts: { readonly sha256: string; readonly size: number }): Promise<void>;
}

export interface UsableImage {
  readonly name: string;
  readonly digest: string;
  readonly path: string;
  readonly virtualBytes: number;
}

export interface ImageCatalogue {
  /** @throws CoppiceError `image_missing`, `image_corrupt` */
  require(name: string | undefined): Promise<UsableImage>;
  /** The very file a workspace is based on, whatever its name points at now. */
  requireDigest(name: string, digest: string): Promise<UsableImage>;
  /** Whether the file with this digest is in the catalogue. */
  hasFile(digest: string): boolean;
  /** Of every file there is. */
  digests(): ReadonlySet<string>;
  /** Bytes of that file; 0 when it is not there. */
  fileBytes(digest: string): number;
  list(): { images: ImageInfo[]; recipes: Promise<RecipeInfo[]> };
  build(name: string, options: Work & { readonly rebuild: boolean }): Promise<ImageInfo>;
  import(source: string, name: string, options: Work): Promise<ImageInfo>;
  /** Keeps the file with this digest while `work` runs, whatever becomes of its names. */
  holding<T>(digest: string, work: () => Promise<T>): Promise<T>;
  /**
   * Takes over a file whose digest and structure were checked. It has no name yet: within `holding`, give it
   * one with `nameFile`, or it goes again.
   */
  adopt(made: Omit<ProducedImage, 'provenance'>): Promise<void>;
  /**
   * A name of the file; one that has none gets `wanted`, or where that is taken one made of it and the digest.
   * Call it in the transaction that stores who needs the file.
   * @throws CoppiceError `image_missing`
   */
  nameFile(digest: string, wanted: string, provenance: ImageRecord['provenance']): string;
  remove(name: string): Promise<void>;
  /** Deletes what an earlier daemon left half made, and files that nothing needs. */
  tidy(): Promise<void>;
}

type Work = Pick<ProduceOptions, 'signal' | 'progress'>;

export interface CatalogueServices {
  readonly directory: string;
  readonly store: ImageStore;
  readonly workspaces: Pick<WorkspaceStore, 'countOnImage'>;
  readonly journal: Journal;
  readonly transaction: <T>(work: () => T) => T;
  readonly sources: ImageSources;
  readonly now: () => Date;
  readonly changed: (event: { readonly image: ImageInfo } | { readonly removed: string }) => void;
}

export function imageCatalogue(services: CatalogueServices): ImageCatalogue {
  const { directory, store, sources } = services;
  const held = new Map<string, number>();
  const fileOf = (digest: string): string =>
    path.join(directory, `${digest.replace(/^sha256:/, '')}.qcow2`);

  function info(image: ImageRecord): ImageInfo {
    return {
      name: image.name,
      digest: image.digest,
      size_bytes: image.sizeBytes,
      virtual_bytes: image.virtualBytes,
      created_at: image.createdAt,
      is_default: image.name === defaultImageName,
      provenance: image.provenance,
      workspaces: services.workspaces.countOnImage(image.digest),
    };
  }

  async function requireDigest(name: string, digest: string): Promise<UsableImage> {
    const file = store.file(digest);
    if (file === undefined) throw imageMissing(name, []);
    const location = fileOf(digest);
    await sources.verify(location, {
      sha256: digest.replace(/^sha256:/, ''),
      size: file.sizeBytes,
    });
    return { name, digest, path: location, virtualBytes: file.virtualBytes };
  }

  /** Runs a builder in a directory of its own and publishes what it made. */
  async function publish(
    name: string,
    produce: (directory: string) => Promise<ProducedImage>,
  ): Promise<ImageInfo> {
    const work = `new-${randomUUID()}`;
    const workDirectory = path.join(directory, work);
    const entry = services.journal.begin('image', work);
    try {
      await mkdir(workDirectory, { recursive: true, mode: 0o700 });
      const made = await produce(workDirectory);
      const digest = `sha256:${made.sha256}`;
      await chmod(made.path, 0o444);
      await rename(made.path, fileOf(digest));
      const image: ImageRecord = {
        name,
        digest,
        sizeBytes: made.sizeBytes,
        virtualBytes: made.virtualBytes,
        createdAt: services.now().toISOString(),
        provenance: made.provenance,
      };
      services.transaction(() => {
        store.put(image);
        services.journal.end(entry);
      });
      services.changed({ image: info(image) });
      await removeUnneededFiles();
      return info(image);
    } finally {
      await rm(workDirectory, { recursive: true, force: true });
      services.journal.end(entry);
    }
  }

  async function removeUnneededFiles(): Promise<void> {
    const named = new Set(store.all().map((image) => image.digest));
    for (const { digest } of store.files()) {
      if (named.has(digest) || held.has(digest)) continue;
      if (services.workspaces.countOnImage(digest) > 0) continue;
      store.removeFile(digest);
      await rm(fileOf(digest), { force: true });
    }
  }

  return {
    requireDigest,
    digests: () => new Set(store.files().map(({ digest }) => digest)),
    hasFile: (digest) => store.file(digest) !== undefined,
    fileBytes: (digest) => store.file(digest)?.sizeBytes ?? 0,
    async require(name = defaultImageName) {
      const image = store.get(name);
      if (image !== undefined) return await requireDigest(name, image.digest);
      throw imageMissing(name, await sources.recipes());
    },
    list() {
      const images = store.all().map((image) => info(image));
      const known = new Set(images.map((image) => image.name));
      const recipes = sources
        .recipes()
        .then((all) => all.filter((recipe) => !known.has(recipe.name)));
      return { images, recipes };
    },
    async build(name, { rebuild, ...work }) {
      const recipes = await sources.recipes();
      if (!recipes.some((recipe) => recipe.name === name)) {
        throw new CoppiceError({
          code: 'not_found',
          message: `There is no recipe named ${name}.`,
          next: `Recipes: ${recipes.map((recipe) => recipe.name).join(', ')}.`,
        });
      }
      return await publish(name, (target) =>
        sources.build(name, { ...work, rebuild, directory: target }),
      );
    },
    async import(source, name, work) {
      if (store.get(name) !== undefined) {
        throw new CoppiceError({
          code: 'name_taken',
          message: `There is already an image named ${name}.`,
          next: `Choose another name, or remove it first: coppice image remove ${name}.`,
        });
      }
      return await publish(name, (target) =>
        sources.import(source, name, { ...work, directory: target }),
      );
    },
    async holding(digest, work) {
      held.set(digest, (held.get(digest) ?? 0) + 1);
      try {
        return await work();
      } finally {
        const left = (held.get(digest) ?? 1) - 1;
        if (left > 0) held.set(digest, left);
        else held.delete(digest);
        await removeUnneededFiles();
      }
    },
    async adopt(made) {
      const digest = `sha256:${made.sha256}`;
      await chmod(made.path, 0o444);
      await syncFile(made.path);
      // The row first: a file without one would never be found again.
      store.putFile({ digest, sizeBytes: made.sizeBytes, virtualBytes: made.virtualBytes });
      await rename(made.path, fileOf(digest));
    },
    nameFile(digest, wanted, provenance) {
      const file = store.file(digest);
      if (file === undefined) throw imageMissing(wanted, []);
      const known = store.all().find((image) => image.digest === digest);
      if (known !== undefined) return known.name;
      const hex = digest.replace(/^sha256:/, '');
      const names = [8, 64].map((length) => {
        const suffix = `-${hex.slice(0, length)}`;
        return `${wanted.slice(0, limits.nameLength - suffix.length)}${suffix}`;
      });
      const name = [wanted, ...names].find((one) => store.get(one) === undefined);
      if (name === undefined) throw imageMissing(wanted, []);
      const image = { ...file, name, createdAt: services.now().toISOString(), provenance };
      store.put(image);
      services.changed({ image: info(image) });
      return name;
    },
    async remove(name) {
      const image = store.get(name);
      if (image === undefined) throw imageMissing(name, []);
      const users = services.workspaces.countOnImage(image.digest);
      if (users > 0) {
        throw new CoppiceError({
          code: 'image_in_use',
          message: `${String(users)} workspace(s) are based on image ${name}.`,
          next: 'Destroy them first (coppice list shows the image of each).',
          details: { workspaces: users },
        });
      }
      store.remove(name);
      services.changed({ removed: name });
      await removeUnneededFiles();
    },
    async tidy() {
      for (const name of await readdir(directory)) {
        if (name.startsWith('new-')) await rm(path.join(directory, name), { recursive: true });
      }
      await removeUnneededFiles();
    },
  };
}

async function syncFile(file: string): Promise<void> {
  const handle = await open(file, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function imageMissing(name: string, recipes: readonly RecipeInfo[]): CoppiceError {
  const canBuild = recipes.some((recipe) => recipe.name === name);
  return new CoppiceError({
    code: 'image_missing',
    message: `There is no image named ${name}${canBuild ? ', but a recipe for it' : ''}.`,
    next: canBuild
      ? `Build it: coppice image build ${name}.`
      : 'See coppice image list; make one with coppice image build or coppice image import.',
    details: { image: name },
  });
}
