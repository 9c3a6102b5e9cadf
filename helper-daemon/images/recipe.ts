/** A recipe says what is in a base image; the file's name is the image's name. */
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { invalidInput } from './imageErrors.ts';

export const recipeSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9.-]{0,62}$/),
  description: z.string().min(1),
  /** Packages beside the distribution's essential ones and apt. */
  packages: z.array(z.string().regex(/^[a-z0-9][a-z0-9+.-]+$/)),
  directories: z
    .array(
      z.strictObject({ path: z.string().startsWith('/'), mode: z.string().regex(/^[0-7]{4}$/) }),
    )
    .default([]),
  files: z
    .array(
      z.strictObject({
        path: z.string().startsWith('/'),
        content: z.string(),
        mode: z
          .string()
          .regex(/^[0-7]{4}$/)
          .default('0644'),
      }),
    )
    .default([]),
  /** For every process in the workspace. */
  env: z.record(z.string().regex(/^[A-Za-z_]\w*$/), z.string().regex(/^[^\n]*$/)).default({}),
});

export type Recipe = z.infer<typeof recipeSchema>;

/** Beside the bundle in an installed copy; in the checkout when run from the sources. */
function recipeDirectories(): readonly string[] {
  return [
    join(import.meta.dirname, '../../images/recipes'),
    join(import.meta.dirname, '../images/recipes'),
    join(import.meta.dirname, 'recipes'),
  ];
}

export async function loadRecipes(directories = recipeDirectories()): Promise<readonly Recipe[]> {
  for (const directory of directories) {
    const names = (await readdir(directory).catch(() => [])).filter((name) =>
      name.endsWith('.json'),
    );
    if (names.length === 0) continue;
    return Promise.all(names.sort().map((name) => readRecipe(join(directory, name), name)));
  }
  return [];
}

export async function loadRecipe(name: string): Promise<Recipe> {
  const recipes = await loadRecipes();
  const found = recipes.find((recipe) => recipe.name === name);
  if (found !== undefined) return found;
  throw invalidInput(
    `There is no recipe ${name}.`,
    `Use one of: ${recipes.map((recipe) => recipe.name).join(', ')}; or import an image.`,
  );
}

async function readRecipe(path: string, file: string): Promise<Recipe> {
  const parsed = recipeSchema.safeParse(JSON.parse(await readFile(path, 'utf8')));
  if (!parsed.success) {
    throw invalidInput(`The recipe ${path} is wrong: ${z.prettifyError(parsed.error)}`);
  }
  if (`${parsed.data.name}.json` !== file) {
    throw invalidInput(`The recipe ${path} calls itself ${parsed.data.name}.`);
  }
  return parsed.data;
}
