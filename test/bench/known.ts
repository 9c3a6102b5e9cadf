/** What it costs the daemon to know many workspaces. */
import type { BenchContext } from './context.ts';
import { addStoppedWorkspaces, benchHome } from './benchDaemon.ts';
import { rssOf } from './processMemory.ts';
import { alone, timed, type Measured } from './samples.ts';

/** A daemon of its own, because what it knows is put into its state before it starts. */
export async function measureKnown({
  rounds,
  say,
}: Pick<BenchContext, 'rounds' | 'say'>): Promise<Measured> {
  const home = benchHome();
  try {
    const first = await home.connect();
    await home.stop(first);
    say('100 workspaces known');
    addStoppedWorkspaces(home, 100);
    const few = await home.connect();
    await few.call('workspace_list', {});
    const memory = rssOf(few.server.server.pid);
    await home.stop(few);
    say('1,000 workspaces known');
    addStoppedWorkspaces(home, 900);
    const many = await home.connect();
    const times: number[] = [];
    for (let round = 0; round < rounds.list; round += 1) {
      const { ms, value } = await timed(() => many.call('workspace_list', {}));
      if (value.length !== 1000) throw new Error(`${String(value.length)} workspaces are known`);
      times.push(ms);
    }
    await home.stop(many);
    return {
      comparisons: [
        alone('daemon, 100 workspaces known (RSS)', 'MiB', [memory], {
          kind: 'at most',
          limit: 100,
        }),
        alone('list of 1,000 workspaces', 'ms', times, { kind: 'at most', limit: 20 }),
      ],
    };
  } finally {
    await home.remove();
  }
}
