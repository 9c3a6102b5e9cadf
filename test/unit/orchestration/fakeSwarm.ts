/** A swarm's host whose machines are a few lines of memory; its rows and files are real. */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { CoppiceError } from '../../../protocol/errors.ts';
import { swarmStart } from '../../../protocol/operations/swarm.ts';
import type { Guest, JobEnd, OutputSink } from '../../../helper-daemon/orchestration/guest.ts';
import type {
  Merge,
  MergeRequest,
  SwarmHost,
} from '../../../helper-daemon/orchestration/swarm/host.ts';
import type { SwarmInput } from '../../../helper-daemon/orchestration/swarm/plan.ts';
import { openDatabase, transaction } from '../../../helper-daemon/store/database.ts';
import { swarmStore, type SwarmStore } from '../../../helper-daemon/store/orchestrationStore.ts';
import type { SnapshotRecord } from '../../../helper-daemon/store/treeStore.ts';
import type { WorkspaceRecord } from '../../../helper-daemon/store/workspaceStore.ts';

export interface FakeJob {
  readonly command: string;
  readonly env: Readonly<Record<string, string>>;
  readonly label: string;
  stdout: string;
  end: JobEnd | undefined;
  killed: boolean;
}

export interface FakeWorld {
  readonly host: SwarmHost;
  readonly rows: SwarmStore;
  /** By id; the golden one is among them. */
  readonly workspaces: Map<string, WorkspaceRecord>;
  readonly jobs: Map<string, FakeJob>;
  readonly vars: Map<string, Readonly<Record<string, string>>>;
  readonly files: Map<string, string>;
  readonly merges: MergeRequest[];
  readonly warnings: string[];
  /** Most workers there were at a time. */
  peak(): number;
  /** What the next calls do; each may throw. */
  readonly on: {
    fork: (name: string) => void | Promise<void>;
    setEnv: (id: string) => void;
    destroy: (id: string) => void;
    merge: (request: MergeRequest) => Awaited<ReturnType<Merge>> | Promise<never>;
    /** Called before a job's output is read. */
    follow: (id: string) => void | Promise<void>;
    quota: (count: number) => void;
  };
  /** A host with the same rows, machines and files: as after a restart of the daemon. */
  restarted(): SwarmHost;
  remove(): void;
}

/** A command `say x` prints it, `exit n` ends with it, `wait` never ends. */
function started(command: string, env: Readonly<Record<string, string>>, label: string): FakeJob {
  const [verb, value = ''] = command.split(' ');
  const stdout = verb === 'say' ? `${value}\n` : '';
  const exitCode = verb === 'exit' ? Number(value) : 0;
  const end =
    verb === 'wait'
      ? undefined
      : { exitCode, signal: null, timedOut: false, stdoutBytes: stdout.length, stderrBytes: 0 };
  return { command, env, label, stdout, end, killed: false };
}

