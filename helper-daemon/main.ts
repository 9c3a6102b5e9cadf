/** coppiced: `coppiced --user` (started on demand by clients) or `coppiced --system` (by systemd). */
import { mkdirSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { CoppiceError } from '../protocol/errors.ts';
import { startDaemon, type Daemon } from './daemon.ts';
import { loadConfig } from './system/configFile.ts';
import { openLog } from './system/log.ts';
import { hostPaths } from './system/paths.ts';
import { inheritedSocket } from './system/socketActivation.ts';
import { version } from './system/version.ts';

/** A user-mode daemon that nobody needs goes away; the next client starts another. */
const idleExitMs = 10 * 60 * 1000;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      user: { type: 'boolean' },
      system: { type: 'boolean' },
      /** In the foreground or for systemd: it stays although nobody needs it. */
      stay: { type: 'boolean' },
    },
  });
  const mode = values.system === true ? 'system' : 'user';
  process.umask(0o077);
  const paths = hostPaths(mode);
  mkdirSync(paths.state, { recursive: true, mode: 0o700 });
  const loaded = await loadConfig(mode).catch(giveUp);
  // What the environment says comes first; the log is the first to ask it.
  for (const [name, value] of Object.entries(loaded.environment)) process.env[name] ||= value;
  const log = openLog(paths.log);
  for (const warning of loaded.warnings) log.warn({ warning }, 'configuration');
  let closing = false;
  let daemon: Daemon | undefined;

  async function shutDown(reason: string): Promise<void> {
    if (closing) return;
    closing = true;
    log.info({ reason }, 'ending; machines stay up');
    await daemon?.close();
    process.exit(0);
  }

  process.on('SIGTERM', () => void shutDown('SIGTERM'));
  process.on('SIGINT', () => void shutDown('SIGINT'));
  process.on('SIGHUP', () => undefined);
  process.on('uncaughtException', (error) => {
    // Going on with unknown state could lose work; the next daemon recovers from the journal.
    log.fatal({ err: error }, 'uncaught');
    process.exit(70);
  });

  try {
    const socket = inheritedSocket();
    daemon = await startDaemon({
      paths,
      log,
      version,
      config: loaded.config,
      ...(socket === undefined ? {} : { inheritedSocket: socket }),
      onStopRequested: () => void shutDown('asked by a client'),
    });
    if (mode === 'user' && values.stay !== true) exitWhenIdle(daemon, () => void shutDown('idle'));
  } catch (error) {
    log.error({ err: error }, 'not started');
    giveUp(error);
  }
}

/** The log may not be open yet, and whoever started this reads stderr. */
function giveUp(error: unknown): never {
  const failure = error instanceof CoppiceError ? error : undefined;
  process.stderr.write(`coppiced: ${failure?.message ?? String(error)}\n`);
  if (failure?.next !== undefined) process.stderr.write(`next: ${failure.next}\n`);
  process.exit(failure?.code === 'daemon_conflict' ? 75 : 1);
}

function exitWhenIdle(daemon: Daemon, exit: () => void): void {
  const look = (): void => {
    if (daemon.isIdle()) exit();
  };
  setInterval(look, idleExitMs).unref();
}

await main();
