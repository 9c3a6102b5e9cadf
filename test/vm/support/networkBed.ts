/**
 * A host, an internet and a local network of a test's own, in network namespaces: nothing leaves them. In both
 * run programs (`network/peers.py`) that machines may or may not reach, and one that sees every packet.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { describe } from 'vitest';

const scripts = path.resolve(import.meta.dirname, '../network');
export const peersScript = path.join(scripts, 'peers.py');
export const probeScript = path.join(scripts, 'probe.py');

/** Where things are, as seen from the host. */
export const places = {
  /** The host's own addresses, towards the internet and towards its local network. */
  outer: '203.0.113.1',
  lan: '192.168.77.1',
  /** The internet. */
  router: '203.0.113.2',
  ten: '198.51.100.10',
  twenty: '198.51.100.20',
  thirty: '198.51.100.30',
  nameServer: '198.51.100.53',
  /** Nobody's business: a machine of the local network, the cloud's metadata, other private networks. */
  neighbour: '192.168.77.2',
  metadata: '169.254.169.254',
  office: '10.99.0.1',
  carrier: '100.64.0.1',
} as const;

/** No machine may arrive at the first, some at the second, at the third only the tests themselves. */
export const doors = { closed: 7001, open: 7002, own: 7003, alsoOpen: 8443 } as const;

/** Listeners of the host that are no business of any machine. */
export const hostDoors = { everywhere: 9001, loopback: 9002, gateway: 9003 } as const;

const { twenty, thirty, ten } = places;
const zones = {
  'allowed.test': { A: [twenty], AAAA: ['2001:db8::20'], TXT: ['hello'] },
  'cdn.test': { A: [ten] },
  'sub.cdn.test': { A: [thirty] },
  'deep.sub.cdn.test': { A: [thirty] },
  'both.test': { A: [thirty] },
  'www.both.test': { A: [thirty] },
  'notboth.test': { A: [ten] },
  'denied.test': { A: [ten] },
  'alias.test': { CNAME: ['elsewhere.test'] },
  'elsewhere.test': { A: [thirty] },
  'short.test': { A: [thirty], ttl: 1 },
  'ten.test': { A: [places.office] },
  'loopback.test': { A: ['127.0.0.1'] },
  'metadata.test': { A: [places.metadata] },
  'lan.test': { A: [places.neighbour] },
  'mixed.test': { A: [twenty, places.neighbour] },
} as const;

export interface PeersReport {
  /** Messages of each flow that arrived. */
  readonly counts: Readonly<Record<string, number>>;
  /** "tcp 7001 10.42.0.2": how often that client was at that door. */
  readonly clients: Readonly<Record<string, number>>;
  /** "A allowed.test" */
  readonly questions: readonly string[];
  /** "wan out udp 10.0.0.1 198.51.100.20 7001", or "tap in token:name" for frames that carry one. */
  readonly packets: Readonly<Record<string, number>>;
}

export interface Peers {
  report(): Promise<PeersReport>;
  reset(): Promise<void>;
  /** Listens on TCP and UDP at an address that was not there before. */
  listen(address: string, port: number): Promise<void>;
  /** Opens a TCP connection to one of our own servers and keeps it. */
  dial(address: string, port: number): Promise<Line>;
  close(): Promise<void>;
}

export interface Line {
  /** Whether what is said on it still comes back. */
  echoes(): Promise<boolean>;
}

export interface NetworkBed {
  /** Names of the namespaces. */
  readonly host: string;
  readonly internet: string;
  readonly hostPeers: Peers;
  readonly internetPeers: Peers;
  /** Removes namespaces and ends programs. */
  dispose(): Promise<void>;
}

/** Skipped, with the reason, where there can be no bed. */
export function describeOnBed(title: string, work: () => void): void {
  const missing = missingForBed();
  const full = missing === undefined ? title : `${title} (${missing})`;
  describe.skipIf(missing !== undefined)(full, work);
}

function missingForBed(): string | undefined {
  if (process.getuid?.() !== 0) return 'network tests need root';
  for (const program of ['ip', 'nft', 'python3']) {
    const tried = spawnSync(program, ['-V'], { env: programEnv, stdio: 'ignore' });
    if (tried.error !== undefined) return `network tests need ${program}`;
  }
  return existsSync('/dev/net/tun') ? undefined : 'network tests need /dev/net/tun';
}

// The system's own programs first: wrappers that people have in their PATH take their time.
const programEnv = {
  ...process.env,
  PATH: `/usr/sbin:/usr/bin:/sbin:/bin:${process.env['PATH'] ?? ''}`,
};

/** @throws when the program fails, with what it said */
export function inNamespace(namespace: string, argv: readonly string[], input = ''): string {
  return run(['netns', 'exec', namespace, ...argv], input);
}

