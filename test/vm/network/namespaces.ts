/** Network namespaces of one test, with processes in them; all of it ends with the test, also when that fails. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { run } from '../../../helper-daemon/system/run.ts';
import { tapName } from '../../../helper-daemon/network/bridge/cardElements.ts';
import type { Card, RunKey } from '../../../helper-daemon/network/network.ts';
import { closedPolicy, type NetworkPolicy } from '../../../helper-daemon/network/policy.ts';
import { macOf } from '../../../helper-daemon/network/addressPlan.ts';
import type { DriverCalls } from './driver.ts';

export interface Namespace {
  readonly name: string;
  /** Runs a program inside; returns its stdout. */
  exec(file: string, ...args: readonly string[]): Promise<string>;
  /** The text as one batch of `ip`. */
  ip(...lines: readonly string[]): Promise<void>;
  nft(text: string): Promise<void>;
  drive(): Driver;
  remove(): Promise<void>;
}

export interface Driver {
  readonly call: DriverCalls;
  readonly log: () => string;
  /** As kill -9 does. */
  kill(): Promise<void>;
}

export async function makeNamespace(): Promise<Namespace> {
  const name = `cpt-test-${randomUUID().slice(0, 8)}`;
  const drivers: Driver[] = [];
  await run('ip', ['netns', 'add', name]);
  const exec = async (file: string, ...args: readonly string[]): Promise<string> =>
    (await run('ip', ['netns', 'exec', name, file, ...args])).stdout;
  await exec('ip', 'link', 'set', 'lo', 'up');
  return {
    name,
    exec,
    async ip(...lines) {
      await run('ip', ['-n', name, '-batch', '-'], { input: `${lines.join('\n')}\n` });
    },
    async nft(text) {
      await run('ip', ['netns', 'exec', name, 'nft', '-f', '-'], { input: text });
    },
    drive() {
      const driver = startDriver(name);
      drivers.push(driver);
      return driver;
    },
    async remove() {
      for (const driver of drivers) await driver.kill();
      await run('ip', ['netns', 'del', name]);
    },
  };
}

function startDriver(namespace: string): Driver {
  const script = path.join(import.meta.dirname, 'driver.ts');
  const args = ['netns', 'exec', namespace, process.execPath, '--no-warnings', script];
  const child = spawn('ip', args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const waiting = new Map<number, PromiseWithResolvers<unknown>>();
  let log = '';
  child.stderr.on('data', (data: Buffer) => (log += data.toString()));
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { id, value, error } = JSON.parse(line) as {
      id: number;
      value?: unknown;
      error?: string;
    };
    const call = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) call?.resolve(value);
    else call?.reject(new Error(error));
  });
  child.once('exit', () => {
    for (const call of waiting.values()) call.reject(new Error(`the driver has ended: ${log}`));
  });
  let last = 0;
  const call = new Proxy({} as DriverCalls, {
    get:
      (_, method) =>
      (...callArgs: readonly unknown[]) => {
        last += 1;
        const answer = Promise.withResolvers<unknown>();
        waiting.set(last, answer);
        child.stdin.write(`${JSON.stringify({ id: last, method, args: callArgs })}\n`);
        return answer.promise;
      },
  });
  return { call, log: () => log, kill: () => killed(child) };
}

async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

export interface TestMachine {
  readonly run: RunKey;
  readonly card: Card;
}

let revision = 0;

/** A machine of 10.42.0.0/16 with the number as the end of its address. */
export function testMachine(
  number: number,
  policy: Partial<NetworkPolicy> = {},
  forwards: Card['forwards'] = [],
): TestMachine {
  const address = `10.42.${String(number >> 8)}.${String(number & 255)}`;
  const workspaceId = `workspace-${String(number)}`;
  revision += 1;
  return {
    run: { workspaceId, runId: randomUUID(), runDir: '/nowhere' },
    card: {
      workspaceId,
      name: `machine-${String(number)}`,
      address,
      mac: macOf(address),
      policy: { ...closedPolicy, ...policy },
      revision,
      forwards,
    },
  };
}

/** The same machine under another policy. */
export function changed(
  { run: same, card }: TestMachine,
  policy: Partial<NetworkPolicy>,
): TestMachine {
  revision += 1;
  return { run: same, card: { ...card, revision, policy: { ...card.policy, ...policy } } };
}

/**
 * A machine with a network stack of its own: a namespace in the place of the monitor. Its end of the cable has the
 * name of the TAP, so the rules take it for one.
 */
export async function plugGuest(
  host: Namespace,
  { run: { runId }, card }: TestMachine,
): Promise<Namespace> {
  const guest = await makeNamespace();
  const tap = tapName(runId);
  await host.ip(
    `link add ${tap} type veth peer name eth0 netns ${guest.name}`,
    `link set dev ${tap} addrgenmode none`,
    `link set dev ${tap} master br-coppice`,
    `link set dev ${tap} type bridge_slave isolated on flood off mcast_flood off`,
    `link set dev ${tap} up`,
  );
  await guest.ip(
    `link set dev eth0 address ${card.mac}`,
    `address add ${card.address}/32 dev eth0`,
    'link set dev eth0 up',
    'route add default via 10.42.0.1 dev eth0 onlink',
  );
  return guest;
}

/** A network beyond the host: 198.51.100.1 is the host's address there. */
export async function plugWorld(host: Namespace): Promise<Namespace> {
  const world = await makeNamespace();
  await host.ip(
    `link add wan type veth peer name eth0 netns ${world.name}`,
    'address add 198.51.100.1/24 dev wan',
    'link set dev wan up',
    'route add default via 198.51.100.2',
  );
  await world.ip(
    'address add 198.51.100.2/24 dev eth0',
    'link set dev eth0 up',
    // Stand-ins for the internet.
    'address add 203.0.113.10/32 dev lo',
    'address add 203.0.113.20/32 dev lo',
    'address add 192.168.77.1/32 dev lo',
  );
  return world;
}
