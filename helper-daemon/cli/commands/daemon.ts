/** The daemon as a process. Everything else about it is an operation. */
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { connectClient } from '../../client/client.ts';
import { daemonSocket, isUnavailable, siblingBundle } from '../../client/startDaemon.ts';
import { version } from '../../system/version.ts';
import { hostPaths } from '../../system/paths.ts';
import { CoppiceError } from '../../../protocol/errors.ts';
import type { CommandSpec, Invocation } from '../commandSpec.ts';
import type { CliContext } from '../context.ts';
import { exitCodes } from '../exitCodes.ts';
import { renderStatus, renderStopped } from '../render/daemon.ts';
import { printableLines } from '../text/printable.ts';

export const daemonStartSpec: CommandSpec = {
  words: 'daemon start',
  summary: 'Start the daemon; every command that needs it does so by itself',
  positionals: [],
  flags: [],
  run: startIt,
};

export const daemonStatusSpec: CommandSpec = {
  words: 'daemon status',
  summary: 'Show the daemon without starting it',
  positionals: [],
  flags: [],
  notes: 'Exit code: 0 when it runs, 1 when it does not.',
  run: showIt,
};

export const daemonLogsSpec: CommandSpec = {
  words: 'daemon logs',
  summary: "Show the daemon's own log",
  positionals: [],
  flags: [
    {
      key: 'lines',
      spelling: '-n, --lines <n>',
      kind: 'integer',
      description: 'Last lines; default 100',
    },
    {
      key: 'follow',
      spelling: '-f, --follow',
      kind: 'switch',
      description: 'Go on as more is written',
    },
  ],
  run: showLog,
};

export const daemonRunSpec: CommandSpec = {
  words: 'daemon run',
  summary: 'Run the daemon in the foreground',
  positionals: [],
  flags: [],
  run: () => runDaemonHere(['--user']),
};

async function startIt(_: Invocation, context: CliContext): Promise<number> {
  const client = await context.connect();
  try {
    if (context.json) context.printJson(client.server);
    else {
      context.print(
        `The daemon runs: version ${client.server.server.version}, pid ${String(client.server.server.pid)}.`,
      );
    }
    return exitCodes.ok;
  } finally {
    client.close();
  }
}

async function showIt(_: Invocation, context: CliContext): Promise<number> {
  let client;
  try {
    client = await context.connect({ start: false });
  } catch (error) {
    if (!isUnavailable(error)) throw error;
    if (context.json) context.printJson({ running: false, socket: daemonSocket().path });
    else {
      context.print(
        `The daemon is not running. It starts by itself with the first command that needs it.`,
      );
    }
    return exitCodes.negative;
  }
  try {
    const status = await client.call('daemon_status', {});
    if (context.json) context.printJson(status);
    else context.print(renderStatus(status, { ...context.rendering(), input: {} }));
    return exitCodes.ok;
  } finally {
    client.close();
  }
}

/** The projected `daemon stop`, which must not start a daemon to stop it, and returns when it is gone. */
export function withoutStarting(projected: CommandSpec): CommandSpec {
  return {
    ...projected,
    async run(invocation, context) {
      let client;
      try {
        client = await context.connect({ start: false });
      } catch (error) {
        if (!isUnavailable(error)) throw error;
        if (context.json) context.printJson({ stopped_machines: 0 });
        else context.print('The daemon is not running.');
        return exitCodes.ok;
      }
      const progress = context.progress('Stopping the daemon');
      try {
        const stop_machines = invocation.flags['stop_machines'] === true;
        const gone = new Promise<void>((resolve) => client.onClose(resolve));
        const output = await client.call('daemon_stop', stop_machines ? { stop_machines } : {});
        await Promise.race([gone, delay(10_000)]);
        await untilGone(client.socketPath, client.server.server.pid);
        progress.stop();
        if (context.json) context.printJson(output);
        else context.print(renderStopped(output));
        return exitCodes.ok;
      } finally {
        progress.stop();
        client.close();
      }
    },
  };
}

/** Whoever starts it again at once must not meet the old one. */
async function untilGone(socketPath: string, pid: number): Promise<void> {
  const end = Date.now() + 5000;
  while (Date.now() < end) {
    await delay(10);
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    if (!fs.existsSync(socketPath) && !fs.existsSync(`/proc/${String(pid)}/exe`)) return;
  }
}

async function showLog(invocation: Invocation, context: CliContext): Promise<number> {
  const file = await logFile();
  const lines = invocation.flags['lines'];
  let content: string;
  try {
    content = fs.readFileSync(file, 'utf8');
  } catch (error) {
    throw new CoppiceError(
      {
        code: 'file_not_found',
        message: `There is no log at ${file}.`,
        next: 'The daemon has not run yet: coppice daemon start.',
      },
      { cause: error },
    );
  }
  const tail = content
    .trimEnd()
    .split('\n')
    .slice(-(typeof lines === 'number' ? Math.max(1, lines) : 100));
  if (context.json) {
    context.printJson({ file, lines: tail });
    return exitCodes.ok;
  }
  context.print(printableLines(tail.join('\n')));
  if (invocation.flags['follow'] === true) {
    await followFile(file, Buffer.byteLength(content), context);
  }
  return exitCodes.ok;
}

async function logFile(): Promise<string> {
  try {
    const client = await connectClient(daemonSocket().path, {
      name: 'coppice-cli',
      version,
    });
    const { log_file } = await client.call('daemon_status', {}).finally(() => client.close());
    return log_file;
  } catch {
    return hostPaths('user').log;
  }
}

async function followFile(file: string, from: number, context: CliContext): Promise<void> {
  let offset = from;
  while (!context.signal.aborted) {
    await delay(300, undefined, { signal: context.signal }).catch(() => undefined);
    const size = fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0;
    // A new daemon may have put the old log away.
    if (size < offset) offset = 0;
    if (size === offset) continue;
    const part = Buffer.alloc(Math.min(size - offset, 1024 * 1024));
    const open = fs.openSync(file, 'r');
    const read = fs.readSync(open, part, 0, part.length, offset);
    fs.closeSync(open);
    offset += read;
    process.stdout.write(printableLines(part.toString('utf8', 0, read)));
  }
}

/** The daemon takes this process over, with its signals. */
export async function runDaemonHere(flags: readonly string[]): Promise<number> {
  const bundle = siblingBundle();
  if (!fs.existsSync(bundle)) {
    throw new CoppiceError({
      code: 'daemon_unavailable',
      message: `The daemon's program ${bundle} does not exist.`,
      next: 'Build it with npm run build.',
    });
  }
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.removeAllListeners(name);
  process.argv.splice(1, process.argv.length - 1, path.resolve(bundle), ...flags);
  await import(pathToFileURL(bundle).href);
  return await new Promise<number>(() => undefined);
}
