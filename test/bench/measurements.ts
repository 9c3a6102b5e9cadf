/** What is measured, each against its baseline. Promises: design.md, "Measured promises". */
import { readFileSync } from 'node:fs';
import type { CoppiceClient } from '../../helper-daemon/client/client.ts';
import { downloadedBytes, uploadBytes } from '../../helper-daemon/client/transfer.ts';
import { bootBare, prepareDisk, type BareMachine, type BareOptions } from './bareMachine.ts';
import { addStoppedWorkspaces, benchHome } from './benchDaemon.ts';
import { timed, type Comparison } from './samples.ts';

export interface BenchContext {
  readonly client: CoppiceClient;
  readonly bare: BareOptions;
  readonly say: (text: string) => void;
}

const mega = 1e6;

export async function measureBoot(
  { client, bare, say }: BenchContext,
  rounds: number,
): Promise<Comparison> {
  const baseline: number[] = [];
  const ours: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    say(`boot ${String(round + 1)} of ${String(rounds)}`);
    const disk = prepareDisk(bare);
    const raw = await timed(async () => {
      const machine = await bootBare(bare, disk);
      await machine.clients.process.exec({ spec: { command: 'true' } });
      return machine;
    });
    await raw.value.close();
    baseline.push(raw.ms);
    const cold = await timed(async () => {
      const machine = await client.call('workspace_create', {
        vcpus: bare.vcpus,
        memory_mb: bare.memoryMb,
        disk_gb: bare.diskGb,
      });
      await client.call('exec', { workspace_id: machine.workspace_id, command: 'true' });
      return machine;
    });
    await client.call('workspace_destroy', { workspace_id: cold.value.workspace_id });
    ours.push(cold.ms);
  }
  return {
    what: 'cold create → first exec',
    baselineName: 'QEMU + kernel + agent boot → exec',
    unit: 'ms',
    baseline,
    ours,
    promise: { kind: 'ratio at most', limit: 1.15 },
  };
}

/** A machine of each kind that stays for the measurements that need a running one. */
export interface Running {
  readonly bare: BareMachine;
  readonly workspace: string;
}

export async function measureExec(
  { client, say }: BenchContext,
  { bare, workspace }: Running,
  rounds: number,
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
  say(`exec × ${String(rounds)}`);
  for (let round = 0; round < rounds; round += 1) {
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
      promise: { kind: 'none' },
    },
    {
      what: 'channel ping',
      baselineName: '',
      unit: 'ms',
      baseline: [],
      ours: pings,
      promise: { kind: 'none' },
    },
  ];
}

export async function measureTransfer(
  { client, say }: BenchContext,
  { bare, workspace }: Running,
  bytes: number,
  rounds: number,
): Promise<Comparison[]> {
  const chunk = Buffer.alloc(256 * 1024, 0x5a);
  const rate = (ms: number): number => bytes / mega / (ms / 1000);
  const path = '/workspace/bench.bin';
  await makeHole(bare, bytes);
  const samples = {
    rawIn: [] as number[],
    rawOut: [] as number[],
    upload: [] as number[],
    download: [] as number[],
  };
  for (let round = 0; round < rounds; round += 1) {
    say(`transfer ${String(round + 1)} of ${String(rounds)}`);
    samples.rawIn.push(rate((await timed(() => writeToNowhere(bare, chunk, bytes))).ms));
    samples.upload.push(
      rate(
        (
          await timed(async () => {
            const { ticket } = await client.call('file_upload', {
              workspace_id: workspace,
              path,
              size: bytes,
            });
            await uploadBytes(await client.openStream(ticket), repeated(chunk, bytes));
          })
        ).ms,
      ),
    );
    samples.rawOut.push(rate((await timed(() => readHole(bare, bytes))).ms));
    samples.download.push(
      rate(
        (
          await timed(async () => {
            const { ticket } = await client.call('file_download', {
              workspace_id: workspace,
              path,
            });
            let seen = 0;
            for await (const part of downloadedBytes(await client.openStream(ticket))) {
              seen += part.length;
            }
            if (seen !== bytes) throw new Error(`${String(seen)} bytes came back.`);
          })
        ).ms,
      ),
    );
  }
  const size = `${String(Math.round(bytes / 1024 ** 2))} MiB`;
  return [
    {
      what: `download of ${size}`,
      baselineName: 'hole of a memory file, bare channel',
      unit: 'MB/s',
      baseline: samples.rawOut,
      ours: samples.download,
      promise: { kind: 'ratio at least', limit: 0.7 },
    },
    {
      what: `upload of ${size}`,
      baselineName: '/dev/null, bare channel',
      unit: 'MB/s',
      baseline: samples.rawIn,
      ours: samples.upload,
      promise: { kind: 'ratio at least', limit: 0.5 },
    },
  ];
}

