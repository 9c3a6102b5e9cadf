/**
 * A cgroup per machine, on cgroup v2, v1 or the mix of both. The name follows from the run, so recovery
 * can remove what an earlier daemon left.
 */
import fs from 'node:fs';
import fsp from 'node:fs/promises';
import path from 'node:path';

export interface CgroupLimits {
  readonly memoryBytes: number;
  readonly cpus: number;
  readonly pids: number;
}

export interface CgroupHost {
  readonly root: string;
  readonly kind: 'v2' | 'v1' | 'none';
  /** v1: mount point by controller. */
  readonly controllers: Readonly<Record<string, string>>;
}

const wanted = ['memory', 'cpu', 'pids'] as const;
const period = 100_000;

/** Looks at what is mounted. A v2 tree without controllers (hybrid) does not count as v2. */
export function detectCgroups(root = '/sys/fs/cgroup'): CgroupHost {
  const unified = readWords(path.join(root, 'cgroup.controllers'));
  if (wanted.every((name) => unified.includes(name))) return { root, kind: 'v2', controllers: {} };
  const controllers: Record<string, string> = {};
  for (const name of wanted) {
    const mount = path.join(root, name);
    if (fs.existsSync(path.join(mount, 'cgroup.procs'))) controllers[name] = mount;
  }
  return { root, kind: Object.keys(controllers).length > 0 ? 'v1' : 'none', controllers };
}

/** Directories that make up one machine's cgroup. */
function directories(host: CgroupHost, parent: string, runId: string): string[] {
  const name = path.join(parent, `vm-${runId}`);
  if (host.kind === 'v2') return [path.join(host.root, name)];
  return Object.values(host.controllers).map((mount) => path.join(mount, name));
}

/** Makes the cgroup with its limits. Whatever exists is used: creating it twice is no error. */
export function createCgroup(
  host: CgroupHost,
  parent: string,
  runId: string,
  limits: CgroupLimits,
): void {
  if (host.kind === 'v2') enableControllers(host.root, parent);
  for (const dir of directories(host, parent, runId)) fs.mkdirSync(dir, { recursive: true });
  const quota = String(Math.max(1000, Math.round(limits.cpus * period)));
  if (host.kind === 'v2') {
    const dir = path.join(host.root, parent, `vm-${runId}`);
    fs.writeFileSync(path.join(dir, 'memory.max'), String(limits.memoryBytes));
    fs.writeFileSync(path.join(dir, 'cpu.max'), `${quota} ${String(period)}`);
    fs.writeFileSync(path.join(dir, 'pids.max'), String(limits.pids));
    return;
  }
  const { memory, cpu, pids } = host.controllers;
  const inside = (mount: string, file: string): string =>
    path.join(mount, parent, `vm-${runId}`, file);
  if (memory !== undefined) {
    fs.writeFileSync(inside(memory, 'memory.limit_in_bytes'), String(limits.memoryBytes));
  }
  if (cpu !== undefined && fs.existsSync(inside(cpu, 'cpu.cfs_quota_us'))) {
    fs.writeFileSync(inside(cpu, 'cpu.cfs_period_us'), String(period));
    fs.writeFileSync(inside(cpu, 'cpu.cfs_quota_us'), quota);
  }
  if (pids !== undefined) fs.writeFileSync(inside(pids, 'pids.max'), String(limits.pids));
}

/**
 * Moves a process in. Called in the same tick as the spawn: the program is then still being loaded, so
 * all it ever allocates is charged here, and no shell is needed in between.
 */
export function enterCgroup(host: CgroupHost, parent: string, runId: string, pid: number): void {
  for (const dir of directories(host, parent, runId)) {
    fs.writeFileSync(path.join(dir, 'cgroup.procs'), String(pid));
  }
}

/** Removes it once its last process is gone; the kernel may take a moment to notice. */
export async function removeCgroup(
  host: CgroupHost,
  parent: string,
  runId: string,
  timeoutMs = 5_000,
): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  let left = directories(host, parent, runId);
  for (let pause = 1; ; pause = Math.min(pause * 2, 100)) {
    left = left.filter((dir) => !removeDirectory(dir));
    if (left.length === 0) return true;
    if (performance.now() >= deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

/** Run ids that have a cgroup below `parent`, for recovery. */
export async function listCgroups(host: CgroupHost, parent: string): Promise<string[]> {
  const roots = host.kind === 'v2' ? [host.root] : Object.values(host.controllers);
  const found = new Set<string>();
  for (const root of roots) {
    const names = await fsp.readdir(path.join(root, parent)).catch(() => []);
    for (const name of names) if (name.startsWith('vm-')) found.add(name.slice(3));
  }
  return [...found];
}

function removeDirectory(dir: string): boolean {
  try {
    fs.rmdirSync(dir);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}

/** On v2 a controller reaches a cgroup only when every ancestor passes it on. */
function enableControllers(root: string, parent: string): void {
  let dir = root;
  for (const part of ['', ...parent.split('/').filter((word) => word !== '')]) {
    dir = path.join(dir, part);
    fs.mkdirSync(dir, { recursive: true });
    const enabled = readWords(path.join(dir, 'cgroup.subtree_control'));
    const missing = wanted.filter((name) => !enabled.includes(name));
    if (missing.length === 0) continue;
    fs.writeFileSync(
      path.join(dir, 'cgroup.subtree_control'),
      missing.map((name) => `+${name}`).join(' '),
    );
  }
}

function readWords(file: string): string[] {
  try {
    return fs.readFileSync(file, 'utf8').trim().split(/\s+/);
  } catch {
    return [];
  }
}
