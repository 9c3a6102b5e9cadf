/** Teams over a real database, with machines and jobs that a test moves by hand. */
import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { CoppiceError } from '../../../protocol/errors.ts';
import type { OutputOf } from '../../../protocol/operations.ts';
import type { TaskAssignment } from '../../../protocol/operations/team.ts';
import { lightly, transaction, type Database } from '../../../helper-daemon/store/database.ts';
import { teamMailStore } from '../../../helper-daemon/store/teamMailStore.ts';
import { teamStore } from '../../../helper-daemon/store/teamStore.ts';
import type {
  JobEnd,
  JobHost,
  JobHostState,
  MemberMachine,
  MemberMachines,
  NewMember,
  TeamServices,
  TeamVault,
} from '../../../helper-daemon/teams/teamServices.ts';
import { openTeams, type Teams } from '../../../helper-daemon/teams/teams.ts';
import { callerKey, type Caller } from '../../../helper-daemon/workspaces/callers.ts';

export const person: Caller = { uid: 1000, agent: null };
export const claude: Caller = { uid: 1000, agent: 'claude' };
export const codex: Caller = { uid: 1000, agent: 'codex' };

/** Workspaces that exist in a map alone. */
export interface FakeMachines extends MemberMachines {
  readonly all: Map<string, MemberMachine & { network: string | null }>;
  /** Called before each is made; what it throws is the failure. */
  beforeCreate: (member: NewMember) => Promise<void>;
  beforeDestroy: (workspaceId: string) => Promise<void>;
  quota: number;
}

function fakeMachines(): FakeMachines {
  const all: FakeMachines['all'] = new Map();
  return {
    all,
    beforeCreate: async () => undefined,
    beforeDestroy: async () => undefined,
    quota: Number.POSITIVE_INFINITY,
    resolve: (reference) => reference,
    require(_plan, _owner, count) {
      if (all.size + count <= this.quota) return;
      throw new CoppiceError({ code: 'quota_exceeded', message: 'quota exceeded' });
    },
    async create(_plan, member) {
      await this.beforeCreate(member);
      const workspaceId = randomUUID();
      all.set(workspaceId, {
        workspaceId,
        name: member.name,
        state: 'running',
        ip: null,
        owner: callerKey(member.owner),
        createdAt: new Date().toISOString(),
        network: member.network,
      });
      return workspaceId;
    },
    find: (id) => all.get(id),
    named: (name) => [...all.values()].find((one) => one.name === name),
    async destroy(id) {
      await this.beforeDestroy(id);
      all.delete(id);
    },
    async release(id) {
      const machine = all.get(id);
      if (machine !== undefined) machine.network = null;
    },
  };
}

interface FakeJob {
  readonly id: number;
  readonly workspaceId: string;
  readonly label: string;
  readonly assignment: TaskAssignment;
  readonly ended: PromiseWithResolvers<JobEnd>;
}

/** Jobs that outlive the teams of a scene, as those of machines outlive the daemon. */
export interface FakeJobs extends JobHost {
  readonly started: FakeJob[];
  state: (workspaceId: string) => JobHostState;
  /** Called before each is started; what it throws is the failure. */
  beforeStart: (job: FakeJob) => void;
  running(): FakeJob[];
  end(taskId: string, end?: Partial<JobEnd> & { readonly out?: string }): void;
}

