/**
 * Runs the suites in the extension host.
 *
 *   node test/vscode/main.ts [result file]
 */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { runInExtensionHost } from './harness/extensionHostRun.ts';

const counts = await runInExtensionHost((line) => console.log(line));
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
const [resultFile] = process.argv.slice(2);
if (resultFile !== undefined) {
  await mkdir(path.dirname(resultFile), { recursive: true });
  await writeFile(resultFile, JSON.stringify(counts));
}
process.exit(counts.failed === 0 ? 0 : 1);
