/**
 * Everything that can be judged: the bundles, the checks, and the suites, up to a real VS Code with real
 * machines. Ends with one line of totals and a non-zero exit code when anything failed.
 *
 *   node scripts/test.ts                     all
 *   node scripts/test.ts unit vm             only these: check rust unit vm vscode
 */
import { mkdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { buildAll } from './build.ts';
import { buildAssets } from './buildAssets.ts';
import { runChecks } from './check.ts';
import {
  countsLine,
  projectRoot,
  runNodeTool,
  runStep,
  sumCounts,
  type Counts,
  type StepOutcome,
  type StepWork,
} from './tools/step.ts';

const suites = ['check', 'rust', 'unit', 'vm', 'vscode'] as const;
type Suite = (typeof suites)[number];

const results = path.join(projectRoot, 'out/test');

interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly numFailedTestSuites: number;
  readonly success: boolean;
}

/** Runs one project of vitest.config.ts. */
function vitest(project: string): StepWork {
  return async (say) => {
    const report = path.join(results, `${project}.json`);
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
    await rm(report, { force: true });
    const read = async (): Promise<Counts> =>
      vitestCounts(JSON.parse(await readFile(report, 'utf8')) as VitestReport);
    try {
      const args = ['run', '--project', project, '--passWithNoTests', ...reporters];
      await runNodeTool('node_modules/vitest/vitest.mjs', args, say);
    } catch (error) {
      // Failed tests are counted; a runner that left no report, or none that failed, broke itself.
      const counts = await read().catch(() => undefined);
      if (counts === undefined || counts.failed === 0) throw error;
      return counts;
    }
    return await read();
  };
}

/** A file that could not even be loaded has no tests to count, and is a failure all the same. */
function vitestCounts(report: VitestReport): Counts {
  const broken = report.success ? 0 : Math.max(1, report.numFailedTestSuites);
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests > 0 ? report.numFailedTests : broken,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

const extensionHost: StepWork = async (say) => {
  const report = path.join(results, 'extensionHost.json');
  await rm(report, { force: true });
  try {
    await runNodeTool('test/vscode/main.ts', [report], say);
  } catch (error) {
    const text = await readFile(report, 'utf8').catch(() => undefined);
    if (text === undefined) throw error;
    return JSON.parse(text) as Counts;
  }
  return JSON.parse(await readFile(report, 'utf8')) as Counts;
};

const bundles: StepWork = async (say) => {
  for (const line of await buildAll()) say(line);
  return undefined;
};

const assets: StepWork = async (say) => {
  await buildAssets({
    images: ['debian-dev', 'debian-minimal'],
    onDone: (step, text) => say(`${step}: ${text}`),
  });
  return undefined;
};

async function runSuites(chosen: ReadonlySet<Suite>): Promise<StepOutcome[]> {
  const outcomes = [await runStep('bundles', bundles)];
  const lanes = [
    ...(chosen.has('check') ? (['code'] as const) : []),
    ...(chosen.has('rust') ? (['rust'] as const) : []),
  ];
  outcomes.push(...(await runChecks(lanes)));
  if (chosen.has('unit')) outcomes.push(await runStep('unit', vitest('unit'), true));
  if (chosen.has('vm') || chosen.has('vscode')) {
    const ready = await runStep('kernel, agent and images', assets);
    outcomes.push(ready);
    // Each suite would only say the same in many words.
    if (ready.end === 'failed') return outcomes;
  }
  if (chosen.has('vm')) outcomes.push(await runStep('vm', vitest('vm'), true));
  if (chosen.has('vscode')) {
    outcomes.push(await runStep('vscode: extension host', extensionHost, true));
    outcomes.push(await runStep('vscode: user interface', vitest('ui'), true));
  }
  return outcomes;
}

function chosenSuites(words: readonly string[]): ReadonlySet<Suite> {
  const unknown = words.filter((word) => !(suites as readonly string[]).includes(word));
  if (unknown.length > 0) {
    throw new Error(`No suite ${unknown.join(', ')}; there are ${suites.join(', ')}.`);
  }
  return new Set(words.length === 0 ? suites : suites.filter((suite) => words.includes(suite)));
}

/** Tests as they counted themselves; a failed step without tests is one failure. */
function totals(outcomes: readonly StepOutcome[]): Counts {
  return sumCounts(
    outcomes.map(({ end, counts }) =>
      counts === undefined
        ? { passed: 0, failed: end === 'failed' ? 1 : 0, skipped: end === 'skipped' ? 1 : 0 }
        : counts,
    ),
  );
}

await mkdir(results, { recursive: true });
const outcomes = await runSuites(chosenSuites(process.argv.slice(2)));
const failed = outcomes.filter(({ end }) => end === 'failed');
console.log('');
for (const { name, ms, counts } of outcomes) {
  if (counts === undefined) continue;
  console.log(`${name.padEnd(36)} ${(ms / 1000).toFixed(1).padStart(6)} s  ${countsLine(counts)}`);
}
if (failed.length > 0) console.log(`failed: ${failed.map(({ name }) => name).join(', ')}`);
console.log(countsLine(totals(outcomes)));
process.exit(failed.length > 0 ? 1 : 0);