function fakeJobs(): FakeJobs {
  const started: FakeJob[] = [];
  const over = new Set<FakeJob>();
  const removed = new Set<FakeJob>();
  const known = (id: number): FakeJob => {
    const job = started.find((one) => one.id === id && !removed.has(one));
    if (job !== undefined) return job;
    throw new CoppiceError({ code: 'not_found', message: `there is no process ${String(id)}` });
  };
  return {
    started,
    state: () => 'ready',
    beforeStart: () => undefined,
    running: () => started.filter((job) => !over.has(job) && !removed.has(job)),
    end(taskId, { out = '', ...end } = {}) {
      const job = started.find((one) => one.assignment.task_id === taskId && !over.has(one));
      if (job === undefined) throw new Error(`${taskId} does not run`);
      over.add(job);
      const bytes = Buffer.from(out);
      job.ended.resolve({
        exitCode: 0,
        timedOut: false,
        durationMs: 1000,
        stdout: { head: bytes.subarray(0, 4096), totalBytes: bytes.length },
        stderr: { head: Buffer.alloc(0), totalBytes: 0 },
        ...end,
      });
    },
    async start(workspaceId, assignment, label) {
      const job: FakeJob = {
        id: started.length + 1,
        workspaceId,
        label,
        assignment,
        ended: Promise.withResolvers<JobEnd>(),
      };
      this.beforeStart(job);
      started.push(job);
      return job.id;
    },
    async find(workspaceId, label) {
      return started.findLast((one) => one.workspaceId === workspaceId && one.label === label)?.id;
    },
    async wait(_workspaceId, jobId, signal) {
      const { promise, reject } = Promise.withResolvers<never>();
      const cancelled = new CoppiceError({ code: 'cancelled', message: 'cancelled' });
      signal.addEventListener('abort', () => reject(cancelled));
      return await Promise.race([known(jobId).ended.promise, promise]);
    },
    async remove(_workspaceId, jobId) {
      removed.add(known(jobId));
    },
  };
}

export interface Scene {
  readonly teams: Teams;
  readonly services: TeamServices;
  readonly machines: FakeMachines;
  readonly jobs: FakeJobs;
  /** Files of the vault. */
  readonly files: Map<string, string>;
  readonly folders: Set<string>;
  create(
    name: string,
    more?: Partial<Parameters<Teams['create']>[0]> & { readonly members?: readonly string[] },
    caller?: Caller,
  ): Promise<OutputOf<'team_create'>>;
  /** One message, its id. */
  send(to: string, content: string, type?: string): string;
  task(to: string, id: string, more?: Record<string, unknown>): string;
  receive(agent: string, more?: Partial<Parameters<Teams['receive']>[0]>): OutputOf<'team_receive'>;
}

type World = Pick<Scene, 'machines' | 'jobs' | 'files' | 'folders'>;

export function emptyWorld(): World {
  return { machines: fakeMachines(), jobs: fakeJobs(), files: new Map(), folders: new Set() };
}

/** Another scene over the same database and world is the next daemon. */
export function teamScene(db: Database, world: World = emptyWorld()): Scene {
  const { files, folders } = world;
  const vault: TeamVault = {
    async write(path, content) {
      files.set(path, content);
    },
    async makeFolder(path) {
      folders.add(path);
    },
    async remove(path) {
      for (const file of files.keys()) if (file.startsWith(`${path}/`)) files.delete(file);
    },
  };
  const services: TeamServices = {
    store: teamStore(db),
    mail: teamMailStore(db),
    machines: world.machines,
    jobs: world.jobs,
    vault: () => vault,
    transaction: (work) => transaction(db, work),
    lightly: (work) => lightly(db, work),
    log: pino({ level: 'silent' }),
    now: () => new Date(),
    retryMs: 5,
  };
  const teams = openTeams(services);
  const signal = new AbortController().signal;
  const team = 'squad';
  return {
    ...world,
    teams,
    services,
    create: (name, { members = ['a', 'b'], ...more } = {}, caller = claude) =>
      teams.create(
        { name, roles: members.map((member) => ({ name: member, role: 'worker' })), ...more },
        { caller, signal, progress: () => undefined },
      ),
    send: (to, content, type) =>
      teams.message(
        {
          name: team,
          agent: 'a',
          to,
          content,
          ...(type === undefined ? {} : { message_type: type }),
        },
        claude,
      ).message_id,
    task: (to, id, more = {}) =>
      teams.message(
        {
          name: team,
          agent: 'a',
          to,
          content: JSON.stringify({ task_id: id, command: 'true', ...more }),
          message_type: 'task_assignment',
        },
        claude,
      ).message_id,
    receive: (agent, more = {}) => teams.receive({ name: team, agent, ...more }, claude),
  };
}
