import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  rmSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { detectCgroups, listCgroups } from '../../../helper-daemon/engine/cgroup.ts';
import { readBootAssets } from '../../../helper-daemon/images/bootAssets.ts';
import { openTestBed, type TestBed, type TestMachine } from './testMachine.ts';

const cgroupParent = `coppice-test-${String(process.pid)}`;
const account = { uid: 64_017, gid: 64_017 };
const host = detectCgroups();

describe.runIf(process.getuid?.() === 0)('a machine in system mode', () => {
  let bed: TestBed;
  let directory: string;
  let booted: TestMachine;

  beforeAll(async () => {
    bed = await openTestBed({ cgroupParent });
    // Where the machine's account can read it; a home directory is closed to it.
    directory = mkdtempSync(path.join(os.tmpdir(), 'cop-sys-'));
    const assets = await readBootAssets();
    const kernel = path.join(directory, 'vmlinux');
    const initramfs = path.join(directory, 'initramfs.cpio');
    copyFileSync(assets.vmlinux, kernel);
    copyFileSync(assets.initramfs, initramfs);
    for (const file of [kernel, initramfs]) chmodSync(file, 0o644);
    bed.openToAccounts(directory);
    booted = await bed.launch({ kernel, initramfs, runAs: account });
    await booted.link.connect(AbortSignal.timeout(60_000));
  });
  afterAll(async () => {
    await bed.dispose();
    rmSync(directory, { recursive: true, force: true });
    const roots = host.kind === 'v2' ? [host.root] : Object.values(host.controllers);
    for (const root of roots) {
      if (existsSync(path.join(root, cgroupParent))) rmdirSync(path.join(root, cgroupParent));
    }
  });

  it('runs without any privilege', () => {
    const status = readFileSync(`/proc/${String(booted.machine.identity.pid)}/status`, 'utf8');
    expect(status).toMatch(/^Uid:\s+64017\s+64017\s+64017\s+64017$/m);
    expect(status).toMatch(/^Gid:\s+64017\s+64017\s+64017\s+64017$/m);
    expect(status).toMatch(/^Groups:\s*$/m);
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
      expect(status).toMatch(new RegExp(`^${set}:\\s+0{16}$`, 'm'));
    }
    expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
    expect(status).toMatch(/^Seccomp:\s+2$/m);
  });

  it('sees nothing of the environment of the daemon', () => {
    const names = readFileSync(`/proc/${String(booted.machine.identity.pid)}/environ`, 'utf8')
      .split('\0')
      .filter((line) => line !== '')
      .map((line) => line.split('=')[0]);
    expect(names.sort()).toEqual(['LC_ALL', 'PATH']);
  });

  it.runIf(host.kind !== 'none')('is in a cgroup of its own, with limits', async () => {
    const { identity } = booted.machine;
    const cgroups = readFileSync(`/proc/${String(identity.pid)}/cgroup`, 'utf8');
    expect(cgroups).toContain(`/${cgroupParent}/vm-${identity.runId}`);
    expect(await listCgroups(host, cgroupParent)).toEqual([identity.runId]);
  });

  it('leaves nothing when it is reaped', async () => {
    const { machine, spec } = booted;
    machine.detach();
    await bed.engine.reap({ ...spec, identity: machine.identity });
    expect(existsSync(spec.runDir)).toBe(false);
    expect(await listCgroups(host, cgroupParent)).toEqual([]);
  });
});