async function* repeated(chunk: Uint8Array, bytes: number): AsyncGenerator<Uint8Array> {
  for (let sent = 0; sent < bytes; sent += chunk.length) {
    yield chunk.subarray(0, Math.min(chunk.length, bytes - sent));
  }
}

/** The agent hands the bytes to a device that forgets them: no file, no disk. */
async function writeToNowhere(
  { clients }: BareMachine,
  chunk: Uint8Array,
  bytes: number,
): Promise<void> {
  async function* input(): AsyncGenerator<{
    part: { case: 'header'; value: { path: Uint8Array } } | { case: 'data'; value: Uint8Array };
  }> {
    yield { part: { case: 'header', value: { path: Buffer.from('/dev/null') } } };
    for await (const value of repeated(chunk, bytes)) yield { part: { case: 'data', value } };
  }
  await clients.file.write(input());
}

/** A hole in a memory file: the agent reads only regular files, and this one has no content to fetch. */
const hole = '/dev/shm/hole';

async function makeHole({ clients }: BareMachine, bytes: number): Promise<void> {
  const { exited } = await clients.process.exec({
    spec: { command: `truncate -s ${String(bytes)} ${hole}` },
  });
  if (exited?.exitCode !== 0) throw new Error(`${hole} could not be made.`);
}

async function readHole({ clients }: BareMachine, bytes: number): Promise<void> {
  let seen = 0;
  for await (const { part } of clients.file.read({ path: Buffer.from(hole) })) {
    if (part.case === 'data') seen += part.value.length;
  }
  if (seen !== bytes) throw new Error(`${hole} gave ${String(seen)} bytes.`);
}

export async function measureMemory(
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
      promise: { kind: 'none' },
    },
    {
      what: 'daemon, one machine running (RSS)',
      baselineName: '',
      unit: 'MiB',
      baseline: [],
      ours: [rssOf(client.server.server.pid)],
      promise: { kind: 'at most', limit: 100 },
    },
  ];
}

/** A daemon of its own, because what it knows is put into its state before it starts. */
export async function measureKnown(
  say: (text: string) => void,
  rounds: number,
): Promise<Comparison[]> {
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
    for (let round = 0; round < rounds; round += 1) {
      times.push((await timed(() => many.call('workspace_list', {}))).ms);
    }
    await home.stop(many);
    return [
      {
        what: 'daemon, 100 workspaces known (RSS)',
        baselineName: '',
        unit: 'MiB',
        baseline: [],
        ours: [memory],
        promise: { kind: 'at most', limit: 100 },
      },
      {
        what: 'list of 1,000 workspaces',
        baselineName: '',
        unit: 'ms',
        baseline: [],
        ours: times,
        promise: { kind: 'at most', limit: 20 },
      },
    ];
  } finally {
    home.remove();
  }
}

function rssOf(pid: number): number {
  return kibOf(`/proc/${String(pid)}/status`, 'VmRSS') / 1024;
}

function pssOf(pid: number): number {
  return kibOf(`/proc/${String(pid)}/smaps_rollup`, 'Pss') / 1024;
}

function kibOf(file: string, field: string): number {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(file, 'utf8'));
  return Number(match?.[1] ?? Number.NaN);
}
