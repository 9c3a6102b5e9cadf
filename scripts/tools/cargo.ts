/** Cargo with one target directory in the cache, so that a fresh checkout does not build everything again. */
import path from 'node:path';
import { cacheDir } from '../../helper-daemon/images/cacheDir.ts';
import { noTests, projectRoot, runTool, sumCounts, type Counts } from './step.ts';

export const crates = ['guest-agent', 'guest-agent/codegen'] as const;
export type Crate = (typeof crates)[number];

/** Runs cargo inside a crate: its .cargo/config.toml counts only there. */
export async function cargo(
  crate: Crate,
  args: readonly string[],
  say: (line: string) => void,
): Promise<void> {
  await runTool('cargo', args, say, {
    cwd: path.join(projectRoot, crate),
    env: { CARGO_TARGET_DIR: path.join(cacheDir(), 'cargo-target'), CARGO_TERM_COLOR: 'never' },
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
