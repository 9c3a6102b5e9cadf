/**
 * From a checkout to a machine that ran something: builds what is missing, starts the daemon, boots a
 * machine, uses it, wrecks and restores it, forks it, and leaves nothing running. What was built and the registered image stay, so that
 * `coppice create` works at once afterwards. Called by `npm run quickstart`.
 */
import { createHash, randomBytes } from 'node:crypto';
import { connectClient, type CoppiceClient } from '../helper-daemon/client/client.ts';
import { connectDaemon, daemonSocket } from '../helper-daemon/client/startDaemon.ts';
import { downloadedBytes, uploadBytes } from '../helper-daemon/client/transfer.ts';
import { printableLines } from '../helper-daemon/cli/text/printable.ts';
import { startProgress } from '../helper-daemon/cli/text/progressLine.ts';
import { styleFor } from '../helper-daemon/cli/text/style.ts';
import { renderTable } from '../helper-daemon/cli/text/table.ts';
import { formatBytes, formatDuration } from '../helper-daemon/cli/text/units.ts';
import { version } from '../helper-daemon/system/version.ts';
import { progressDisplay } from '../images/progressDisplay.ts';
import { asCoppiceError, CoppiceError } from '../protocol/errors.ts';
import { buildAll } from './build.ts';
import { buildAssets } from './buildAssets.ts';
import { reachAndBeDenied } from './quickstartNetwork.ts';
import { snapshotsAndForks, type Step } from './quickstartSnapshots.ts';
import { swarmAndMerge } from './quickstartSwarm.ts';

const identity = { name: 'quickstart', version };
const image = 'debian-dev';
const fileBytes = 32 * 1024 * 1024;

const commands = [
  'uname -srm && . /etc/os-release && echo "$PRETTY_NAME, $(nproc) CPUs"',
  `python3 -c 'print("2 ** 100 =", 2 ** 100)'`,
  'git init -q demo && cd demo && echo hello > a.txt && git add . && git -c user.name=me -c user.email=me@example.org commit -qm "First commit" && git log --oneline',
] as const;

const style = styleFor(process.stdout);
const interrupted = new AbortController();
const steps: { readonly title: string; readonly result: string; readonly ms: number }[] = [];

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** A command of a machine and what it said. */
function show(command: string, output: string): void {
  say(style.dim(`    $ ${command}`));
  if (output !== '') say(printableLines(output).trimEnd().replace(/^/gm, '    '));
}

/** A step that is left out once somebody said stop. */
const step: Step = async (title, work, describe) => {
  if (interrupted.signal.aborted) {
    throw new CoppiceError({ code: 'cancelled', message: 'Stopped.' });
  }
  return await always(title, work, describe);
};

/** Runs one step, shows that it runs, and remembers what it took; also what tidies up after a stop. */
async function always<T>(
  title: string,
  work: (update: (message: string, fraction?: number) => void) => Promise<T>,
  describe: (value: T) => string = () => '',
): Promise<T> {
  const progress = startProgress(title);
  const started = performance.now();
  try {
    const value = await work((message, fraction) =>
      progress.update(`${title}: ${message}`, fraction),
    );
    const ms = performance.now() - started;
    progress.stop();
    const result = describe(value);
    steps.push({ title, result, ms });
    say(
      `${style.good('✓')} ${title} ${style.dim(`${result === '' ? '' : `${result}, `}${formatDuration(ms)}`)}`,
    );
    return value;
  } finally {
    progress.stop();
  }
}

/** Several long jobs at once have a display of their own. */
async function buildWhatIsMissing(): Promise<void> {
  const display = progressDisplay();
  const started = performance.now();
  try {
    await buildAssets({
      images: [image],
      signal: interrupted.signal,
      onProgress: (progress) => display.update(progress),
      onDone: (name, text) => display.done(name, text),
    });
  } finally {
    display.close();
  }
  const ms = performance.now() - started;
  steps.push({
    title: 'Kernel, guest agent, image',
    result: ms < 20_000 ? 'from the cache' : 'built',
    ms,
  });
}

async function main(): Promise<void> {
  say(style.bold('Coppice quickstart'));
  await buildWhatIsMissing();
  await step(
    'Programs',
    () => buildAll(['coppice', 'coppiced', 'coppice-mcp']),
    () => 'bundled',
  );
  const daemon = await step('Daemon', findOrStartDaemon, ({ ours, client }) =>
    ours ? `started in ${client.server.mode} mode` : 'was running already',
  );
  try {
    await useMachine(daemon.client);
  } finally {
    try {
      if (daemon.ours) await always('Daemon stopped', () => stopDaemon(daemon.client));
    } finally {
      daemon.client.close();
    }
  }
  summary();
}

async function findOrStartDaemon(): Promise<{ client: CoppiceClient; ours: boolean }> {
  try {
    return { client: await connectClient(daemonSocket().path, identity), ours: false };
  } catch {
    return { client: await connectDaemon(identity), ours: true };
  }
}

async function stopDaemon(client: CoppiceClient): Promise<void> {
  const gone = new Promise<void>((resolve) => client.onClose(resolve));
  await client.call('daemon_stop', {});
  await gone;
}

