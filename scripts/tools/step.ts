/** Running named steps: quiet while they go well, everything they said when they fail. */
import path from 'node:path';
import { run, type RunOptions } from '../../helper-daemon/system/run.ts';

export const projectRoot = path.resolve(import.meta.dirname, '../..');

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export const noTests: Counts = { passed: 0, failed: 0, skipped: 0 };

export function sumCounts(all: readonly Counts[]): Counts {
  return all.reduce(
    (sum, counts) => ({
      passed: sum.passed + counts.passed,
      failed: sum.failed + counts.failed,
      skipped: sum.skipped + counts.skipped,
    }),
    noTests,
  );
}

export function countsLine(counts: Counts): string {
  const { passed, failed, skipped } = counts;
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

export interface StepOutcome {
  readonly name: string;
  readonly end: 'ok' | 'failed' | 'skipped';
  readonly ms: number;
  /** Tests the step ran, when it is a test suite. */
  readonly counts?: Counts;
}

/** Thrown by a step that this machine cannot run and need not. */
export class StepSkipped extends Error {}

/** What a step leaves: nothing, or the tests it ran. Throwing means that it failed. */
export type StepWork = (say: (line: string) => void) => Promise<Counts | undefined>;

const marks = { ok: '✓', failed: '✗', skipped: '-' } as const;

/** Runs one step and prints its name, its time and, when it failed or `live` is set, its output. */
export async function runStep(name: string, work: StepWork, live = false): Promise<StepOutcome> {
  const start = performance.now();
  const lines: string[] = [];
  if (live) console.log(`\n── ${name}`);
  const say = (line: string): void => {
    if (live) console.log(line);
    else lines.push(line);
  };
  let counts: Counts | undefined;
  let end: StepOutcome['end'] = 'ok';
  let remark = '';
  try {
    counts = await work(say);
    if (counts !== undefined && counts.failed > 0) end = 'failed';
  } catch (error) {
    end = error instanceof StepSkipped ? 'skipped' : 'failed';
    remark = error instanceof Error ? error.message : String(error);
  }
  const ms = performance.now() - start;
  const note = counts === undefined ? (end === 'skipped' ? remark : '') : countsLine(counts);
  const time = `${(ms / 1000).toFixed(1).padStart(6)} s`;
  console.log(`${marks[end]} ${name.padEnd(34)} ${time}${note === '' ? '' : `  (${note})`}`);
  if (end === 'failed') {
    const said = lines.length > 0 ? lines : live && remark === '' ? [] : remark.split('\n');
    for (const line of said) console.log(`    ${line}`);
  }
  return { name, end, ms, ...(counts === undefined ? {} : { counts }) };
}

/** Node's and npm packages' programs first, so that scripts with `env node` get this Node. */
function toolPath(): string {
  const own = [path.dirname(process.execPath), path.join(projectRoot, 'node_modules/.bin')];
  return [...own, process.env['PATH'] ?? ''].join(path.delimiter);
}

/** Runs a program in the project, passing its lines on. */
export async function runTool(
  file: string,
  args: readonly string[],
  say: (line: string) => void,
  options: RunOptions = {},
): Promise<void> {
  await run(file, args, {
    cwd: projectRoot,
    onLine: say,
    ...options,
    env: { PATH: toolPath(), FORCE_COLOR: '0', NO_COLOR: '1', ...options.env },
  });
}

/** Runs a script of an npm package, or of the project, on this Node. */
export async function runNodeTool(
  script: string,
  args: readonly string[],
  say: (line: string) => void,
  options: RunOptions = {},
): Promise<void> {
  await runTool(process.execPath, [path.join(projectRoot, script), ...args], say, options);
}
