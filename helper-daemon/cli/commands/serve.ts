/** `coppice serve`: for people and systemd the daemon in the foreground, for whoever pipes the tools of agents. */
import { fstatSync } from 'node:fs';
import path from 'node:path';
import { configPath } from '../../system/configFile.ts';
import { hostPaths } from '../../system/paths.ts';
import { version } from '../../system/version.ts';
import type { CommandSpec, Invocation } from '../commandSpec.ts';
import type { CliContext } from '../context.ts';
import { UsageError } from '../failure.ts';
import { runDaemonHere } from './daemon.ts';
import { mcpSpec } from './mcp.ts';

export const serveSpec: CommandSpec = {
  words: 'serve',
  summary: 'Run the daemon in the foreground, or serve agents on standard input and output',
  description:
    'With a terminal or without any input (systemd) this is the daemon, until a signal ends it. With a pipe or a socket as standard input it is coppice mcp.',
  positionals: [],
  flags: [
    {
      key: 'config',
      spelling: '-c, --config <file>',
      kind: 'text',
      description:
        'Configuration file; docs/configuration.md says where it is looked for otherwise',
    },
    {
      key: 'metrics_port',
      spelling: '--metrics-port <n>',
      kind: 'integer',
      description: 'Serve /metrics and /healthz on this port of 127.0.0.1',
    },
    {
      key: 'system',
      spelling: '--system',
      kind: 'switch',
      description:
        'As root for every user of this host; systemd does the same with coppiced.service',
    },
  ],
  examples: [['coppice serve --metrics-port 9464', 'A daemon that Prometheus can ask.']],
  run: serve,
};

async function serve(invocation: Invocation, context: CliContext): Promise<number> {
  takeSettings(invocation);
  if (isClient(0)) return await mcpSpec.run({ ...invocation, flags: {} }, context);
  const mode = invocation.flags['system'] === true ? 'system' : 'user';
  if (process.stdin.isTTY) context.note(banner(mode));
  return await runDaemonHere([`--${mode}`, '--stay']);
}

/** For the daemon, whether it becomes this process or is started by it. */
function takeSettings({ flags }: Invocation): void {
  const { config, metrics_port: port } = flags;
  if (typeof config === 'string') process.env['COPPICE_CONFIG'] = path.resolve(config);
  if (typeof port !== 'number') return;
  if (port < 1 || port > 65_535) {
    throw new UsageError(
      `--metrics-port must be from 1 to 65535 (got ${String(port)}).`,
      'For example: --metrics-port 9464',
    );
  }
  process.env['COPPICE_METRICS_PORT'] = String(port);
}

/** A pipe or a socket has somebody at its other end; /dev/null, a file or nothing has not. */
function isClient(descriptor: number): boolean {
  try {
    const kind = fstatSync(descriptor);
    return kind.isFIFO() || kind.isSocket();
  } catch {
    return false;
  }
}

function banner(mode: 'user' | 'system'): string {
  const paths = hostPaths(mode);
  const port = process.env['COPPICE_METRICS_PORT'];
  return [
    `Coppice ${version}, ${mode} mode`,
    `  socket   ${paths.socket}`,
    `  state    ${paths.state}`,
    `  config   ${configPath(mode).file}`,
    `  log      ${paths.log}`,
    ...(port === undefined ? [] : [`  metrics  http://127.0.0.1:${port}/metrics`]),
    'Ctrl-C ends the daemon; machines keep running.',
  ].join('\n');
}
