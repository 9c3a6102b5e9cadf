/** What VS Code runs in its extension host: loads every bundled suite and leaves a result file. */
import { appendFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { format } from 'node:util';

/** Where the runner reads from; the window's own log mixes these lines with hundreds of others. */
const outputFile = process.env['COPPICE_SUITE_OUTPUT'] ?? '';
const resultFile = process.env['COPPICE_SUITE_RESULT'] ?? '';

export async function run(): Promise<void> {
  const { default: Mocha } = await import('mocha');
  const base = Mocha.reporters.Base as unknown as { consoleLog: (...words: unknown[]) => void };
  base.consoleLog = (...words) => appendFileSync(outputFile, `${format(...words)}\n`);
  const mocha = new Mocha({
    ui: 'tdd',
    color: false,
    timeout: 120_000,
    reporter: 'spec',
    forbidOnly: process.env['CI'] !== undefined,
  });
  const folder = path.dirname(process.env['COPPICE_SUITE_MAIN'] ?? '');
  for (const file of readdirSync(folder).sort()) {
    if (file.endsWith('.test.cjs')) mocha.addFile(path.join(folder, file));
  }
  await new Promise<void>((resolve, reject) => {
    const runner = mocha.run((failures) => {
      const { passes = 0, pending = 0 } = runner.stats ?? {};
      writeFileSync(
        resultFile,
        JSON.stringify({ passed: passes, failed: failures, skipped: pending }),
      );
      if (failures === 0) resolve();
      else reject(new Error(`${failures} tests failed`));
    });
  });
}
