/** The CLI as a process, from its sources, against a fake daemon. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import path from 'node:path';

const program = path.resolve(import.meta.dirname, '../../../helper-daemon/cli/main.ts');

export interface CliRun {
  readonly child: ChildProcessWithoutNullStreams;
  readonly done: Promise<{
    readonly code: number | null;
    readonly stdout: Buffer;
    readonly stderr: string;
  }>;
}

export function startCli(socket: string, ...args: readonly string[]): CliRun {
  const child = spawn(process.execPath, ['--no-warnings', program, ...args], {
    env: { ...process.env, COPPICE_SOCKET: socket, NO_COLOR: '1' },
  });
  const stdout: Buffer[] = [];
  let stderr = '';
  child.stdout.on('data', (data: Buffer) => stdout.push(data));
  child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
  const done = new Promise<{ code: number | null; stdout: Buffer; stderr: string }>((resolve) => {
    child.once('close', (code) => resolve({ code, stdout: Buffer.concat(stdout), stderr }));
  });
  return { child, done };
}
