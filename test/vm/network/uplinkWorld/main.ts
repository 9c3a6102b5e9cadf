/**
 * Runs in a network namespace of its own, as the host of one machine without a machine: a card towards an
 * "internet" in a second namespace, the daemon's network, and a guest made of frames. Says what it found as JSON,
 * in one line. The first argument is an empty directory. With the word `hold` it stops after the first connection
 * and says whom it started.
 */
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { addressPlan } from '../../../../helper-daemon/network/addressPlan.ts';
import { openUserNetwork } from '../../../../helper-daemon/network/user/userNetwork.ts';
import { cardOf } from '../../../unit/network/user/bed.ts';
import { openGuest, type Connection } from './guest.ts';
import { internet, sourceBytes, sourceDigest } from './internet.ts';

const facts: Record<string, unknown> = {};
const ip = (...args: string[]): void => void execFileSync('ip', args);

async function startInternet(): Promise<{ open(): number; end(): void }> {
  const child = spawn(
    'unshare',
    ['-n', process.execPath, path.join(import.meta.dirname, 'internet.ts')],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  const lines = createInterface({ input: child.stdout });
  let open = 0;
  const waiting = new Map<string, () => void>();
  lines.on('line', (line) => {
    waiting.get(line)?.();
    if (line === 'connected') open += 1;
    if (line === 'disconnected') open -= 1;
  });
  const said = (word: string): Promise<void> =>
    new Promise((resolve) => void waiting.set(word, resolve));
  await said('ready');
  ip('link', 'add', 'wan', 'type', 'veth', 'peer', 'name', 'isp', 'netns', String(child.pid));
  ip('link', 'set', 'lo', 'up');
  ip('addr', 'add', `${internet.host}/24`, 'dev', 'wan');
  ip('link', 'set', 'wan', 'up');
  ip('route', 'add', 'default', 'via', internet.address);
  const listening = said('listening');
  child.stdin.write('isp\n');
  await listening;
  return { open: () => open, end: () => child.stdin.end() };
}

/** Processes that this one has started, by name. */
function children(name: string): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
        const [state = '', parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
        return stat.includes(`(${name}`) && Number(parent) === process.pid && state !== 'Z';
      } catch {
        return false;
      }
    })
    .map(Number);
}

async function until(condition: () => boolean | Promise<boolean>, ms = 20_000): Promise<boolean> {
  const end = performance.now() + ms;
  while (performance.now() < end) {
    if (await condition()) return true;
    await delay(20);
  }
  return false;
}

async function echoes(connection: Connection | undefined): Promise<boolean> {
  const text = Buffer.from('there and back');
  connection?.send(text);
  return (await connection?.received(text.length))?.equals(text) ?? false;
}

const directory = process.argv[2] ?? '';
const log = pino({ level: process.env['COPPICE_LOG_LEVEL'] ?? 'silent' }, pino.destination(2));
const plan = addressPlan('10.42.0.0/16');
const network = openUserNetwork({ plan, resolverOptions: { upstreams: ['127.0.0.1:9'] }, log });
const run = { workspaceId: 'w', runId: 'r', runDir: directory };
const address = '10.42.0.2';
const policy = (words: Parameters<typeof cardOf>[2]): ReturnType<typeof cardOf> =>
  cardOf('w', address, words);
try {
  facts['problemWithoutRoute'] = await network.uplinkProblem();
  const world = await startInternet();
  facts['problem'] = (await network.uplinkProblem()) ?? null;
  execFileSync('sysctl', ['-qw', 'net.ipv4.ping_group_range=0 2147483647']);
  let hostConnections = 0;
  const service = net.createServer((socket) => {
    hostConnections += 1;
    socket.destroy();
  });
  await new Promise<void>((resolve) => service.listen(8000, '0.0.0.0', resolve));

  const card = policy({});
  await network.attach(run, card);
  const guest = await openGuest(path.join(directory, 'net.sock'), card, plan.gatewayMac);
  await network.connect(run, card);
  facts['closedByDefault'] =
    (await guest.connect(internet.address, internet.echoPort)) === undefined;
  facts['childrenBefore'] = children('passt').length;

  await network.apply(policy({ internet: 'full' }));
  const connection = await guest.connect(internet.address, internet.echoPort);
  facts['echo'] = await echoes(connection);
  facts['children'] = children('passt').length;
  if (process.argv.includes('hold')) {
    process.stdout.write(`${JSON.stringify({ passt: children('passt')[0] })}\n`);
    await new Promise(() => setInterval(() => undefined, 1000));
  }
  facts['datagram'] = await guest.datagram(internet.address, internet.datagramPort, 'hello');
  facts['ping'] = await guest.ping(internet.farAddress);
  const source = await guest.connect(internet.farAddress, internet.sourcePort);
  const began = performance.now();
  const got = await source?.received(sourceBytes);
  facts['megabytesPerSecond'] = sourceBytes / 1000 / (performance.now() - began);
  facts['download'] =
    createHash('sha256')
      .update(got ?? '')
      .digest('hex') === sourceDigest();

  facts['hostRefused'] =
    (await guest.connect(internet.host, 8000)) === undefined &&
    (await guest.connect('127.0.0.1', 8000)) === undefined &&
    (await guest.connect(plan.gateway, 8000)) === undefined;
  facts['hostConnections'] = hostConnections;
  await network.apply(policy({ internet: 'list', allow: [`${internet.host}:8000`] }));
  const toHost = await guest.connect(internet.host, 8000);
  facts['hostWhenNamed'] = toHost !== undefined && (await until(() => hostConnections === 1));

  facts['openBefore'] = world.open();
  connection?.send(Buffer.from('more'));
  facts['endOfRevoked'] = await connection?.ended;
  facts['endedOutside'] = await until(() => world.open() === 0);

  await network.apply(policy({ internet: 'full' }));
  for (const pid of children('passt')) process.kill(pid, 'SIGKILL');
  facts['worksAfterDeath'] = await until(async () =>
    echoes(await guest.connect(internet.address, internet.echoPort)),
  );
  facts['childrenAfterDeath'] = children('passt').length;
  await network.detach(run);
  facts['childrenAfterDetach'] = children('passt').length;
  facts['denied'] = (await network.denials('w')).map(
    ({ destination, port }) => `${destination}:${port}`,
  );
  await guest.close();
  service.close();
  world.end();
} finally {
  await network.close();
}
process.stdout.write(`${JSON.stringify(facts)}\n`);
process.exit(0);
