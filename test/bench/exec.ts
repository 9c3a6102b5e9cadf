/** What one command and one idle machine cost, beside the same over a bare channel. */
import type { BenchContext } from './context.ts';
import { pssOf, rssOf } from './processMemory.ts';
import { withRunning, type Running } from './running.ts';
import { alone, noPromise, timed, type Comparison, type Measured } from './samples.ts';

export async function measureExec(context: BenchContext): Promise<Measured> {
  return await withRunning(context, async (running) => {
    const memory = await measureMemory(context, running);
    return { comparisons: [...(await measureCommands(context, running)), ...memory] };
  });
}

async function measureCommands(
  { client, say, rounds }: BenchContext,
  { bare, workspace }: Running,
): Promise<Comparison[]> {
  const inGuestPlusPing: number[] = [];
  const ours: number[] = [];
  const pings: number[] = [];
  const rawExec: number[] = [];
  const call = { workspace_id: workspace, command: 'true' };
  for (let warm = 0; warm < 5; warm += 1) {
    await client.call('exec', call);
    await bare.clients.system.ping({});
    await bare.clients.process.exec({ spec: { command: 'true' } });
  }
  say(`exec × ${String(rounds.exec)}`);
  for (let round = 0; round < rounds.exec; round += 1) {
    const ping = await timed(() => bare.clients.system.ping({}));
    const raw = await timed(() => bare.clients.process.exec({ spec: { command: 'true' } }));
    const exec = await timed(() => client.call('exec', call));
    pings.push(ping.ms);
    rawExec.push(raw.ms);
    ours.push(exec.ms);
    inGuestPlusPing.push(exec.value.duration_ms + ping.ms);
  }
  return [
    {
      what: 'exec of true',
      baselineName: 'same command in the guest + channel ping',
      unit: 'ms',
      baseline: inGuestPlusPing,
      ours,
      promise: { kind: 'ratio at most', limit: 1.25 },
    },
    {
      what: 'exec of true',
      baselineName: 'exec over the bare channel',
      unit: 'ms',
      baseline: rawExec,
      ours,
      promise: noPromise,
    },
    alone('channel ping', 'ms', pings),
  ];
}

async function measureMemory(
  { client }: BenchContext,
  { bare, workspace }: Running,
): Promise<Comparison[]> {
  const { pid } = await client.call('workspace_info', { workspace_id: workspace });
  return [
    {
      what: 'memory of a machine (PSS of QEMU)',
      baselineName: 'the same, bare',
      unit: 'MiB',
      baseline: [pssOf(bare.pid)],
      ours: [pssOf(pid ?? 0)],
      promise: noPromise,
    },
    alone('daemon, one machine running (RSS)', 'MiB', [rssOf(client.server.server.pid)], {
      kind: 'at most',
      limit: 100,
    }),
  ];
}
