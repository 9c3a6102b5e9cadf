import { spawnSync } from 'node:child_process';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readSync,
  rmdirSync,
  rmSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { detectCgroups } from '../../../helper-daemon/engine/cgroup.ts';
import { mapMemory } from '../../../helper-daemon/engine/memory/libc.ts';
import { SealedMemory } from '../../../helper-daemon/engine/memory/memoryImage.ts';
import { readBootAssets } from '../../../helper-daemon/images/bootAssets.ts';
import { cloneOf } from './family.ts';
import { openTestBed, type TestBed, type TestMachine } from './testMachine.ts';

const cgroupParent = `coppice-seal-${String(process.pid)}`;
const host = detectCgroups();
const memoryMb = 128;
const other = [
  '--reuid=64018',
  '--regid=64018',
  '--clear-groups',
  '--no-new-privs',
  '--bounding-set=-all',
  '--inh-caps=-all',
];

/** Everything a process could do to a file it holds; none of it may work. */
const attacks: Readonly<Record<string, readonly string[]>> = {
  'writing to what it inherited': ['sh', '-c', 'printf x >&3'],
  'writing to it opened anew': [
    'dd',
    'if=/dev/zero',
    'of=/proc/self/fd/3',
    'conv=notrunc',
    'bs=4096',
    'count=1',
  ],
  'punching a hole': ['fallocate', '--punch-hole', '-o', '0', '-l', '1048576', '/proc/self/fd/3'],
  'zeroing a range': ['fallocate', '--zero-range', '-o', '0', '-l', '1048576', '/proc/self/fd/3'],
  'cutting it': ['truncate', '-s', '0', '/proc/self/fd/3'],
  'growing it': ['truncate', '-s', '1G', '/proc/self/fd/3'],
};

describe.runIf(process.getuid?.() === 0)('memory that machines of several accounts share', () => {
  let bed: TestBed;
  let directory: string;
  let source: TestMachine;
  let image: SealedMemory;

  beforeAll(async () => {
    bed = await openTestBed({ cgroupParent });
    directory = mkdtempSync(path.join(os.tmpdir(), 'cop-seal-'));
    const assets = await readBootAssets();
    const kernel = path.join(directory, 'vmlinux');
    const initramfs = path.join(directory, 'initramfs.cpio');
    copyFileSync(assets.vmlinux, kernel);
    copyFileSync(assets.initramfs, initramfs);
    for (const file of [kernel, initramfs]) chmodSync(file, 0o644);
    bed.openToAccounts(directory);
    source = await bed.launch({
      kernel,
      initramfs,
      memoryMb,
      runAs: { uid: 64_017, gid: 64_017 },
      kernelParameters: {
        'coppice.key': randomBytes(32).toString('hex'),
        'coppice.generation': '1',
      },
    });
    await source.link.connect(AbortSignal.timeout(60_000));
    const { memory } = await source.machine.capture({ memory: { id: randomUUID() } });
    if (!(memory instanceof SealedMemory)) throw new Error('not an image');
    image = memory;
  });
  afterAll(async () => {
    image.release();
    await bed.dispose();
    rmSync(directory, { recursive: true, force: true });
    const roots = host.kind === 'v2' ? [host.root] : Object.values(host.controllers);
    for (const root of roots) {
      if (existsSync(path.join(root, cgroupParent))) rmdirSync(path.join(root, cgroupParent));
    }
  });

  /** Of every byte, also of those that were zero. */
  function content(): string {
    const files = image.open();
    const hash = createHash('sha256');
    const buffer = Buffer.alloc(1 << 20);
    for (let at = 0; at < memoryMb * 2 ** 20; at += buffer.length) {
      hash.update(buffer.subarray(0, readSync(files.ram, buffer, 0, buffer.length, at)));
    }
    files.close();
    return hash.digest('hex');
  }

  it.each(Object.entries(attacks))('withstands %s', (_, command) => {
    const before = content();
    const files = image.open();
    const stdio = ['ignore', 'pipe', 'pipe', files.ram] as const;
    for (const words of [command, ['setpriv', ...other, '--', ...command]]) {
      const [program = '', ...args] = words;
      const attempt = spawnSync(program, args, { stdio: [...stdio], encoding: 'utf8' });
      expect(attempt.status, attempt.stderr).not.toBe(0);
      expect(attempt.stderr).toMatch(/not permitted|not supported|ermission denied|I\/O error/);
    }
    files.close();
    expect(content()).toBe(before);
  });

  it('cannot be mapped for writing by anybody', () => {
    const files = image.open();
    expect(() => mapMemory(files.ram, 4096, true)).toThrow('EPERM');
    files.close();
  });

  it('is what machines of other accounts start from, and stays as it is when they run hard', async () => {
    const before = content();
    const clones = await Promise.all(
      [2, 3].map((generation) =>
        cloneOf(bed, source, image, generation, {
          runAs: { uid: 64_016 + generation, gid: 64_018 },
        }),
      ),
    );
    for (const { machine, link } of clones) {
      const status = readFileSync(`/proc/${String(machine.identity.pid)}/status`, 'utf8');
      expect(status).toMatch(/^Uid:\s+6401[89]\s/m);
      const { process } = await link.clients();
      const runs = Array.from({ length: 5 }, () =>
        process.exec({ spec: { argv: ['/init', '--version'] } }),
      );
      for (const run of await Promise.all(runs)) expect(run.exited?.exitCode).toBe(0);
    }
    expect(content()).toBe(before);
    const [first] = clones;
    const captured = await first?.machine.capture({ memory: { id: randomUUID() } });
    expect(captured?.memory?.residentBytes).toBeGreaterThan(1_000_000);
    captured?.memory?.release();
    expect(content()).toBe(before);
    for (const { machine } of clones) await machine.powerOff();
  });
});
