/** A machine as a place of repositories, through its agent. */
import { CoppiceError } from '../../protocol/errors.ts';
import { toCoppiceError } from '../guest/errors.ts';
import type {
  Capture,
  Exited,
  FileInfo,
  ProcessSpec,
} from '../guest/gen/coppice/guest/v1/guest_pb.js';
import { FileKind } from '../guest/gen/coppice/guest/v1/guest_pb.js';
import type { CallOptions } from '../guest/grpc.ts';
import type { GuestClients } from '../guest/guestLink.ts';
import type { GitHost, HostCommand, HostOutput, HostResult } from './host.ts';

/** How long one question after a durable command may stay open. */
const waitMs = 60_000;

export interface GuestHostOptions {
  readonly name: string;
  readonly clients: () => Promise<GuestClients>;
  /** Ends what is not durable. */
  readonly signal: AbortSignal;
}

export function guestHost({ name, clients, signal }: GuestHostOptions): GitHost {
  const call = async <T>(
    work: (clients: GuestClients, options: CallOptions) => Promise<T>,
  ): Promise<T> => {
    try {
      return await work(await clients(), { signal });
    } catch (error) {
      throw toCoppiceError(error);
    }
  };
  return {
    name,
    run: (command) =>
      call(({ process }, options) =>
        command.durable === undefined
          ? runNow(process, command, options)
          : runDurably(process, command, command.durable),
      ),
    settle: (durable) =>
      call(async ({ process }) => {
        const { processes } = await process.list({});
        for (const { processId, label } of processes) {
          if (label === durable) await outcomeOf(process, processId);
        }
      }),
    async stat(path) {
      try {
        const { info } = await call(({ file }, options) =>
          file.stat({ path: bytes(path), follow: true }, options),
        );
        return info === undefined ? undefined : toFile(info);
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    },
    list: (path) =>
      call(async ({ file }, options) => {
        const names: string[] = [];
        for await (const { entries } of file.list({ path: bytes(path) }, options)) {
          for (const entry of entries) names.push(Buffer.from(entry.name).toString('utf8'));
        }
        return names;
      }),
    makeDirectory: (path, uid) =>
      call(async ({ file, process }, options) => {
        await file.makeDirectory({ path: bytes(path), parents: true }, options);
        if (uid === 0) return;
        const spec = { argv: ['chown', String(uid), '--', path], cwd: '/' };
        await process.exec({ spec }, options);
      }),
    async remove(path) {
      await call(({ file }, options) =>
        file.remove({ path: bytes(path), recursive: true, force: true }, options),
      );
    },
    async *read(path) {
      const { file } = await clients();
      for await (const { part } of file.read({ path: bytes(path) }, { signal })) {
        if (part.case === 'data') yield part.value;
      }
    },
    async write(path, chunks, size, uid) {
      const header = { path: bytes(path), atomic: true, size: BigInt(size), mode: 0o600, uid };
      await call(({ file }, options) => file.write(writeMessages(header, chunks), options));
    },
  };
}

type ProcessClient = GuestClients['process'];

async function runNow(
  process: ProcessClient,
  command: HostCommand,
  options: CallOptions,
): Promise<HostResult> {
  const reply = await process.exec(
    { spec: specOf(command), input: command.input ?? new Uint8Array() },
    options,
  );
  return resultOf(reply.exited, reply.stdout, reply.stderr);
}

/** A job of the machine: nobody's leaving kills it between two of its steps. */
async function runDurably(
  process: ProcessClient,
  command: HostCommand,
  label: string,
): Promise<HostResult> {
  const { processId } = await process.start({ spec: { ...specOf(command), keep: true, label } });
  return await outcomeOf(process, processId);
}

async function outcomeOf(process: ProcessClient, processId: bigint): Promise<HostResult> {
  // No output is ever beyond these offsets: only the end is waited for.
  const beyond = BigInt(Number.MAX_SAFE_INTEGER);
  const ended = { processId, waitMs, stdoutOffset: beyond, stderrOffset: beyond };
  for (;;) {
    const { process: info } = await process.get(ended);
    if (info?.exited === undefined) continue;
    const { stdout, stderr } = await process.get({ processId });
    await process.remove({ processId });
    return resultOf(info.exited, stdout, stderr);
  }
}

function specOf(command: HostCommand): Pick<ProcessSpec, 'argv' | 'cwd' | 'env' | 'user'> & {
  readonly timeoutMs: bigint;
  readonly keepBytes: number;
} {
  return {
    argv: [...command.argv],
    cwd: command.cwd,
    env: { ...command.env },
    user: command.user ?? '',
    timeoutMs: BigInt(Math.ceil(command.timeoutMs)),
    keepBytes: command.keepBytes,
  };
}

function resultOf(
  exited: Exited | undefined,
  stdout: Capture | undefined,
  stderr: Capture | undefined,
): HostResult {
  if (exited === undefined) throw new Error('the guest reported no exit');
  return {
    exitCode: exited.exitCode ?? -1,
    timedOut: exited.timedOut,
    stdout: outputOf(stdout),
    stderr: outputOf(stderr),
  };
}

function outputOf(capture: Capture | undefined): HostOutput {
  if (capture === undefined) return { bytes: Buffer.alloc(0), truncated: false };
  const { head, tail, totalBytes } = capture;
  const whole = BigInt(head.length + tail.length) >= totalBytes;
  return {
    bytes: whole ? Buffer.concat([head, tail]) : Buffer.from(head),
    truncated: !whole,
  };
}

function toFile(info: FileInfo): {
  kind: 'file' | 'directory' | 'other';
  size: number;
  uid: number;
} {
  return {
    kind:
      info.kind === FileKind.FILE
        ? 'file'
        : info.kind === FileKind.DIRECTORY
          ? 'directory'
          : 'other',
    size: Number(info.size),
    uid: info.uid,
  };
}

async function* writeMessages<Header>(
  header: Header,
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<
  | { readonly part: { readonly case: 'header'; readonly value: Header } }
  | { readonly part: { readonly case: 'data'; readonly value: Uint8Array } }
> {
  yield { part: { case: 'header', value: header } };
  for await (const chunk of chunks) yield { part: { case: 'data', value: chunk } };
}

function isMissing(error: unknown): boolean {
  return error instanceof CoppiceError && error.code === 'file_not_found';
}

function bytes(path: string): Uint8Array {
  return Buffer.from(path, 'utf8');
}
