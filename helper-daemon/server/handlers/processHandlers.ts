import type { ProcessInfo } from '../../../protocol/operations/process.ts';
import type { ProcessInfo as GuestProcess } from '../../guest/gen/coppice/guest/v1/guest_pb.js';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import type { Handlers } from '../handlerTypes.ts';
import { serveProcess } from '../streams/processStream.ts';
import { execInGuest, howToRun } from './execCall.ts';
import { exitResult } from './exitResult.ts';
import { callGuest, guestStreams } from './guestCall.ts';
import { captureText } from './outputText.ts';

type ProcessHandlers = Pick<
  Handlers,
  | 'exec'
  | 'process_open'
  | 'process_start'
  | 'process_list'
  | 'process_get'
  | 'process_signal'
  | 'process_remove'
  | 'set_env'
>;

export function processHandlers(services: WorkspaceServices): ProcessHandlers {
  return {
    exec: (input, { signal }) => execInGuest(services, input, signal),
    async process_open(input, { session }) {
      const streams = await guestStreams(services, input.workspace_id, session);
      const stream = serveProcess(streams.clients.process, {
        ...(input.job_id === undefined
          ? {
              start: {
                ...howToRun(input),
                command: input.command ?? '',
                argv: input.argv ?? [],
                login: input.login ?? false,
                subsystem: input.subsystem ?? '',
                keep: input.keep ?? false,
                stdin: input.stdin ?? false,
                label: input.label ?? '',
                ...(input.terminal === undefined ? {} : { terminal: input.terminal }),
              },
            }
          : {
              attach: {
                processId: BigInt(input.job_id),
                stdoutOffset: BigInt(input.stdout_offset ?? 0),
                stderrOffset: BigInt(input.stderr_offset ?? 0),
              },
            }),
      });
      return { ticket: streams.open(stream) };
    },
    process_start: (input, { signal }) =>
      callGuest(services, input.workspace_id, signal, async ({ process }, options) => {
        const { processId, pid } = await process.start(
          {
            spec: {
              ...howToRun(input),
              command: input.command,
              keep: true,
              label: input.label ?? '',
            },
          },
          options,
        );
        return { job_id: Number(processId), pid };
      }),
    process_list: (input, { signal }) =>
      callGuest(services, input.workspace_id, signal, async ({ process }, options) => {
        const { processes } = await process.list({}, options);
        return processes.map((info) => processInfo(info));
      }),
    process_get: (input, { signal }) =>
      callGuest(services, input.workspace_id, signal, async ({ process }, options) => {
        const reply = await process.get(
          {
            processId: BigInt(input.job_id),
            waitMs: Math.round((input.wait_secs ?? 0) * 1000),
            stdoutOffset: BigInt(input.stdout_offset ?? 0),
            stderrOffset: BigInt(input.stderr_offset ?? 0),
          },
          options,
        );
        if (reply.process === undefined) throw new Error('the guest described no process');
        return {
          ...processInfo(reply.process),
          stdout: captureText(reply.stdout, input.stdout_offset),
          stderr: captureText(reply.stderr, input.stderr_offset),
        };
      }),
    process_signal: (input, { signal }) =>
      callGuest(services, input.workspace_id, signal, async ({ process }, options) => {
        const number = input.signal ?? 15;
        await process.signal({ processId: BigInt(input.job_id), signal: number }, options);
        return { job_id: input.job_id, signal: number };
      }),
    process_remove: (input, { signal }) =>
      callGuest(services, input.workspace_id, signal, async ({ process }, options) => {
        await process.remove({ processId: BigInt(input.job_id) }, options);
        return { job_id: input.job_id };
      }),
    set_env: (input, { signal }) =>
      callGuest(services, input.workspace_id, signal, async ({ process }, options) => {
        await process.setEnv({ vars: input.vars }, options);
        return { count: Object.keys(input.vars).length, status: 'set' };
      }),
  };
}

function processInfo(info: GuestProcess): ProcessInfo {
  return {
    job_id: Number(info.processId),
    pid: info.pid,
    command: info.command,
    label: info.label,
    terminal: info.terminal,
    kept: info.kept,
    started_at: new Date(Number(info.startedUnixMs)).toISOString(),
    running: info.exited === undefined,
    exit: info.exited === undefined ? null : exitResult(info.exited),
    stdout_bytes: Number(info.stdoutBytes),
    stderr_bytes: Number(info.stderrBytes),
    attached_clients: info.attachedClients,
    ...(info.outputFile.length === 0
      ? {}
      : { output_file: Buffer.from(info.outputFile).toString('utf8') }),
  };
}
