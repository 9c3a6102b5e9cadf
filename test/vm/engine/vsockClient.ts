/**
 * Runs inside a machine: talks to an agent over vsock's loopback with the daemon's own client, and prints
 * what came of it as JSON. Argument: the channel key.
 */
import { openChannel } from '../../../helper-daemon/guest/channel.ts';
import { openConnection } from '../../../helper-daemon/guest/connection.ts';

const key = Buffer.from(process.argv[2] ?? '', 'hex');
const options = { key, generation: 1n, signal: AbortSignal.timeout(60_000) };
const local = { kind: 'vsock', cid: 1, port: 5000 } as const;

async function connectWhenUp(): ReturnType<typeof openChannel> {
  for (;;) {
    try {
      return await openChannel(local, options);
    } catch (error) {
      if (options.signal.aborted) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

async function* upload(path: Buffer, data: Buffer, count: number) {
  yield { part: { case: 'header' as const, value: { path } } };
  for (let index = 0; index < count; index += 1) {
    yield { part: { case: 'data' as const, value: data } };
  }
}

const connection = await openConnection(await connectWhenUp());
const { system, process: processes, file } = connection.clients;
const pings: number[] = [];
for (let round = 0; round < 100; round += 1) {
  const started = performance.now();
  await system.ping({});
  pings.push(performance.now() - started);
}
const run = await processes.exec({ spec: { argv: ['/bin/echo', 'over vsock'] } });
const path = Buffer.from('/dev/shm/upload');
const data = Buffer.alloc(256 * 1024, 7);
const { bytes } = await file.write(upload(path, data, 64));
let received = 0;
for await (const { part } of file.read({ path })) {
  if (part.case === 'data') received += part.value.length;
}
const refused = await openChannel({ ...local, port: 5999 }, options).then(
  () => 'connected',
  (error: unknown) => (error as Error).message,
);
connection.close('done');
const again = await openConnection(await openChannel(local, options));
await again.clients.system.ping({});
again.close('done');
console.log(
  JSON.stringify({
    bootId: connection.answer.bootId,
    echo: Buffer.from(run.stdout?.head ?? []).toString(),
    uploaded: Number(bytes),
    received,
    refused,
    medianPingMs: pings.toSorted((a, b) => a - b)[50],
  }),
);
