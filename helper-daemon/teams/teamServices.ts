/** What the logic of teams works with; put together once by the daemon. */
import type { TaskAssignment } from '../../protocol/operations/team.ts';
import type { WorkspaceState } from '../../protocol/operations/workspaceModel.ts';
import type { TeamMailStore } from '../store/teamMailStore.ts';
import type { TeamStore } from '../store/teamStore.ts';
import type { Log } from '../system/log.ts';
import type { Caller } from '../workspaces/callers.ts';

/** What the members of a team are made from. */
export type MemberPlan =
  | { readonly kind: 'copies'; readonly workspaceId: string; readonly snapshot: string }
  | {
      readonly kind: 'new';
      readonly baseImage?: string | undefined;
      readonly vcpus?: number | undefined;
      readonly memoryMb?: number | undefined;
      readonly diskGb?: number | undefined;
    };

export interface NewMember {
  /** Name of its workspace. */
  readonly name: string;
  readonly owner: Caller;
  /** Value of `team` in its network policy. */
  readonly network: string;
  readonly signal: AbortSignal;
}

export interface MemberMachine {
  readonly workspaceId: string;
  readonly name: string;
  readonly state: WorkspaceState;
  readonly ip: string | null;
  /** Key of the caller it belongs to now; null: nobody. */
  readonly owner: string | null;
  readonly createdAt: string;
}

/** The workspaces of members. */
export interface MemberMachines {
  /** Id of the workspace that is to be copied. @throws CoppiceError `not_found` */
  resolve(reference: string): string;
  /** @throws CoppiceError `quota_exceeded` when the owner may not have so many more; call it in the transaction */
  require(plan: MemberPlan, owner: Caller, count: number): void;
  /** Makes a workspace that runs; nothing of it is left when this throws. */
  create(plan: MemberPlan, member: NewMember): Promise<string>;
  find(workspaceId: string): MemberMachine | undefined;
  named(name: string): MemberMachine | undefined;
  /** Does nothing where there is none. */
  destroy(workspaceId: string): Promise<void>;
  /** Takes it out of the network of the team. */
  release(workspaceId: string): Promise<void>;
}

/** How a job of a machine ended. */
export interface JobEnd {
  /** Null: a signal ended it. */
  readonly exitCode: number | null;
  readonly timedOut: boolean;
  readonly durationMs: number;
  readonly stdout: JobOutput;
  readonly stderr: JobOutput;
}

export interface JobOutput {
  /** Its first bytes: at least as many as a result may have, or all. */
  readonly head: Uint8Array;
  readonly totalBytes: number;
}

/**
 * `ready`: can be asked at once. `suspended`: starting a job wakes it. `away`: comes back, or somebody lets it
 * (booting, paused). `stopped`: nothing of what ran is left. `gone`: destroyed.
 */
export type JobHostState = 'ready' | 'suspended' | 'away' | 'stopped' | 'gone';

/** Jobs in the machines of members: they go on without the daemon. */
export interface JobHost {
  state(workspaceId: string): JobHostState;
  /** @returns its id. @throws CoppiceError */
  start(
    workspaceId: string,
    assignment: TaskAssignment,
    label: string,
    signal: AbortSignal,
  ): Promise<number>;
  /** By its label; the newest. */
  find(workspaceId: string, label: string, signal: AbortSignal): Promise<number | undefined>;
  /** Until it has ended. @throws CoppiceError `not_found` when there is no such job */
  wait(workspaceId: string, jobId: number, signal: AbortSignal): Promise<JobEnd>;
  /** Forgets one that has ended. */
  remove(workspaceId: string, jobId: number): Promise<void>;
}

/** The part of the vault that teams need; paths are relative to its root. */
export interface TeamVault {
  write(path: string, content: string): Promise<void>;
  /** And what is missing above it. */
  makeFolder(path: string): Promise<void>;
  /** With everything below it; nothing where there is none. */
  remove(path: string): Promise<void>;
}

export interface TeamServices {
  readonly store: TeamStore;
  readonly mail: TeamMailStore;
  readonly machines: MemberMachines;
  readonly jobs: JobHost;
  /** That of the account a team belongs to; null where vaults are disabled. */
  readonly vault: ((owner: string) => TeamVault) | null;
  readonly transaction: <T>(work: () => T) => T;
  /** For changes that a loss of power may take back. */
  readonly lightly: <T>(work: () => T) => T;
  readonly log: Log;
  readonly now: () => Date;
  /** Milliseconds before a machine that did not answer is asked again. */
  readonly retryMs: number;
}
