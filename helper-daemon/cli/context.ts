/** What every command gets: where to print, how to reach the daemon, when to give up. */
import { connectClient, type CoppiceClient } from '../client/client.ts';
import { connectDaemon, daemonSocket } from '../client/startDaemon.ts';
import { version } from '../system/version.ts';
import type { Signals } from './signals.ts';
import { glyphsFor, type Glyphs } from './text/glyphs.ts';
import { noProgress, startProgress, type Progress } from './text/progressLine.ts';
import { styleFor, type Style } from './text/style.ts';

export interface CliContext {
  readonly json: boolean;
  readonly quiet: boolean;
  /** How results look on this stdout. */
  rendering(): {
    readonly style: Style;
    readonly glyphs: Glyphs;
    readonly now: number;
    readonly width?: number;
  };
  /** Aborted by the first SIGINT or SIGTERM, unless a command takes these signals itself. */
  readonly signal: AbortSignal;
  readonly signals: Signals;
  /** @param options.start false: do not start a daemon that is not running */
  connect(options?: { readonly start?: boolean }): Promise<CoppiceClient>;
  /** A result, on stdout. */
  print(text: string): void;
  printJson(value: unknown): void;
  /** What only a person wants to read: on stderr, and not with --quiet or --json. */
  note(text: string): void;
  /** What went wrong with a part of the work: on stderr, and not with --json. */
  complain(text: string): void;
  progress(message: string): Progress;
}

export interface ContextSettings {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly signals: Signals;
}

export function createContext(settings: ContextSettings): CliContext {
  const silent = settings.json || settings.quiet;
  return {
    json: settings.json,
    quiet: settings.quiet,
    signal: settings.signals.aborted,
    signals: settings.signals,
    rendering: () => ({
      style: styleFor(process.stdout),
      glyphs: glyphsFor(process.env),
      now: Date.now(),
      ...(process.stdout.isTTY ? { width: process.stdout.columns } : {}),
    }),
    connect: (options) => connect(silent, options?.start !== false),
    print(text) {
      if (text !== '') process.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
    },
    printJson(value) {
      process.stdout.write(`${JSON.stringify(value)}\n`);
    },
    note(text) {
      if (!silent) process.stderr.write(`${text}\n`);
    },
    complain(text) {
      if (!settings.json) process.stderr.write(`${text}\n`);
    },
    progress: (message) => (silent ? noProgress : startProgress(message)),
  };
}

async function connect(silent: boolean, start: boolean): Promise<CoppiceClient> {
  const identity = { name: 'coppice-cli', version };
  if (!start) return await connectClient(daemonSocket().path, identity);
  let progress = noProgress;
  try {
    return await connectDaemon(identity, {
      onStart() {
        if (!silent) progress = startProgress('Starting the Coppice daemon');
      },
    });
  } finally {
    progress.stop();
  }
}