export function fakeWorld(): FakeWorld {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'cop-swarm-'));
  const db = openDatabase(path.join(directory, 'test.db'));
  const rows = swarmStore(db);
  const workspaces = new Map<string, WorkspaceRecord>();
  const jobs = new Map<string, FakeJob>();
  const vars = new Map<string, Readonly<Record<string, string>>>();
  const files = new Map<string, string>();
  const merges: MergeRequest[] = [];
  const warnings: string[] = [];
  let peak = 0;
  let next = 1;
  const on: FakeWorld['on'] = {
    fork: () => undefined,
    setEnv: () => undefined,
    destroy: () => undefined,
    merge: () => ({ reply: { success: true }, unmerged: [] }),
    follow: () => undefined,
    quota: () => undefined,
  };
  const golden = workspace('golden-id', 'gold', null);
  workspaces.set(golden.id, golden);

  function requireMachine(id: string): void {
    if (workspaces.has(id)) return;
    throw new CoppiceError({ code: 'not_found', message: `no machine ${id}` });
  }

  const guest: Guest = {
    run: () => Promise.resolve({ exitCode: 0, timedOut: false, stdout: '', stderr: '' }),
    setEnv: async (id, given) => {
      await Promise.resolve();
      on.setEnv(id);
      vars.set(id, given);
    },
    writeText: async (id, file, text) => {
      await Promise.resolve();
      files.set(`${id}:${file}`, text);
    },
    sync: () => Promise.resolve(),
    startJob: async (id, { command, env, label }) => {
      await Promise.resolve();
      requireMachine(id);
      jobs.set(id, started(command, env, label));
      return 1;
    },
    findJob: async (id, label) => {
      await Promise.resolve();
      return jobs.get(id)?.label === label ? 1 : undefined;
    },
    follow: async (id, _job, sink, signal) => {
      await on.follow(id);
      requireMachine(id);
      return await read(jobs.get(id), sink, signal);
    },
    lastOutput: () => Promise.resolve({ stdout: new Uint8Array(), stderr: new Uint8Array() }),
    killJob: async (id) => {
      await Promise.resolve();
      const job = jobs.get(id);
      if (job !== undefined) job.killed = true;
    },
    download: () =>
      Promise.reject(
        new CoppiceError({ code: 'file_not_found', message: 'there is no such file' }),
      ),
  };

  function hostNow(): SwarmHost {
    return {
      rows,
      guest,
      merge: async (request) => {
        await Promise.resolve();
        merges.push(request);
        return on.merge(request);
      },
      vault: () => ({
        search: (query) =>
          Promise.resolve([{ path: 'notes/a.md', line: 3, context: `about ${query}` }]),
        read: (note) => Promise.reject(new Error(`no note ${note}`)),
      }),
      directory: path.join(directory, 'swarms'),
      sharedWithUser: false,
      now: () => new Date(),
      transaction: (work) => transaction(db, work),
      warn: (message) => warnings.push(message),
      resolve(reference) {
        const found = [...workspaces.values()].find(
          ({ id, name }) => id === reference || name === reference,
        );
        if (found !== undefined) return found;
        throw new CoppiceError({ code: 'not_found', message: `There is no ${reference}.` });
      },
      workspace: (id) => workspaces.get(id),
      named: (name) => [...workspaces.values()].find((one) => one.name === name),
      findSnapshot: () =>
        Promise.resolve({ id: 'snapshot-id', name: 'golden', memoryId: 'm' } as SnapshotRecord),
      requireQuota: (_golden, _owner, count) => on.quota(count),
      requireDisk: () => Promise.resolve(),
      async fork({ name, owner, signal }) {
        await on.fork(name);
        signal.throwIfAborted();
        const id = `worker-${String((next += 1))}`;
        workspaces.set(id, workspace(id, name, owner));
        peak = Math.max(peak, workspaces.size - 1);
        return id;
      },
      allowInternet: () => Promise.resolve(),
      async destroy(id) {
        await Promise.resolve();
        on.destroy(id);
        workspaces.delete(id);
      },
      use: () => () => undefined,
    };
  }

  return {
    host: hostNow(),
    rows,
    workspaces,
    jobs,
    vars,
    files,
    merges,
    warnings,
    peak: () => peak,
    on,
    restarted: hostNow,
    remove() {
      db.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function read(
  job: FakeJob | undefined,
  sink: OutputSink,
  signal: AbortSignal,
): Promise<JobEnd> {
  if (job === undefined) throw new CoppiceError({ code: 'not_found', message: 'no such job' });
  const from = sink.next('stdout');
  if (from < job.stdout.length) {
    await sink.write('stdout', from, Buffer.from(job.stdout.slice(from)));
  }
  while (job.end === undefined) {
    signal.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return job.end;
}

function workspace(id: string, name: string, owner: string | null): WorkspaceRecord {
  return {
    id,
    name,
    owner,
    role: 'user',
    state: 'running',
    createdAt: new Date().toISOString(),
    forkedFrom: owner === null ? null : { snapshot_id: 'snapshot-id' },
  } as WorkspaceRecord;
}

/** Input as it comes from a caller. */
export function swarmOf(input: Partial<SwarmInput> & Pick<SwarmInput, 'tasks'>): SwarmInput {
  return swarmStart.input.parse({ golden_workspace: 'gold', ...input });
}
