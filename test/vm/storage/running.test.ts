/** Overlays of the qcow2 storage under a QEMU that is running. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { BaseImage, StorageBackend } from '../../../helper-daemon/storage/backend.ts';
import { qcow2Storage } from '../../../helper-daemon/storage/qcow2.ts';
import { diskBytes, expectBytes, makeImage, mib } from './disks.ts';

const running = new Set<ChildProcess>();
let state: string;
let storage: StorageBackend;
let image: BaseImage;
beforeEach(async () => {
  state = await mkdtemp(path.join(os.tmpdir(), 'coppice-running-'));
  await mkdir(path.join(state, 'images'));
  storage = qcow2Storage({ state });
  image = await makeImage(path.join(state, 'images'));
});
afterEach(async () => {
  for (const child of running) {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
  running.clear();
  await rm(state, { recursive: true, force: true });
});

/** A QEMU without a machine: only its disks and its monitor. */
async function openQemu(disk: string): Promise<{
  call(execute: string, args?: object): Promise<unknown>;
  io(node: string, command: string): Promise<void>;
  quit(): Promise<void>;
}> {
  const child = spawn(
    'qemu-system-x86_64',
    [
      ...['-M', 'none', '-S', '-nodefaults', '-display', 'none', '-qmp', 'stdio'],
      ...['-blockdev', JSON.stringify(blockdev('disk0', disk))],
    ],
    { stdio: ['pipe', 'pipe', 'ignore'] },
  );
  running.add(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  // What qemu-io prints comes among the answers, or at the end.
  const printed: string[] = [];
  const call = async (execute: string, args: object = {}): Promise<unknown> => {
    child.stdin.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    for (;;) {
      const { value, done } = await lines.next();
      if (done === true) throw new Error('QEMU ended');
      if (!value.startsWith('{')) {
        printed.push(value);
        continue;
      }
      const answer = JSON.parse(value) as { return?: unknown; error?: { desc: string } };
      if (answer.error !== undefined) throw new Error(answer.error.desc);
      if ('return' in answer) return answer.return;
    }
  };
  await call('qmp_capabilities');
  return {
    call,
    async io(node, command) {
      const line = `qemu-io ${node} "${command}"`;
      await call('human-monitor-command', { 'command-line': line });
    },
    async quit() {
      await call('quit');
      for await (const line of { [Symbol.asyncIterator]: () => lines }) printed.push(line);
      const text = printed.filter((line) => !line.startsWith('{')).join('\n');
      expect(text).toMatch(/(?:wrote|read) \d+\/\d+ bytes/);
      expect(text).not.toMatch(/failed|error/i);
    },
  };
}

function blockdev(node: string, filename: string, backing?: null): object {
  return {
    ...{ driver: 'qcow2', 'node-name': node, file: { driver: 'file', filename } },
    ...(backing === null ? { backing } : {}),
  };
}

it('a running machine moves to the next head, and layers below it are merged and deleted meanwhile', async () => {
  const head = await storage.createHead({ id: randomUUID(), base: image, sizeBytes: diskBytes });
  const qemu = await openQemu((await storage.disk(head)).path);
  const layers: string[] = [];
  let at = head;
  for (let step = 0; step < 3; step += 1) {
    await qemu.io(`disk${String(step)}`, `write -P ${String(0x20 + step)} ${String(step)}M 1M`);
    const ids = { layerId: randomUUID(), nextHeadId: randomUUID() };
    const prepared = await storage.prepareFreeze({ head: at, ...ids });
    const next = `disk${String(step + 1)}`;
    await qemu.call('blockdev-add', blockdev(next, prepared.switchTo?.path ?? '', null));
    await qemu.call('blockdev-snapshot', { node: `disk${String(step)}`, overlay: next });
    await prepared.commit();
    await prepared.settle();
    layers.push(prepared.layer);
    at = prepared.nextHead;
  }
  const [first, second, third] = layers as [string, string, string];
  await storage.chains?.merge(second, image);
  await storage.deleteLayer(first);
  await storage.chains?.merge(third, image);
  await storage.deleteLayer(second);
  await qemu.io('disk3', 'write -P 0x33 8M 1M');
  // It still reads what was merged and deleted under it.
  for (let step = 0; step < 3; step += 1) {
    await qemu.io('disk3', `read -P ${String(0x20 + step)} ${String(step)}M 1M`);
  }
  await qemu.quit();
  expect(await storage.chains?.depth(at)).toBe(1);
  for (let step = 0; step < 3; step += 1) {
    await expectBytes(storage, at, 0x20 + step, step * mib, mib);
  }
  await expectBytes(storage, at, 0x33, 8 * mib, mib);
  expect(await storage.check(at)).toEqual([]);
  expect(await storage.check(third)).toEqual([]);
});

it('a disk that a machine has open is neither flattened nor grown', async () => {
  const head = await storage.createHead({ id: randomUUID(), base: image, sizeBytes: diskBytes });
  const prepared = await storage.prepareFreeze({
    ...{ head, layerId: randomUUID() },
    nextHeadId: randomUUID(),
  });
  await prepared.commit();
  await prepared.settle();
  const next = prepared.nextHead;
  const qemu = await openQemu((await storage.disk(next)).path);
  await qemu.io('disk0', 'write -P 0x44 0 1M');
  await expect(storage.chains?.pull(next, image)).rejects.toThrow(/lock/);
  await expect(storage.growHead(next, diskBytes * 2)).rejects.toThrow(/lock/);
  await qemu.quit();
  await storage.chains?.pull(next, image);
  await expectBytes(storage, next, 0x44, 0, mib);
});
