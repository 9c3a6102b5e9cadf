/** What orchestration does inside machines. */
import { CoppiceError } from '../../protocol/errors.ts';
import { toCoppiceError } from '../guest/errors.ts';
import { FileKind, type Capture, type Exited } from '../guest/gen/coppice/guest/v1/guest_pb.js';
import type { GuestClients } from '../guest/guestLink.ts';
import { awake } from '../workspaces/awake.ts';
import type { WorkspaceServices } from '../workspaces/services.ts';

export interface Ran {
  /** -1 when a signal or the time limit ended it. */
  readonly exitCode: number;
  readonly timedOut: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly timeoutSecs: number;
  readonly signal: AbortSignal;
  /** Default: /workspace where it exists. */
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export interface Job {
  readonly command: string;
  readonly workdir: string | undefined;
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutSecs: number;
  readonly label: string;
}

export interface JobEnd {
  readonly exitCode: number;
  readonly signal: number | null;
  readonly timedOut: boolean;
  readonly stdoutBytes: number;
  readonly stderrBytes: number;
}

export type StreamName = 'stdout' | 'stderr';

/** Takes a job's output; what it has written is what the job is asked to go on from. */
export interface OutputSink {
  /** Offset of the next byte it wants. */
  next(stream: StreamName): number;
  write(stream: StreamName, offset: number, data: Uint8Array): Promise<void>;
}

/** Guest operations of the machine with this id. All throw CoppiceError. */
export interface Guest {
  run(id: string, what: string | readonly string[], options: RunOptions): Promise<Ran>;
  setEnv(id: string, vars: Readonly<Record<string, string>>, signal: AbortSignal): Promise<void>;
  writeText(id: string, path: string, text: string, signal: AbortSignal): Promise<void>;
  /** Flushes its file systems. */
  sync(id: string, signal: AbortSignal): Promise<void>;
  startJob(id: string, job: Job, signal: AbortSignal): Promise<number>;
  /** The job with this label, if there is one. */
  findJob(id: string, label: string, signal: AbortSignal): Promise<number | undefined>;
  /** Reads a job's output until its end. */
  follow(id: string, jobId: number, sink: OutputSink, signal: AbortSignal): Promise<JobEnd>;
  /** The last bytes of what a finished job wrote, as far as its machine keeps them. */
  lastOutput(
    id: string,
    jobId: number,
    signal: AbortSignal,
  ): Promise<Record<StreamName, Uint8Array>>;
  killJob(id: string, jobId: number, signal: AbortSignal): Promise<void>;
  /** A file as it is, a directory as a tar archive. */
  download(
    id: string,
    path: string,
    signal: AbortSignal,
  ): Promise<{ readonly directory: boolean; readonly chunks: AsyncIterable<Uint8Array> }>;
}

/** Kept of each stream, at its beginning and again at its end: a job that nobody follows for a while loses nothing. */
const keepBytes = 4 * 1024 * 1024;
const runKeepBytes = 32 * 1024;
const kill = 9;

export function guestOf(services: WorkspaceServices): Guest {
  async function withGuest<T>(id: string, work: (clients: GuestClients) => Promise<T>): Promise<T> {
    const live = await awake(services, id);
    const end = services.activity.begin(id);
    try {
      return await work(await live.link.clients());
    } catch (error) {
      throw toCoppiceError(error);
    } finally {
      end();
    }
  }

  return {
    run: (id, what, { timeoutSecs, signal, cwd, env }) =>
      withGuest(id, async ({ process }) => {
        const reply = await process.exec(
          {
            spec: {
              ...(typeof what === 'string' ? { command: what } : { argv: [...what] }),
              cwd: cwd ?? '',
              env: { ...env },
              timeoutMs: milliseconds(timeoutSecs),
              keepBytes: runKeepBytes,
            },
          },
          { signal },
        );
        return {
          exitCode: reply.exited?.exitCode ?? -1,
          timedOut: reply.exited?.timedOut ?? false,
          stdout: textOf(reply.stdout),
          stderr: textOf(reply.stderr),
        };
      }),
    setEnv: (id, vars, signal) =>
      withGuest(id, async ({ process }) => {
        await process.setEnv({ vars: { ...vars } }, { signal });
      }),
    writeText: (id, path, text, signal) =>
      withGuest(id, async ({ file }) => {
        const data = Buffer.from(text, 'utf8');
        const header = { path: Buffer.from(path), atomic: true, size: BigInt(data.length) };
        async function* messages() {
          yield { part: { case: 'header' as const, value: header } };
          yield { part: { case: 'data' as const, value: data } };
        }
        await file.write(messages(), { signal });
      }),
    sync: (id, signal) =>
      withGuest(id, async ({ system }) => {
        await system.sync({}, { signal });
      }),
    startJob: (id, job, signal) =>
      withGuest(id, async ({ process }) => {
        const spec = {
          command: job.command,
          cwd: job.workdir ?? '',
          env: { ...job.env },
          timeoutMs: milliseconds(job.timeoutSecs),
          keep: true,
          keepBytes,
          label: job.label,
        };
        const { processId } = await process.start({ spec }, { signal });
        return Number(processId);
      }),
    findJob: (id, label, signal) =>
      withGuest(id, async ({ process }) => {
        const { processes } = await process.list({}, { signal });
        const found = processes.find((info) => info.label === label);
        return found === undefined ? undefined : Number(found.processId);
      }),
    follow: (id, jobId, sink, signal) =>
      withGuest(id, async ({ process }) => {
        const attach = {
          processId: BigInt(jobId),
          stdoutOffset: BigInt(sink.next('stdout')),
          stderrOffset: BigInt(sink.next('stderr')),
        };
        async function* inputs() {
          yield { input: { case: 'attach' as const, value: attach } };
        }
        for await (const { output } of process.open(inputs(), { signal })) {
          if (output.case === 'stdout' || output.case === 'stderr') {
            await sink.write(output.case, Number(output.value.offset), output.value.data);
          } else if (output.case === 'exited') {
            return jobEnd(output.value);
          }
        }
        throw new CoppiceError({
          code: 'guest_unreachable',
          message: 'The machine closed the stream without saying how the task ended.',
        });
      }),
    lastOutput: (id, jobId, signal) =>
      withGuest(id, async ({ process }) => {
        const reply = await process.get({ processId: BigInt(jobId) }, { signal });
        return {
          stdout: reply.stdout?.tail ?? new Uint8Array(),
          stderr: reply.stderr?.tail ?? new Uint8Array(),
        };
      }),
    killJob: (id, jobId, signal) =>
      withGuest(id, async ({ process }) => {
        await process.signal({ processId: BigInt(jobId), signal: kill }, { signal });
      }),
    download: (id, path, signal) =>
      withGuest(id, async ({ file }) => {
        const name = Buffer.from(path);
        const { info } = await file.stat({ path: name, follow: true }, { signal });
        const directory = info?.kind === FileKind.DIRECTORY;
        if (!directory && info?.kind !== FileKind.FILE) throw notAFile(path);
        const chunks = directory
          ? archiveChunks(file.archive({ path: name }, { signal }))
          : fileChunks(file.read({ path: name }, { signal }));
        return { directory, chunks };
      }),
  };
}

async function* archiveChunks(
  messages: AsyncIterable<{ readonly data: Uint8Array }>,
): AsyncGenerator<Uint8Array> {
  for await (const { data } of messages) yield data;
}

async function* fileChunks(
  messages: ReturnType<GuestClients['file']['read']>,
): AsyncGenerator<Uint8Array> {
  for await (const { part } of messages) if (part.case === 'data') yield part.value;
}

function jobEnd(exited: Exited): JobEnd {
  return {
    exitCode: exited.exitCode ?? -1,
    signal: exited.signal ?? null,
    timedOut: exited.timedOut,
    stdoutBytes: Number(exited.stdoutBytes),
    stderrBytes: Number(exited.stderrBytes),
  };
}

function notAFile(path: string): CoppiceError {
  return new CoppiceError({
    code: 'file_error',
    message: `${path} is neither a file nor a directory.`,
  });
}

function milliseconds(seconds: number): bigint {
  return BigInt(Math.ceil(seconds * 1000));
}

/** Head and tail, with a mark where something is missing between them. */
function textOf(capture: Capture | undefined): string {
  if (capture === undefined) return '';
  const { head, tail } = capture;
  const whole = head.length + tail.length >= Number(capture.totalBytes);
  return Buffer.concat([head, Buffer.from(whole ? '' : '\n[…]\n'), tail]).toString('utf8');
}
