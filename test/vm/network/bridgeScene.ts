/** A host with machines on its bridge, and a world beyond it: namespaces that end with the test file. */
import { afterAll, beforeAll, expect } from 'vitest';
import { describeFrame, type SeenFrame } from './frames.ts';
import {
  makeNamespace,
  plugGuest,
  plugWorld,
  type Driver,
  type Namespace,
  type TestMachine,
} from './namespaces.ts';

export const subnet = '10.42.0.0/16';
export const gateway = '10.42.0.1';
export const gatewayMac = '02:c0:0a:2a:00:01';
/** For what must not arrive, in milliseconds. */
export const silence = 400;
/** For what must. */
export const patience = 5000;

/** As Docker leaves a host; it drops nothing that the tests send. */
const dockerLike = `
table ip nat {
  chain PREROUTING { type nat hook prerouting priority -100; policy accept;
    fib daddr type local tcp dport 9090 dnat to 203.0.113.10:7000
  }
}
table ip filter {
  chain DOCKER-USER { counter return
  }
  chain FORWARD { type filter hook forward priority 0; policy accept;
    counter jump DOCKER-USER
  }
}`;

export interface BridgeScene {
  readonly host: Namespace;
  readonly world: Namespace;
  /** Where the network is open. */
  readonly driver: Driver;
  /** After the death of the driver: another one. */
  reopen(): Promise<void>;
  attach(machine: TestMachine): Promise<TestMachine>;
  detach(machine: TestMachine): Promise<void>;
  /** A machine with a stack of its own. */
  guestOf(machine: TestMachine): Promise<{ readonly space: Namespace; readonly at: Driver }>;
  /** Sends a frame, and returns what the machine gets meanwhile. */
  answers(machine: TestMachine, frame: Buffer): Promise<SeenFrame[]>;
  bridgeCounter(name: string): Promise<number>;
  /** What is loaded, without what changes by itself. */
  rules(): Promise<string>;
  elements(set: string): Promise<string>;
  /** Removed at the end. */
  own(namespace: Namespace): void;
}

/** To be called where tests are declared. */
export function bridgeScene(): BridgeScene {
  const made: Namespace[] = [];
  let host: Namespace;
  let world: Namespace;
  let driver: Driver;

  async function reopen(): Promise<void> {
    driver = host.drive();
    expect(await driver.call.open(subnet, ['203.0.113.10:5353'])).toBeNull();
  }

  async function attach(machine: TestMachine): Promise<TestMachine> {
    await driver.call.attach(machine.run, machine.card);
    return machine;
  }

  beforeAll(async () => {
    host = await makeNamespace();
    made.push(host);
    world = await plugWorld(host);
    made.push(world);
    await host.nft(dockerLike);
    await reopen();
    await driver.call.serve('0.0.0.0', 9000);
    const far = world.drive();
    await far.call.serve('0.0.0.0', 7000);
    await far.call.serve('0.0.0.0', 53);
  });

  afterAll(async () => {
    for (const namespace of made.reverse()) await namespace.remove();
  });

  return {
    get host() {
      return host;
    },
    get world() {
      return world;
    },
    get driver() {
      return driver;
    },
    reopen,
    attach,
    async detach({ run }) {
      await driver.call.detach(run);
      await driver.call.unplug(run);
    },
    async guestOf(machine) {
      await attach(machine);
      await driver.call.unplug(machine.run);
      const space = await plugGuest(host, machine);
      made.push(space);
      return { space, at: space.drive() };
    },
    async answers({ run }, frame) {
      await driver.call.receive(run, 1);
      await driver.call.send(run, frame.toString('hex'));
      const frames = await driver.call.receive(run, silence);
      return frames.map((text) => describeFrame(Buffer.from(text, 'hex')));
    },
    async bridgeCounter(name) {
      const text = await host.exec('nft', 'list', 'counter', 'bridge', 'coppice', name);
      return Number(/packets (\d+)/.exec(text)?.[1]);
    },
    async rules() {
      const text = await host.exec('nft', '-s', 'list', 'table', 'inet', 'coppice');
      return text.replaceAll(/ expires \w+/g, '');
    },
    async elements(set) {
      return await host.exec('nft', '-j', 'list', 'set', 'inet', 'coppice', set);
    },
    own: (namespace) => void made.push(namespace),
  };
}
