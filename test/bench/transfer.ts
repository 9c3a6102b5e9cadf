/** Bytes in and out of a machine, beside the bare channel. */
import { downloadedBytes, uploadBytes } from '../../helper-daemon/client/transfer.ts';
import type { BareMachine } from './bareMachine.ts';
import type { BenchContext } from './context.ts';
import { withRunning, type Running } from './running.ts';
import { timed, type Comparison, type Measured } from './samples.ts';

const mega = 1e6;

export async function measureTransfer(context: BenchContext): Promise<Measured> {
  return await withRunning(context, async (running) => ({
    comparisons: await transferBothWays(context, running),
  }));
}

async function transferBothWays(
  { client, say, rounds }: BenchContext,
  { bare, workspace }: Running,
): Promise<Comparison[]> {
  const bytes = rounds.transferBytes;
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
  for (let round = 0; round < rounds.transfer; round += 1) {
    say(`transfer ${String(round + 1)} of ${String(rounds.transfer)}`);
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
