/**
 * Everything that can be judged without running the product: formatting, lint, types, unused code, drift of
 * generated code, and the Rust side with its tests.
 *
 *   node scripts/check.ts              all steps
 *   node scripts/check.ts rust         only the Rust steps (or: code)
 */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { findDrift, type Generator } from './generate.ts';
import { cargo, cargoTestCounts, requireCargoTool, type Crate } from './tools/cargo.ts';
import {
  projectRoot,
  runNodeTool,
  runStep,
  type StepOutcome,
  type StepWork,
} from './tools/step.ts';
import { findForbiddenText } from './tools/trackedText.ts';

type Lane = 'code' | 'rust';

interface Check {
  readonly name: string;
  readonly work: StepWork;
}

function nodeTool(name: string, script: string, ...args: readonly string[]): Check {
  return {
    name,
    work: async (say) => {
      await runNodeTool(script, args, say);
      return undefined;
    },
  };
}

function drift(name: string, which: Generator): Check {
  return {
    name,
    work: async (say) => {
      const stale = await findDrift(which, say);
      for (const file of stale) say(`${file} is out of date: run npm run generate`);
      if (stale.length > 0) throw new Error(`${stale.length} generated files are out of date`);
      return undefined;
    },
  };
}

function cargoLint(
  name: string,
  crate: Crate,
  args: readonly ['fmt' | 'clippy', ...(readonly string[])],
): Check {
  return {
    name,
    work: async (say) => {
      await requireCargoTool(args[0]);
      await cargo(crate, args, say);
      return undefined;
    },
  };
}

const forbiddenText: Check = {
  name: 'no local paths or registries',
  work: async (say) => {
    const found = await findForbiddenText();
    found.forEach(say);
    if (found.length > 0) throw new Error(`${found.length} lines must not be committed`);
    return undefined;
  },
};

const cargoTest: Check = {
  name: 'cargo test',
  work: async (say) => {
    const lines: string[] = [];
    const keep = (line: string): void => {
      lines.push(line);
      say(line);
    };
    try {
      await cargo('guest-agent', ['test', '--locked'], keep);
    } catch (error) {
      const counts = cargoTestCounts(lines);
      if (counts.failed === 0) throw error;
      return counts;
    }
    return cargoTestCounts(lines);
  },
};

const buildInfo = path.join(projectRoot, 'out/tsc.tsbuildinfo');
const clippy = ['clippy', '--locked', '--all-targets', '--quiet', '--', '-D', 'warnings'] as const;

function withCargoTool(tool: 'fmt' | 'clippy', check: Check): Check {
  return {
    ...check,
    work: async (...given) => {
      await requireCargoTool(tool);
      return await check.work(...given);
    },
  };
}

const lanes: Readonly<Record<Lane, readonly Check[]>> = {
  code: [
    nodeTool(
      'prettier',
      'node_modules/prettier/bin/prettier.cjs',
      '--check',
      '--log-level=warn',
      '.',
    ),
    nodeTool(
      'types (tsc)',
      'node_modules/typescript/bin/tsc',
      '--incremental',
      '--tsBuildInfoFile',
      buildInfo,
    ),
    nodeTool('eslint', 'node_modules/eslint/bin/eslint.js', '--max-warnings=0', '.'),
    nodeTool('unused code (knip)', 'node_modules/knip/bin/knip.js', '--no-progress'),
    nodeTool('buf lint', 'node_modules/@bufbuild/buf/bin/buf', 'lint'),
    drift('generated: protocol', 'protocol'),
    drift('generated: manifest', 'manifest'),
    drift('generated: docs', 'docs'),
    forbiddenText,
  ],
  rust: [
    cargoLint('cargo fmt', 'guest-agent', ['fmt', '--check']),
    cargoLint('cargo fmt (codegen)', 'guest-agent/codegen', ['fmt', '--check']),
    // The generator formats what it writes, so it needs rustfmt too.
    withCargoTool('fmt', drift('generated: guest agent', 'agent')),
    cargoLint('clippy', 'guest-agent', clippy),
    cargoLint('clippy (codegen)', 'guest-agent/codegen', clippy),
    cargoTest,
  ],
};

/** Runs the lanes side by side; every step runs whatever became of the others. */
export async function runChecks(
  chosen: readonly Lane[] = ['code', 'rust'],
): Promise<StepOutcome[]> {
  await mkdir(path.join(projectRoot, 'out'), { recursive: true });
  const all = await Promise.all(
    chosen.map(async (lane) => {
      const outcomes: StepOutcome[] = [];
      for (const { name, work } of lanes[lane]) outcomes.push(await runStep(name, work));
      return outcomes;
    }),
  );
  return all.flat();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const words = process.argv.slice(2);
  const chosen = (['code', 'rust'] as const).filter(
    (lane) => words.length === 0 || words.includes(lane),
  );
  const start = performance.now();
  const outcomes = await runChecks(chosen);
  const failed = outcomes.filter(({ end }) => end === 'failed');
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(
    `\n${outcomes.length - failed.length} of ${outcomes.length} checks passed in ${seconds} s`,
  );
  for (const { name } of failed) console.log(`failed: ${name}`);
  if (failed.length > 0) process.exitCode = 1;
}
