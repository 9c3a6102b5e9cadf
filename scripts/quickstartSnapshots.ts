/**
 * The part of the quickstart that cannot be done without a machine of one's own: a server with state in
 * memory is snapshotted, its system is wrecked and put back, and copies of it go on from the same moment.
 */
import type { CoppiceClient } from '../helper-daemon/client/client.ts';
import { printableLines } from '../helper-daemon/cli/text/printable.ts';
import { formatDuration } from '../helper-daemon/cli/text/units.ts';
import { CoppiceError } from '../protocol/errors.ts';
import type { OutputOf } from '../protocol/operations.ts';

/** Runs one step, shows that it runs, and remembers what it took. */
export type Step = <T>(
  title: string,
  work: (update: (message: string, fraction?: number) => void) => Promise<T>,
  describe?: (value: T) => string,
) => Promise<T>;

export interface Stage {
  readonly client: CoppiceClient;
  /** Name or id of a running machine. */
  readonly machine: string;
  readonly signal: AbortSignal;
  readonly step: Step;
  /** A step that also runs when somebody said stop. */
  readonly always: Step;
  /** Shows a command and what it said. */
  show(command: string, output: string): void;
}

const copies = 3;
const snapshotName = 'works';

/** Counts its requests in a variable: nothing of it is on the disk. */
const server = `import http.server, socket
requests = 0
class Counter(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global requests
        requests += 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"request {requests}, answered by {socket.gethostname()}\\n".encode())
    def log_message(self, *words):
        pass
http.server.HTTPServer(("127.0.0.1", 8000), Counter).serve_forever()
`;
const ask = 'curl -sSf http://127.0.0.1:8000/';
const askWhenReady = `until ${ask} 2>/dev/null; do sleep 0.1; done`;
const wreck = 'rm -rf /usr/bin';
const stillThere = 'git --version';

export async function snapshotsAndForks(stage: Stage): Promise<void> {
  await startServer(stage);
  await wreckAndRestore(stage);
  const { workers, failures } = await fork(stage);
  try {
    const [failed] = failures;
    if (failed !== undefined) throw notCopied(failed);
    await askCopies(stage, workers);
  } finally {
    await destroy(stage, workers);
  }
}

async function startServer({ client, machine, signal, step, show }: Stage): Promise<void> {
  const output = await step(
    'Server in the machine',
    async () => {
      await client.call('process_start', {
        workspace_id: machine,
        command: `exec python3 -c '${server}'`,
        label: 'counter',
      });
      return await run(client, machine, askWhenReady, signal);
    },
    () => 'python3, counts in memory',
  );
  show(ask, output);
}

async function wreckAndRestore(stage: Stage): Promise<void> {
  const { client, machine, signal, step, show } = stage;
  await step(
    'Snapshot with memory',
    (update) =>
      client.call(
        'snapshot_create',
        { workspace_id: machine, name: snapshotName, include_memory: true },
        { signal, onProgress: (p) => update(p.message, p.fraction) },
      ),
    ({ pause_ms }) => `programs stood still for ${formatDuration(pause_ms)}`,
  );
  const failure = await step('System wrecked', async () => {
    await run(client, machine, wreck, signal);
    return await failureOf(client, machine, stillThere, signal);
  });
  show(wreck, '');
  show(stillThere, failure);
  await step(
    'Snapshot restored',
    (update) =>
      client.call(
        'snapshot_restore',
        { workspace_id: machine, name: snapshotName },
        { signal, onProgress: (p) => update(p.message, p.fraction) },
      ),
    ({ resumed }) => (resumed ? 'its programs go on' : 'booted'),
  );
  show(`${stillThere}; ${ask}`, await run(client, machine, `${stillThere}; ${ask}`, signal));
}

async function fork({ client, machine, signal, step }: Stage): Promise<OutputOf<'workspace_fork'>> {
  return await step(
    `${String(copies)} copies of the running machine`,
    (update) =>
      client.call(
        'workspace_fork',
        { workspace_id: machine, count: copies, ephemeral: true },
        { signal, onProgress: (p) => update(p.message, p.fraction) },
      ),
    ({ workers }) =>
      `ready after ${workers.map(({ ready_ms }) => formatDuration(ready_ms)).join(', ')}`,
  );
}

function notCopied({
  name,
  error,
}: {
  readonly name: string;
  readonly error: string;
}): CoppiceError {
  return new CoppiceError({
    code: 'command_failed',
    message: `The copy ${name} could not be made: ${error}`,
  });
}

/** Each is asked once more than the one before: from one moment on they go different ways. */
async function askCopies(
  { client, signal, step, show }: Stage,
  workers: OutputOf<'workspace_fork'>['workers'],
): Promise<void> {
  const answers = await step('Each copy goes its own way', () =>
    Promise.all(
      workers.map(({ workspace_id, index }) =>
        run(client, workspace_id, Array.from({ length: index }, () => ask).join('; '), signal),
      ),
    ),
  );
  for (const answer of answers) show(ask, answer);
}

async function destroy(
  { client, always }: Stage,
  workers: OutputOf<'workspace_fork'>['workers'],
): Promise<void> {
  await always('Copies destroyed', () =>
    Promise.all(
      workers.map(({ workspace_id }) => client.call('workspace_destroy', { workspace_id })),
    ),
  );
}

/** @returns what it printed */
export async function run(
  client: CoppiceClient,
  machine: string,
  command: string,
  signal: AbortSignal,
): Promise<string> {
  const result = await client.call('exec', { workspace_id: machine, command }, { signal });
  if (result.exit_code === 0) return result.stdout;
  throw new CoppiceError({
    code: 'command_failed',
    message: `In the machine, ${command} ended with exit code ${String(result.exit_code)}:\\n${result.stderr}`,
  });
}

async function failureOf(
  client: CoppiceClient,
  machine: string,
  command: string,
  signal: AbortSignal,
): Promise<string> {
  try {
    await run(client, machine, command, signal);
  } catch (error) {
    if (error instanceof CoppiceError && ['not_started', 'command_failed'].includes(error.code)) {
      return printableLines(error.message);
    }
    throw error;
  }
  throw new CoppiceError({
    code: 'command_failed',
    message: `${command} still works after ${wreck}.`,
  });
}
