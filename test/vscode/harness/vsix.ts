/** Packages the extension the way it is published. */
import path from 'node:path';
import { run } from '../../../helper-daemon/system/run.ts';

const root = path.resolve(import.meta.dirname, '../../..');

export async function packageVsix(): Promise<string> {
  const out = path.join(root, 'out/coppice.vsix');
  const vsce = path.join(root, 'node_modules/@vscode/vsce/vsce');
  const flags = ['--no-dependencies', '--no-rewrite-relative-links'];
  await run(process.execPath, [vsce, 'package', ...flags, '-o', out], { cwd: root });
  return out;
}