/** As `inNamespace`, without standing in the way of everything else meanwhile. */
export async function runInNamespace(
  namespace: string,
  argv: readonly string[],
  input = '',
): Promise<string> {
  const child = spawn('ip', ['netns', 'exec', namespace, ...argv], { env: programEnv });
  let output = '';
  let complaint = '';
  child.stdout.on('data', (data: Buffer) => (output += data.toString()));
  child.stderr.on('data', (data: Buffer) => (complaint += data.toString()));
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${argv.join(' ')} ended with ${String(code)}: ${complaint}`);
  return output;
}

function run(args: readonly string[], input = ''): string {
  const done = spawnSync('ip', args, { input, env: programEnv, encoding: 'utf8' });
  if (done.status !== 0) {
    throw new Error(`ip ${args.join(' ')}: ${done.stderr}${done.error?.message ?? ''}`);
  }
  return done.stdout;
}

const prefix = 'cnb';
let beds = 0;

export interface BedOptions {
  /**
   * Whether the host also shows what its bridges carry to the rules for routed packets, as hosts with containers
   * often do. Where the kernel cannot, it does not.
   */
  readonly bridgesAreFiltered?: boolean;
}

export async function openNetworkBed(options: BedOptions = {}): Promise<NetworkBed> {
  removeAbandoned();
  beds += 1;
  const name = `${prefix}-${String(process.pid)}-${String(beds)}`;
  const host = `${name}-host`;
  const internet = `${name}-net`;
  const opened: Peers[] = [];
  async function dispose(): Promise<void> {
    await Promise.all(opened.map((peers) => peers.close()));
    for (const namespace of [host, internet]) {
      if (namespaces().includes(namespace)) run(['netns', 'del', namespace]);
    }
  }
  try {
    build(host, internet);
    filterBridges(host, options.bridgesAreFiltered === true);
    const internetPeers = await startPeers(internet, { ...internetServers(), zones });
    opened.push(internetPeers);
    const hostPeers = await startPeers(host, {
      tcp: hostServers,
      udp: hostServers,
      watch: true,
    });
    opened.push(hostPeers);
    return { host, internet, hostPeers, internetPeers, dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

const hostServers = [
  ['0.0.0.0', hostDoors.everywhere],
  ['127.0.0.1', hostDoors.loopback],
] as const;

/** UDP answers must come from the address that was asked, so each has a socket of its own. */
function internetServers(): Record<string, unknown> {
  const outside = Object.entries(places)
    .filter(([place]) => place !== 'outer' && place !== 'lan')
    .map(([, address]) => address);
  const everywhere = outside.flatMap((address) =>
    Object.values(doors).map((port) => [address, port]),
  );
  return {
    tcp: [...everywhere, [places.ten, 853]],
    udp: everywhere,
    dns: [
      [places.nameServer, 53],
      [places.ten, 53],
      [places.thirty, 53],
    ],
  };
}

function build(host: string, internet: string): void {
  for (const namespace of [host, internet]) {
    run(['netns', 'add', namespace]);
    run(['-n', namespace, 'link', 'set', 'lo', 'up']);
    // What is seen of IPv6 in them is then the machines' alone.
    for (const scope of ['all', 'default']) {
      inNamespace(namespace, ['sysctl', '-qw', `net.ipv6.conf.${scope}.disable_ipv6=1`]);
    }
  }
  wire(host, internet, 'wan', `${places.outer}/24`, `${places.router}/24`);
  wire(host, internet, 'lan', `${places.lan}/24`, `${places.neighbour}/24`);
  run(['-n', host, 'route', 'add', 'default', 'via', places.router]);
  const { ten: first, twenty: second, thirty: third, nameServer } = places;
  const { metadata, office, carrier } = places;
  for (const address of [first, second, third, nameServer, metadata, office, carrier]) {
    run(['-n', internet, 'addr', 'add', `${address}/32`, 'dev', 'lo']);
  }
  // Somebody outside who knows where the machines are.
  run(['-n', internet, 'route', 'add', '10.42.0.0/16', 'via', places.outer]);
}

function filterBridges(host: string, wanted: boolean): void {
  const setting = 'net/bridge/bridge-nf-call-iptables';
  if (!existsSync(`/proc/sys/${setting}`)) return;
  inNamespace(host, ['sysctl', '-qw', `${setting.replaceAll('/', '.')}=${wanted ? '1' : '0'}`]);
}

function wire(host: string, internet: string, name: string, near: string, far: string): void {
  run([
    'link',
    'add',
    name,
    'netns',
    host,
    'type',
    'veth',
    'peer',
    'name',
    name,
    'netns',
    internet,
  ]);
  run(['-n', host, 'addr', 'add', near, 'dev', name]);
  run(['-n', internet, 'addr', 'add', far, 'dev', name]);
  for (const namespace of [host, internet]) run(['-n', namespace, 'link', 'set', name, 'up']);
}

function namespaces(): string[] {
  return run(['netns', 'list'])
    .split('\n')
    .map((line) => line.split(' ')[0] ?? '')
    .filter((name) => name !== '');
}

/** Of test runs that were killed. */
function removeAbandoned(): void {
  for (const namespace of namespaces()) {
    const [own, pid] = namespace.split('-');
    if (own === prefix && !existsSync(`/proc/${pid ?? ''}`)) run(['netns', 'del', namespace]);
  }
}

async function startPeers(namespace: string, wanted: unknown): Promise<Peers> {
  const child = spawn('ip', ['netns', 'exec', namespace, 'python3', peersScript], {
    env: programEnv,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const { stdin, stdout } = child;
  const lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
  let last: Promise<unknown> = Promise.resolve();
  // One question at a time: answers come in their order.
  function ask(command: unknown): Promise<unknown> {
    const answered = last.then(async () => {
      stdin.write(`${JSON.stringify(command)}\n`);
      const { value, done } = await lines.next();
      if (done === true) throw new Error(`the servers in ${namespace} have ended`);
      return JSON.parse(value) as unknown;
    });
    last = answered.catch(() => undefined);
    return answered;
  }
  await ask(wanted);
  return {
    report: async () => (await ask(['report'])) as PeersReport,
    reset: async () => {
      await ask(['reset']);
    },
    listen: async (address, port) => {
      await ask(['listen', address, port]);
    },
    async dial(address, port) {
      const number = await ask(['dial', address, port]);
      if (number === null) throw new Error(`nobody answers at ${address}:${String(port)}`);
      return { echoes: async () => (await ask(['echoes', number])) === true };
    },
    close: async () => await ended(child),
  };
}

/** They end with their input. */
async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const gone = once(child, 'exit');
  child.stdin?.end();
  await gone;
}
