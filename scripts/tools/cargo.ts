/** Cargo with one target directory in the cache, so that a fresh checkout does not build everything again. */
import path from 'node:path';
import { cacheDir } from '../../helper-daemon/images/cacheDir.ts';
import { run } from '../../helper-daemon/system/run.ts';
import { findCargo } from '../../images/agent/findCargo.ts';
import { noTests, projectRoot, runTool, StepSkipped, sumCounts, type Counts } from './step.ts';

export type Crate = 'guest-agent' | 'guest-agent/codegen';

/** Runs cargo inside a crate: its .cargo/config.toml counts only there. */
export async function cargo(
  crate: Crate,
  args: readonly string[],
  say: (line: string) => void,
): Promise<void> {
  const found = await findCargo();
  await runTool(found.cargo, args, say, {
    cwd: path.join(projectRoot, crate),
    env: {
      CARGO_TARGET_DIR: path.join(cacheDir(), 'cargo-target'),
      CARGO_TERM_COLOR: 'never',
      ...(found.rustc === undefined ? {} : { RUSTC: found.rustc }),
    },
  });
}

/** Distributions package rustfmt and clippy apart from cargo, and some not at all. */
export async function requireCargoTool(tool: 'fmt' | 'clippy'): Promise<void> {
  const { cargo: program } = await findCargo();
  await run(program, [tool, '--version']).catch(() => {
    throw new StepSkipped(`cargo ${tool} is not installed`);
  });
}

/** Sums the `test result:` lines of `cargo test`. */
export function cargoTestCounts(lines: readonly string[]): Counts {
  const pattern = /^test result: .*?(\d+) passed; (\d+) failed; (\d+) ignored/;
  return sumCounts(
    lines.map((line) => {
      const match = pattern.exec(line);
      if (match === null) return noTests;
      return { passed: Number(match[1]), failed: Number(match[2]), skipped: Number(match[3]) };
    }),
  );
}