async function useMachine(client: CoppiceClient): Promise<void> {
  const { signal } = interrupted;
  await step(
    'Image registered',
    (update) =>
      client.call(
        'image_build',
        { name: image },
        { signal, onProgress: (p) => update(p.message, p.fraction) },
      ),
    (info) => `${info.name}, ${formatBytes(info.size_bytes)}`,
  );
  // Ephemeral: should this script be killed, the daemon destroys the machine.
  const name = `quickstart-${randomBytes(3).toString('hex')}`;
  const machine = await step(
    'Machine created and booted',
    (update) =>
      client.call(
        'workspace_create',
        { name, ephemeral: true },
        { signal, onProgress: (p) => update(p.message, p.fraction) },
      ),
    () => name,
  );
  try {
    await runCommands(client, machine.workspace_id);
    await moveFile(client, machine.workspace_id);
    const stage = { client, machine: machine.workspace_id, signal, step, always, show };
    await reachAndBeDenied(stage);
    await snapshotsAndForks(stage);
    await swarmAndMerge(stage);
  } finally {
    await always('Machine destroyed', () =>
      client.call('workspace_destroy', { workspace_id: machine.workspace_id }),
    );
  }
}

async function runCommands(client: CoppiceClient, machine: string): Promise<void> {
  const outputs = await step(
    'Commands in the machine',
    async () => {
      const results: string[] = [];
      for (const command of commands) {
        const result = await client.call(
          'exec',
          { workspace_id: machine, command },
          { signal: interrupted.signal },
        );
        if (result.exit_code !== 0) {
          throw new CoppiceError({
            code: 'command_failed',
            message: `In the machine, ${command} ended with exit code ${String(result.exit_code)}:\n${result.stderr}`,
          });
        }
        results.push(result.stdout);
      }
      return results;
    },
    () => 'uname, python3, git',
  );
  for (const [index, output] of outputs.entries()) {
    const [first = ''] = (commands[index] ?? '').split(' && ');
    show(`${first}${first === commands[index] ? '' : ' …'}`, output);
  }
}

async function moveFile(client: CoppiceClient, machine: string): Promise<void> {
  const content = randomBytes(fileBytes);
  const digest = (data: Buffer): string => createHash('sha256').update(data).digest('hex');
  const path = '/workspace/file.bin';
  await step(
    'File into the machine',
    async () => {
      const { ticket } = await client.call('file_upload', {
        workspace_id: machine,
        path,
        size: fileBytes,
      });

      async function* once(): AsyncGenerator<Uint8Array> {
        yield content;
      }
      await uploadBytes(await client.openStream(ticket), once());
    },
    () => formatBytes(fileBytes),
  );
  await step(
    'File out of the machine',
    async () => {
      const { ticket } = await client.call('file_download', { workspace_id: machine, path });
      const chunks: Uint8Array[] = [];
      for await (const chunk of downloadedBytes(await client.openStream(ticket))) {
        chunks.push(chunk);
      }
      if (digest(Buffer.concat(chunks)) !== digest(content)) {
        throw new CoppiceError({
          code: 'file_error',
          message: 'The file that came back is not the one that went in.',
        });
      }
    },
    () => `${formatBytes(fileBytes)}, same SHA-256`,
  );
}

function summary(): void {
  const total = steps.reduce((sum, { ms }) => sum + ms, 0);
  const rows = steps.map(({ title, result, ms }) => [title, formatDuration(ms), style.dim(result)]);
  say('');
  say(
    renderTable(
      [{ title: 'STEP' }, { title: 'TOOK', align: 'right' }, { title: '' }],
      [...rows, [style.bold('Everything'), style.bold(formatDuration(total)), '']],
      style,
    ),
  );
  say('');
  say('Nothing is left running. Try next:');
  for (const [command, effect] of [
    ['bin/coppice create demo', 'a machine that stays'],
    ['bin/coppice shell demo', 'a terminal in it'],
    ['bin/coppice ssh demo', 'the same with ssh, scp, rsync and git'],
    ['bin/coppice port add demo 8000', 'its port 8000 on this host'],
    ['bin/coppice snapshot create demo s1 -m', 'its state, memory and all'],
    ['bin/coppice fork demo -n 4', 'four copies whose programs go on'],
    ['bin/coppice run --in . -- ls -l', 'a command in a machine that exists only for it'],
  ] as const) {
    say(`  ${style.accent(command.padEnd(40))} ${style.dim(effect)}`);
  }
}

let signals = 0;
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => {
    interrupted.abort();
    signals += 1;
    // The daemon destroys the ephemeral machine when we are gone.
    if (signals > 1) process.exit(130);
  });
}

try {
  await main();
} catch (error) {
  const { code, message, next } = asCoppiceError(error);
  process.stderr.write(`\n${style.bad('Quickstart stopped:')} ${printableLines(message)}\n`);
  if (next !== undefined) process.stderr.write(`${style.accent('Next:')} ${next}\n`);
  process.exitCode = code === 'cancelled' || interrupted.signal.aborted ? 130 : 1;
}
