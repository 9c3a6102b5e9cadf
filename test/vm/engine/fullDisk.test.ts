import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { MachineEvent } from '../../../helper-daemon/engine/machine.ts';
import { buildHostileGuest, type HostileGuest } from './hostileGuest.ts';
import { openTestBed, type TestBed } from './testMachine.ts';

const writer: HostileGuest | undefined = process.getuid?.() === 0 ? buildHostileGuest() : undefined;

describe.runIf(writer !== undefined)('a full disk on the host', () => {
  let bed: TestBed;
  let mount: string;
  beforeAll(async () => {
    bed = await openTestBed();
    mount = mkdtempSync(path.join(os.tmpdir(), 'coppice-full-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'coppice-test', mount]);
  });
  afterAll(async () => {
    await bed.dispose();
    execFileSync('umount', [mount]);
    rmSync(mount, { recursive: true, force: true });
    writer?.dispose();
  });

  it('stops the machine, also for the next daemon, until there is space again', async () => {
    const disk = path.join(mount, 'disk.qcow2');
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', disk, '64M']);
    const { machine, spec } = await bed.launch({
      initramfs: writer?.initramfs ?? '',
      disk: { path: disk, format: 'qcow2' },
      kernelParameters: { 'coppice.test': 'fill' },
    });
    const events: MachineEvent[] = [];
    machine.watch((event) => events.push(event));
    await expect.poll(() => machine.blocked(), { timeout: 60_000 }).toBe('host_disk_full');
    expect(events).toEqual([{ type: 'blocked', block: 'host_disk_full' }]);
    expect(await machine.console()).not.toContain('disk written');

    // It tries again on its own; as long as that fails, nobody is told.
    await new Promise((resolve) => setTimeout(resolve, 6_000));
    expect(events).toHaveLength(1);

    machine.detach();
    const adopted = await bed.engine.adopt({ ...spec, identity: machine.identity });
    expect(adopted?.blocked()).toBe('host_disk_full');

    execFileSync('mount', ['-o', 'remount,size=64m', mount]);
    await expect.poll(() => adopted?.blocked(), { timeout: 60_000 }).toBeUndefined();
    await expect.poll(() => adopted?.console(), { timeout: 60_000 }).toContain('disk written');
    await adopted?.powerOff();
  });
});
