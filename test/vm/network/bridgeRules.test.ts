/**
 * The rules of the bridge, frame by frame and packet by packet, without machines: raw frames on real TAP devices, and
 * network stacks in namespaces of their own. Nothing leaves the namespaces that are made here.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tapName } from '../../../helper-daemon/network/bridge/cardElements.ts';
import { bridgeScene, gateway, gatewayMac, patience, silence } from './bridgeScene.ts';
import {
  arp,
  broadcastMac,
  describeFrame as seen,
  echoRequest,
  ethernet,
  etherTypes,
  ipv4,
  syn,
  udp,
  type SeenFrame,
} from './frames.ts';
import { changed, testMachine, type TestMachine } from './namespaces.ts';

const scene = bridgeScene();

const isEchoOf = (address: string) => (frame: SeenFrame) =>
  frame.type === etherTypes.ipv4 && frame.protocol === 1 && frame.from === address;

function ping(
  { card }: TestMachine,
  to: string,
  over: Partial<{ mac: string; from: string }> = {},
): Buffer {
  const packet = ipv4({ from: over.from ?? card.address, to, protocol: 1, payload: echoRequest() });
  return ethernet(gatewayMac, over.mac ?? card.mac, etherTypes.ipv4, packet);
}

describe('a frame', () => {
  let machine: TestMachine;
  let other: TestMachine;

  beforeAll(async () => {
    machine = await scene.attach(testMachine(20, { internet: 'full' }));
    other = await scene.attach(testMachine(21, { internet: 'full' }));
    // The host learns where both are.
    for (const one of [machine, other]) {
      const { mac, address } = one.card;
      const question = arp({
        operation: 'request',
        senderMac: mac,
        sender: address,
        target: gateway,
      });
      await scene.driver.call.send(
        one.run,
        ethernet(broadcastMac, mac, etherTypes.arp, question).toString('hex'),
      );
    }
  });

  afterAll(async () => {
    await scene.detach(machine);
    await scene.detach(other);
  });

  it('with the right addresses is answered, also as an ARP probe', async () => {
    const { mac, address } = machine.card;
    for (const sender of [address, '0.0.0.0']) {
      const question = arp({ operation: 'request', senderMac: mac, sender, target: gateway });
      const replies = await scene.answers(
        machine,
        ethernet(broadcastMac, mac, etherTypes.arp, question),
      );
      expect(replies.map(({ type }) => type)).toContain(etherTypes.arp);
    }
    expect((await scene.answers(machine, ping(machine, gateway))).some(isEchoOf(gateway))).toBe(
      true,
    );
  });

  it('with another MAC is dropped, and the bridge does not learn it', async () => {
    const before = await scene.bridgeCounter('forged_mac');
    const forged = ping(machine, gateway, { mac: other.card.mac });
    expect((await scene.answers(machine, forged)).some(isEchoOf(gateway))).toBe(false);
    expect(await scene.bridgeCounter('forged_mac')).toBeGreaterThan(before);
    const learned = await scene.host.exec('bridge', 'fdb', 'show', 'br', 'br-coppice');
    const line = learned.split('\n').find((text) => text.startsWith(other.card.mac));
    expect(line).toContain(tapName(other.run.runId));
  });

  it('with another source address is dropped', async () => {
    const before = await scene.bridgeCounter('forged_ip');
    const from = other.card.address;
    await scene.driver.call.receive(other.run, 1);
    expect(
      (await scene.answers(machine, ping(machine, gateway, { from }))).some(isEchoOf(gateway)),
    ).toBe(false);
    expect(
      (await scene.driver.call.receive(other.run, 100))
        .map((text) => seen(Buffer.from(text, 'hex')))
        .some(isEchoOf(gateway)),
    ).toBe(false);
    expect(await scene.bridgeCounter('forged_ip')).toBeGreaterThan(before);
  });

  it.each([
    ['a reply', 'reply' as const],
    ['a gratuitous request', 'request' as const],
  ])('that claims another address in ARP (%s) is dropped', async (_name, operation) => {
    const { mac } = machine.card;
    const neighbours = await scene.host.exec('ip', 'neigh', 'show', other.card.address);
    const before = await scene.bridgeCounter('forged_arp');
    const sender = other.card.address;
    const claim = arp({ operation, senderMac: mac, sender, target: sender });
    await scene.answers(machine, ethernet(broadcastMac, mac, etherTypes.arp, claim));
    const toGateway = arp({ operation, senderMac: other.card.mac, sender, target: gateway });
    await scene.answers(machine, ethernet(gatewayMac, mac, etherTypes.arp, toGateway));
    expect(await scene.bridgeCounter('forged_arp')).toBe(before + 2);
    const after = await scene.host.exec('ip', 'neigh', 'show', other.card.address);
    const macIn = (text: string): string | undefined => /lladdr (\S+)/.exec(text)?.[1];
    expect(macIn(after)).toBe(macIn(neighbours));
  });

  it('to the loopback of the host, or from one, is dropped', async () => {
    const { address, mac } = machine.card;
    const attempt = (from: string, to: string): Buffer =>
      ethernet(
        gatewayMac,
        mac,
        etherTypes.ipv4,
        ipv4({ from, to, protocol: 6, payload: syn(from, to, 4444, 9000) }),
      );
    expect(
      (await scene.answers(machine, attempt(address, '127.0.0.1'))).filter(
        ({ protocol }) => protocol === 6,
      ),
    ).toEqual([]);
    expect(
      (await scene.answers(machine, attempt('127.0.0.1', gateway))).filter(
        ({ protocol }) => protocol === 6,
      ),
    ).toEqual([]);
    const denials = await scene.driver.call.denials(machine.card.workspaceId);
    expect(denials).toContainEqual(
      expect.objectContaining({ destination: '127.0.0.1', port: 9000, protocol: 'tcp', count: 1 }),
    );
  });

  it('straight to the MAC of another machine does not arrive, nor does a broadcast', async () => {
    const packet = ipv4({
      from: machine.card.address,
      to: other.card.address,
      protocol: 1,
      payload: echoRequest(),
    });
    await scene.driver.call.receive(other.run, 1);
    for (const to of [other.card.mac, broadcastMac]) {
      await scene.answers(machine, ethernet(to, machine.card.mac, etherTypes.ipv4, packet));
    }
    const arrived = (await scene.driver.call.receive(other.run, 100)).map((text) =>
      seen(Buffer.from(text, 'hex')),
    );
    expect(arrived.filter(({ from }) => from === machine.card.address)).toEqual([]);
  });

  it('of any other protocol is dropped: IPv6, VLAN tags, LLDP', async () => {
    const { mac, address } = machine.card;
    const tagged = Buffer.concat([
      Buffer.from([0, 5, 8, 0]),
      ipv4({ from: address, to: gateway, protocol: 1, payload: echoRequest() }),
    ]);
    const before = await scene.bridgeCounter('other_protocols');
    const frames = [
      ethernet(
        '33:33:00:00:00:01',
        mac,
        etherTypes.ipv6,
        Buffer.concat([Buffer.from([0x60]), Buffer.alloc(50)]),
      ),
      ethernet(gatewayMac, mac, etherTypes.vlan, tagged),
      ethernet('01:80:c2:00:00:0e', mac, etherTypes.lldp, Buffer.alloc(50)),
      ethernet(gatewayMac, mac, 0x1234, Buffer.alloc(50)),
    ];
    for (const frame of frames) {
      const replies = await scene.answers(machine, frame);
      // The host itself asks now and then whether the machine is still there.
      expect(replies.filter(({ type }) => type !== etherTypes.arp)).toEqual([]);
    }
    // Frames to the link-local group (LLDP) do not even get as far as the rules.
    expect(await scene.bridgeCounter('other_protocols')).toBeGreaterThanOrEqual(before + 3);
  });

  it('from a TAP without a card is dropped, whatever it says', async () => {
    const template = testMachine(22);
    await scene.driver.call.attach(template.run, null);
    const { mac, address } = template.card;
    const question = arp({
      operation: 'request',
      senderMac: mac,
      sender: address,
      target: gateway,
    });
    expect(
      await scene.answers(template, ethernet(broadcastMac, mac, etherTypes.arp, question)),
    ).toEqual([]);
    expect(await scene.answers(template, ping(template, gateway))).toEqual([]);
    expect(await scene.answers(template, ping(machine, gateway))).toEqual([]);
    await scene.driver.call.unplug(template.run);
  });

  it('in fragments is judged as what it is part of', async () => {
    const { mac, address } = machine.card;
    const fragments = (from: string, to: string, message: Buffer, protocol: number): Buffer[] =>
      [
        ipv4({
          from,
          to,
          protocol,
          payload: message.subarray(0, 16),
          fragment: { offset: 0, more: true },
        }),
        ipv4({
          from,
          to,
          protocol,
          payload: message.subarray(16),
          fragment: { offset: 16, more: false },
        }),
      ].map((packet) => ethernet(gatewayMac, mac, etherTypes.ipv4, packet));
    const [first, second] = fragments(address, gateway, echoRequest(40), 1) as [Buffer, Buffer];
    await scene.driver.call.send(machine.run, first.toString('hex'));
    expect((await scene.answers(machine, second)).some(isEchoOf(gateway))).toBe(true);

    const forgedBefore = await scene.bridgeCounter('forged_ip');
    for (const part of fragments(other.card.address, gateway, echoRequest(40), 1)) {
      await scene.answers(machine, part);
    }
    expect(await scene.bridgeCounter('forged_ip')).toBe(forgedBefore + 2);

    for (const part of fragments(address, gateway, udp(5000, 9000, Buffer.alloc(24)), 17)) {
      expect(
        (await scene.answers(machine, part)).filter(({ protocol }) => protocol === 17),
      ).toEqual([]);
    }
    const denials = await scene.driver.call.denials(machine.card.workspaceId);
    expect(denials).toContainEqual(
      expect.objectContaining({ destination: gateway, port: 9000, protocol: 'udp' }),
    );
  });
});

describe('a machine with a stack of its own', () => {
  it('finds the ports of the host closed on every address it has', async () => {
    const machine = testMachine(30, { internet: 'full', allow: ['198.51.100.1', '10.42.0.1'] });
    const { at } = await scene.guestOf(machine);
    expect(await scene.driver.call.dial('127.0.0.1', 9000, patience)).toBeTypeOf('number');
    for (const address of [gateway, '198.51.100.1']) {
      expect(await at.call.dial(address, 9000, silence)).toBe('timeout');
      expect(await at.call.ask(address, 9000, 'x', silence)).toBe('timeout');
    }
    // Published by somebody else's redirection.
    expect(await at.call.dial('198.51.100.1', 9090, silence)).toBe('timeout');
    const denials = await scene.driver.call.denials(machine.card.workspaceId);
    expect(
      denials.find(({ destination, port }) => destination === gateway && port === 9000)?.reason,
    ).toBe('an address of the host');
    await scene.driver.call.detach(machine.run);
  });

  it('reaches what its policy names at that moment, and open connections follow it', async () => {
    const machine = testMachine(31);
    const { at } = await scene.guestOf(machine);
    const dial = (address: string, port = 7000, ms = patience): Promise<number | string> =>
      at.call.dial(address, port, ms);
    expect(await dial('203.0.113.10', 7000, silence)).toBe('timeout');

    await scene.driver.call.apply(
      changed(machine, { internet: 'list', allow: ['203.0.113.0/28:7000'] }).card,
    );
    const connection = await dial('203.0.113.10');
    expect(connection).toBeTypeOf('number');
    expect(await at.call.say(connection as number, 'one', patience)).toBe('198.51.100.1 one');
    expect(await dial('203.0.113.20', 7000, silence)).toBe('timeout');
    expect(await dial('192.168.77.1', 7000, silence)).toBe('timeout');

    await scene.driver.call.apply(changed(machine, { internet: 'full' }).card);
    expect(await at.call.say(connection as number, 'two', patience)).toBe('198.51.100.1 two');
    expect(await dial('203.0.113.20')).toBeTypeOf('number');
    expect(await dial('192.168.77.1', 7000, silence)).toBe('timeout');
    // Names are asked of the gateway only.
    expect(await dial('203.0.113.20', 53, silence)).toBe('timeout');
    expect(await at.call.ask('203.0.113.20', 53, 'x', silence)).toBe('timeout');

    await scene.driver.call.apply(
      changed(machine, { internet: 'list', allow: ['*:7001', '192.168.77.1'] }).card,
    );
    expect(await at.call.say(connection as number, 'three', silence)).toBe('timeout');
    expect(await dial('203.0.113.20', 7000, silence)).toBe('timeout');
    expect(await dial('192.168.77.1')).toBeTypeOf('number');

    await scene.driver.call.apply(changed(machine, {}).card);
    expect(await dial('192.168.77.1', 7000, silence)).toBe('timeout');
    const denials = await scene.driver.call.denials(machine.card.workspaceId);
    const denied = denials.find(({ destination }) => destination === '203.0.113.20');
    expect(denied).toMatchObject({ kind: 'connection', protocol: expect.any(String) as string });
    const { sentPackets, receivedPackets, deniedPackets } = await scene.driver.call.traffic(
      machine.card.workspaceId,
    );
    expect(sentPackets).toBeGreaterThan(deniedPackets);
    expect(Math.min(receivedPackets, deniedPackets)).toBeGreaterThan(0);
    await scene.driver.call.detach(machine.run);
  });

  it('reaches team mates, those who are open as it is, and ports that are open to all', async () => {
    const [a, b, c] = [
      testMachine(32, { team: 'red' }),
      testMachine(33, { team: 'red' }),
      testMachine(34),
    ] as const;
    const [atA, atB, atC] = [
      (await scene.guestOf(a)).at,
      (await scene.guestOf(b)).at,
      (await scene.guestOf(c)).at,
    ];
    for (const at of [atA, atB, atC]) await at.call.serve('0.0.0.0', 7000);
    const connection = await atA.call.dial(b.card.address, 7000, patience);
    expect(await atA.call.say(connection as number, 'hello', patience)).toBe(
      `${a.card.address} hello`,
    );
    expect(await atC.call.dial(a.card.address, 7000, silence)).toBe('timeout');

    await scene.driver.call.apply(changed(b, { team: null }).card);
    expect(await atA.call.say(connection as number, 'again', silence)).toBe('timeout');

    await scene.driver.call.apply(changed(c, { allowInterVm: true }).card);
    expect(await atC.call.dial(a.card.address, 7000, silence)).toBe('timeout');
    await scene.driver.call.apply(changed(a, { team: null, allowInterVm: true }).card);
    expect(await atC.call.dial(a.card.address, 7000, patience)).toBeTypeOf('number');

    await scene.driver.call.apply(changed(b, { team: null, allowedPorts: [7000] }).card);
    expect(await atC.call.dial(b.card.address, 7000, patience)).toBeTypeOf('number');
    expect(await atC.call.dial(b.card.address, 22, silence)).toBe('timeout');
    expect(await atB.call.dial(c.card.address, 7000, silence)).toBe('timeout');
    for (const { run } of [a, b, c]) await scene.driver.call.detach(run);
  });

  it('is reached through its forwards, from where they are bound', async () => {
    const forwards = [
      { bind: '127.0.0.1', hostPort: 8001, guestPort: 7000, direct: true },
      { bind: '0.0.0.0', hostPort: 8002, guestPort: 7000, direct: true },
    ];
    const machine = testMachine(35, {}, forwards);
    const other = testMachine(36);
    const { at } = await scene.guestOf(machine);
    await at.call.serve('0.0.0.0', 7000);
    const { at: atOther } = await scene.guestOf(other);
    const far = scene.world.drive();
    const connection = await scene.driver.call.dial('127.0.0.1', 8001, patience);
    expect(await scene.driver.call.say(connection as number, 'hi', patience)).toBe(`${gateway} hi`);
    for (const address of ['127.0.0.1', '198.51.100.1', gateway]) {
      expect(await scene.driver.call.dial(address, 8002, patience)).toBeTypeOf('number');
    }
    expect(await far.call.dial('198.51.100.1', 8002, patience)).toBeTypeOf('number');
    // Machines reach the daemon's own socket, which is there for every forward.
    await scene.driver.call.serve('0.0.0.0', 8002);
    expect(await atOther.call.dial('198.51.100.1', 8002, patience)).toBeTypeOf('number');
    expect(await at.call.dial(gateway, 8002, patience)).toBeTypeOf('number');
    for (const address of ['198.51.100.1', gateway]) {
      expect(await scene.driver.call.dial(address, 8001, silence)).not.toBeTypeOf('number');
    }
    expect(await far.call.dial('198.51.100.1', 8001, silence)).not.toBeTypeOf('number');
    expect(await atOther.call.dial('198.51.100.1', 8001, silence)).toBe('timeout');
    // A route of the attacker's own making, to the host's loopback.
    await scene.world.ip('route add 10.42.0.0/16 via 198.51.100.1');
    expect(await far.call.dial(machine.card.address, 7000, silence)).toBe('timeout');

    await scene.driver.call.apply(changed(machine, { internet: 'full' }).card);
    expect(await scene.driver.call.say(connection as number, 'still', patience)).toBe(
      `${gateway} still`,
    );
    for (const { run } of [machine, other]) await scene.driver.call.detach(run);
  });

  it('is held to its bandwidth', async () => {
    const machine = testMachine(37, { internet: 'full', bandwidthMbit: 1 });
    const { space } = await scene.guestOf(machine);
    const flood = `
import socket
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(2000):
    one.sendto(b'x' * 1400, ('203.0.113.10', 9))`;
    await space.exec('python3', '-c', flood);
    const { sentBytes } = await scene.driver.call.traffic(machine.card.workspaceId);
    // What one second allows may pass at once, and 64 KiB; of 2.8 MB the rest is dropped.
    expect(sentBytes).toBeGreaterThan(100_000);
    expect(sentBytes).toBeLessThan(1_400_000);
    await scene.driver.call.detach(machine.run);
  });
});
