import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync, existsSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  createCgroup,
  detectCgroups,
  enterCgroup,
  listCgroups,
} from '../../../helper-daemon/engine/cgroup.ts';

const limits = { memoryBytes: 1_000_000_000, cpus: 1.5, pids: 300 };

/** Plain files in place of the kernel's: what is written where is all that matters here. */
describe('cgroups', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(path.join(os.tmpdir(), 'coppice-cgroup-'));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  const read = (...parts: string[]): string => readFileSync(path.join(root, ...parts), 'utf8');

  it('uses the unified tree where it has the controllers', () => {
    writeFileSync(path.join(root, 'cgroup.controllers'), 'cpuset cpu io memory pids\n');
    const host = detectCgroups(root);
    expect(host.kind).toBe('v2');
    createCgroup(host, 'coppice', 'r1', limits);
    expect(read('cgroup.subtree_control')).toBe('+memory +cpu +pids');
    expect(read('coppice', 'cgroup.subtree_control')).toBe('+memory +cpu +pids');
    expect(read('coppice/vm-r1/memory.max')).toBe('1000000000');
    expect(read('coppice/vm-r1/cpu.max')).toBe('150000 100000');
    expect(read('coppice/vm-r1/pids.max')).toBe('300');
    enterCgroup(host, 'coppice', 'r1', 4711);
    expect(read('coppice/vm-r1/cgroup.procs')).toBe('4711');
  });

  it('uses one tree per controller where they are on v1', async () => {
    writeFileSync(path.join(root, 'cgroup.controllers'), '');
    for (const name of ['memory', 'pids']) {
      mkdirSync(path.join(root, name));
      writeFileSync(path.join(root, name, 'cgroup.procs'), '');
    }
    const host = detectCgroups(root);
    expect(host.kind).toBe('v1');
    createCgroup(host, 'coppice', 'r1', limits);
    expect(read('memory/coppice/vm-r1/memory.limit_in_bytes')).toBe('1000000000');
    expect(read('pids/coppice/vm-r1/pids.max')).toBe('300');
    expect(existsSync(path.join(root, 'cpu'))).toBe(false);
    enterCgroup(host, 'coppice', 'r1', 4711);
    expect(read('pids/coppice/vm-r1/cgroup.procs')).toBe('4711');
    expect(await listCgroups(host, 'coppice')).toEqual(['r1']);
  });

  it('does without where there are none', () => {
    const host = detectCgroups(root);
    expect(host.kind).toBe('none');
    createCgroup(host, 'coppice', 'r1', limits);
    enterCgroup(host, 'coppice', 'r1', 1);
  });
});
