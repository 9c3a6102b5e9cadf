/** Runs bin/coppice as users do, against a daemon of the test's own. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import path from 'node:path';

const launcher = path.resolve(import.meta.dirname, '../../../bin/coppice');

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly bytes: Buffer;
}

export interface StartedCli {
  readonly child: ChildProcessWithoutNullStreams;
  readonly done: Promise<CliResult>;
}

export interface CliOptions {
  readonly input?: string | Uint8Array;
  readonly cwd?: string;
}

export interface Cli {
  run(args: readonly string[], options?: CliOptions): Promise<CliResult>;
  start(args: readonly string[], options?: CliOptions): StartedCli;
  /** Fails the test when the command does; returns what it printed. */
  ok(...args: readonly string[]): Promise<string>;
  json<T>(...args: readonly string[]): Promise<T>;
  /** For programs that start the CLI themselves, such as a pty. */
  readonly launcher: string;
  readonly env: Record<string, string>;
}

export function cliFor(home: string, more: Readonly<Record<string, string>> = {}): Cli {
  const env: Record<string, string> = {
    ...(process.env as Record<string, string>),
    COPPICE_HOME: home,
    NO_COLOR: '1',
    ...more,
  };
  delete env['COPPICE_SOCKET'];

  function start(args: readonly string[], options: CliOptions = {}): StartedCli {
    const child = spawn(launcher, args, {
      env,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    const stdout: Buffer[] = [];
    let stderr = '';
    child.stdout.on('data', (data: Buffer) => stdout.push(data));
    child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
    const done = new Promise<CliResult>((resolve) => {
      child.once('close', (code) => {
        const bytes = Buffer.concat(stdout);
        resolve({ code, bytes, stdout: bytes.toString(), stderr });
      });
    });
    return { child, done };
  }

  async function run(args: readonly string[], options?: CliOptions): Promise<CliResult> {
    return await start(args, options).done;
  }

  async function ok(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await run(args);
    if (code !== 0) {
      throw new Error(`coppice ${args.join(' ')} ended with ${String(code)}:\n${stderr}${stdout}`);
    }
    return stdout;
  }

  return {
    run,
    start,
    ok,
    json: async <T>(...args: readonly string[]) => JSON.parse(await ok('--json', ...args)) as T,
    launcher,
    env,
  };
}
