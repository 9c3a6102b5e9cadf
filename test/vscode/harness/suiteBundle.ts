/** Bundles the mocha suites for the extension host, which loads CommonJS. */
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { build } from 'esbuild';

const suite = path.resolve(import.meta.dirname, '../suite');
const out = path.resolve(import.meta.dirname, '../../../out/vscode-suite');

/** The bundled entry file. */
export async function bundleSuites(): Promise<string> {
  const files = await readdir(suite);
  await build({
    entryPoints: files
      .filter((file) => file === 'index.ts' || file.endsWith('.test.ts'))
      .map((file) => path.join(suite, file)),
    outdir: out,
    outExtension: { '.js': '.cjs' },
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node22',
    external: ['vscode', 'mocha'],
    sourcemap: 'inline',
    define: { 'import.meta.dirname': '__dirname', 'import.meta.url': 'undefined' },
    logLevel: 'warning',
  });
  return path.join(out, 'index.cjs');
}
