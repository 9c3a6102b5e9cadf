/** Tasks as jobs of the agents in the members' machines. */
import { teamLimits } from '../../protocol/operations/team.ts';
import { toCoppiceError } from '../guest/errors.ts';
import type { GuestClients } from '../guest/guestLink.ts';
import { awake } from '../workspaces/awake.ts';
import type { LiveMachine } from '../workspaces/liveMachines.ts';
import { resolveWorkspace } from '../workspaces/resolve.ts';
import type { WorkspaceServices } from '../workspaces/services.ts';
import { defaultTaskTimeout } from './taskPayload.ts';
import type { JobHost, JobHostState, JobOutput } from './teamServices.ts';

/** Of one question how a job is. */
const waitMs = 60_000;
/** Output up to here wakes nobody: only its end does. */
const farAway = BigInt(Number.MAX_SAFE_INTEGER);

interface Capture {
  readonly head: Uint8Array;
  readonly tail: Uint8Array;
  readonly totalBytes: bigint;
}

export function guestJobs(services: WorkspaceServices): JobHost {
  function running(workspaceId: string): LiveMachine {
    return services.machines.require(resolveWorkspace(services.store, workspaceId));
  }

  /** The machine counts as used meanwhile. @throws CoppiceError */
  async function ask<T>(
    live: LiveMachine,
    question: (process: GuestClients['process']) => Promise<T>,
  ): Promise<T> {
    const end = services.activity.begin(live.workspaceId);
    try {
      const { process } = await live.link.clients();
      return await question(process);
    } catch (error) {
      throw toCoppiceError(error);
    } finally {
      end();
    }
  }

  return {
    state: (workspaceId) => stateOf(services, workspaceId),
    async start(workspaceId, assignment, label, signal) {
      const spec = {
        command: assignment.command,
        cwd: assignment.workdir ?? '',
        env: assignment.env ?? {},
        timeoutMs: BigInt(Math.ceil((assignment.timeout_secs ?? defaultTaskTimeout) * 1000)),
        keep: true,
        keepBytes: teamLimits.taskStdoutBytes,
        label,
      };
      const live = await awake(services, workspaceId);
      const { processId } = await ask(live, (process) => process.start({ spec }, { signal }));
      return Number(processId);
    },
    async find(workspaceId, label, signal) {
      const { processes } = await ask(running(workspaceId), (process) =>
        process.list({}, { signal }),
      );
      const found = processes.filter((one) => one.label === label);
      return found.length === 0
        ? undefined
        : Math.max(...found.map(({ processId }) => Number(processId)));
    },
    async wait(workspaceId, jobId, signal) {
      const processId = BigInt(jobId);
      const atEnd = { processId, waitMs, stdoutOffset: farAway, stderrOffset: farAway };
      for (;;) {
        const { process: info } = await ask(running(workspaceId), (process) =>
          process.get(atEnd, { signal }),
        );
        if (info?.exited === undefined) continue;
        const { exited } = info;
        const { stdout, stderr } = await ask(running(workspaceId), (process) =>
          process.get({ processId }, { signal }),
        );
        return {
          exitCode: exited.exitCode ?? null,
          timedOut: exited.timedOut,
          durationMs: Number(exited.durationNs) / 1e6,
          stdout: outputOf(stdout),
          stderr: outputOf(stderr),
        };
      }
    },
    async remove(workspaceId, jobId) {
      await ask(running(workspaceId), (process) => process.remove({ processId: BigInt(jobId) }));
    },
  };
}

function stateOf({ store, machines }: WorkspaceServices, workspaceId: string): JobHostState {
  const record = store.byId(workspaceId);
  switch (record?.state) {
    case undefined:
      return 'gone';
    case 'running':
      return machines.get(workspaceId) === undefined ? 'away' : 'ready';
    case 'suspended':
    case 'stopped':
      return record.state;
    default:
      return 'away';
  }
}

function outputOf(capture: Capture | undefined): JobOutput {
  if (capture === undefined) return { head: new Uint8Array(), totalBytes: 0 };
  const { head, tail } = capture;
  const totalBytes = Number(capture.totalBytes);
  const whole = head.length + tail.length >= totalBytes;
  return { head: whole ? Buffer.concat([head, tail]) : head, totalBytes };
}
