/** This host as a place of repositories: the code of the daemon against real git, without a machine. */
import { spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { CoppiceError } from '../../../../protocol/errors.ts';
import type {
  GitHost,
  HostCommand,
  HostOutput,
  HostResult,
} from '../../../../helper-daemon/git/host.ts';

export interface LocalHost extends GitHost {
  /** Arguments of every git that ran. */
  readonly ran: string[][];
}

/** `before` is told of each command and may fail it. */
export function localHost(
  name: string,
  home: string,
  before: (argv: readonly string[]) => void | Promise<void> = () => undefined,
): LocalHost {
  const ran: string[][] = [];
  return {
    name,
    ran,
    async run(command) {
      ran.push([...command.argv]);
      await before(command.argv);
      return await execute(command, home);
    },
    settle: () => Promise.resolve(),
    async stat(path) {
      try {
        const info = await stat(path);
        const kind = info.isFile() ? 'file' : info.isDirectory() ? 'directory' : 'other';
        return { kind, size: info.size, uid: 0 };
      } catch {
        return undefined;
      }
    },
    list: (path) => readdir(path),
    async makeDirectory(path) {
      await mkdir(path, { recursive: true });
    },
    remove: (path) => rm(path, { recursive: true, force: true }),
    read: (path) => createReadStream(path),
    async write(path, chunks, size) {
      await writeFile(`${path}.new`, chunks);
      const written = (await stat(`${path}.new`)).size;
      if (written !== size) throw new Error(`${String(written)} bytes instead of ${String(size)}`);
      await rename(`${path}.new`, path);
    },
  };
}

async function execute(command: HostCommand, home: string): Promise<HostResult> {
  const [program = '', ...args] = command.argv;
  return await new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: command.cwd,
      env: { PATH: process.env['PATH'] ?? '', HOME: home, ...command.env },
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: command.timeoutMs,
      killSignal: 'SIGKILL',
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (data: Buffer) => stdout.push(data));
    child.stderr.on('data', (data: Buffer) => stderr.push(data));
    child.stdin.on('error', () => undefined);
    child.stdin.end(command.input);
    child.once('error', (error) =>
      reject(new CoppiceError({ code: 'not_started', message: error.message })),
    );
    child.once('close', (code, signal) =>
      resolve({
        exitCode: code ?? -1,
        timedOut: signal === 'SIGKILL',
        stdout: kept(stdout, command.keepBytes),
        stderr: kept(stderr, command.keepBytes),
      }),
    );
  });
}

function kept(chunks: readonly Buffer[], keepBytes: number): HostOutput {
  const bytes = Buffer.concat(chunks);
  return bytes.length <= 2 * keepBytes
    ? { bytes, truncated: false }
    : { bytes: bytes.subarray(0, keepBytes), truncated: true };
}
