/** Where the catalogue's images come from: recipes that are built, and files that are imported. */
import { buildImage } from './buildImage.ts';
import type { ImageSources, ProducedImage, ProduceOptions } from './catalogue.ts';
import { importImage } from './importImage.ts';
import type { ImageResult } from './imageManifest.ts';
import type { WorkOptions } from './progress.ts';
import { loadRecipe, loadRecipes } from './recipe.ts';
import { verifyImageFile } from './verifyImageFile.ts';

export function imageSources(): ImageSources {
  return {
    recipes: async () =>
      (await loadRecipes()).map(({ name, description }) => ({ name, description })),
    async build(name, options) {
      return produced(
        await buildImage(await loadRecipe(name), {
          ...workOptions(options),
          outDir: options.directory,
          refresh: options.rebuild,
        }),
      );
    },
    async import(source, name, options) {
      return produced(
        await importImage(source, { ...workOptions(options), name, outDir: options.directory }),
      );
    },
    verify: (file, facts) => verifyImageFile(file, facts),
  };
}

function workOptions({ signal, progress }: ProduceOptions): WorkOptions {
  return {
    signal,
    onProgress: ({ step, detail, fraction }) =>
      progress(detail === undefined ? step : `${step}: ${detail}`, fraction),
  };
}

function produced({ path, manifest }: ImageResult): ProducedImage {
  return {
    path,
    sha256: manifest.sha256,
    sizeBytes: manifest.size,
    virtualBytes: manifest.virtualSize,
    provenance: manifest.provenance,
  };
}
