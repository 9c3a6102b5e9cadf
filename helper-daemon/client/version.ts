/** The version in package.json, which lies above the sources and above dist/. */
import { readFileSync } from 'node:fs';
import path from 'node:path';

let known: string | undefined;

export function packageVersion(): string {
  known ??= findVersion();
  return known;
}

function findVersion(): string {
  let directory = import.meta.dirname;
  for (let step = 0; step < 4; step += 1) {
    try {
      const text = readFileSync(path.join(directory, 'package.json'), 'utf8');
      const { name, version } = JSON.parse(text) as { name?: string; version?: string };
      if (name === 'coppice' && version !== undefined) return version;
    } catch {
      // Not here.
    }
    directory = path.dirname(directory);
  }
  return '0.0.0';
}
