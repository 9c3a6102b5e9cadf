import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { commands } from '../../../extension/manifest/commands.ts';
import { generatedManifest } from '../../../extension/manifest/contributes.ts';

const root = path.resolve(import.meta.dirname, '../../..');

test('package.json holds exactly what the code contributes', () => {
  const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as object;
  expect(manifest).toMatchObject(generatedManifest());
});

test('every command has an id of its own in the name space of the extension', () => {
  const ids = commands.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.filter((id) => !/^coppice(\.[a-z]+)?\.[a-zA-Z]+$/.test(id))).toEqual([]);
});
