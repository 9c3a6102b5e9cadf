/** The bridge network as a daemon meets it: restarts, failures, other programs, and many machines at once. */
import { describe, expect, it } from 'vitest';
import { bridgeScene, patience, silence, subnet } from './bridgeScene.ts';
import { changed, makeNamespace, testMachine } from './namespaces.ts';

const scene = bridgeScene();

describe('the network', () => {
  it('keeps rules, counters and connections over the death of its daemon', async () => {
    const machine = testMachine(40, { internet: 'list', allow: ['203.0.113.10'] });
    const { at } = await scene.guestOf(machine);
    const connection = (await at.call.dial('203.0.113.10', 7000, patience)) as number;
    await at.call.say(connection, 'one', patience);
    const before = await scene.driver.call.traffic(machine.card.workspaceId);
    await scene.driver.kill();
    expect(await at.call.say(connection, 'two', patience)).toBe('198.51.100.1 two');
    await scene.reopen();
    await scene.driver.call.connect(machine.run, machine.card);
    await scene.driver.call.settle();
    const after = await scene.driver.call.traffic(machine.card.workspaceId);
    expect(after.sentPackets).toBeGreaterThan(before.sentPackets);
    expect(await at.call.say(connection, 'three', patience)).toBe('198.51.100.1 three');
    await scene.driver.call.detach(machine.run);
    expect(await at.call.say(connection, 'four', silence)).toBe('timeout');
  });

  it('removes what belongs to nobody when it settles', async () => {
    const known = await scene.attach(testMachine(41, { allowInterVm: true }));
    const stranger = await scene.attach(
      testMachine(42, { internet: 'list', allow: ['1.2.3.0/24:80-90'], bandwidthMbit: 5 }),
    );
    await scene.driver.kill();
    await scene.reopen();
    await scene.driver.call.connect(known.run, known.card);
    expect(await scene.elements('cidr_ports')).toContain(stranger.card.address);
    await scene.driver.call.settle();
    const all = await scene.host.exec('nft', 'list', 'table', 'inet', 'coppice');
    expect(all).not.toContain(stranger.card.address);
    expect(await scene.elements('open')).toContain(known.card.address);
    expect(await scene.host.exec('nft', 'list', 'table', 'bridge', 'coppice')).not.toContain(
      stranger.card.mac,
    );
    await scene.driver.call.detach(known.run);
  });

  it('changes nothing by a transaction that fails, and says so', async () => {
    const forward = { bind: '127.0.0.1', hostPort: 8100, guestPort: 1, direct: true };
    const first = await scene.attach(testMachine(43, {}, [forward]));
    const before = await scene.rules();
    const second = testMachine(44, { allowInterVm: true }, [forward]);
    await expect(scene.driver.call.attach(second.run, second.card)).rejects.toThrow(
      'could not be connected',
    );
    expect(await scene.rules()).toBe(before);
    // What waits together with it is not affected.
    const third = testMachine(45, { allowInterVm: true });
    const [failed, good] = await Promise.allSettled([
      scene.driver.call.attach(second.run, second.card),
      scene.driver.call.attach(third.run, third.card),
    ]);
    expect([failed.status, good.status]).toEqual(['rejected', 'fulfilled']);
    expect(await scene.elements('open')).toContain(third.card.address);
    await scene.detach(first);
    await scene.detach(third);
  });

  it('is one to a namespace: a second daemon is told so', async () => {
    const second = scene.host.drive();
    expect(await second.call.open(subnet, [])).toContain('another coppiced');
    const machine = testMachine(46);
    await expect(second.call.attach(machine.run, machine.card)).rejects.toThrow('another coppiced');
  });

  it('tells when the subnet is in use', async () => {
    const space = await makeNamespace();
    scene.own(space);
    await space.ip(
      'link add lan type bridge',
      'address add 10.42.7.1/24 dev lan',
      'link set dev lan up',
    );
    expect(await space.drive().call.open(subnet, [])).toContain('lan has 10.42.7.1/24');
  });

  it('leaves other tables as they are', async () => {
    const others = async (): Promise<string> => {
      const all = await Promise.all(
        ['nat', 'filter'].map((table) =>
          scene.host.exec('nft', '-s', 'list', 'table', 'ip', table),
        ),
      );
      return all.join('\n');
    };
    const before = await others();
    const machine = await scene.attach(testMachine(47, { internet: 'full' }));
    await scene.detach(machine);
    await scene.driver.kill();
    await scene.reopen();
    await scene.driver.call.settle();
    expect(await others()).toBe(before);
  });

  it('loads its rules again when another program has removed all of them', async () => {
    const machine = await scene.attach(testMachine(48, { allowInterVm: true }));
    await scene.host.exec('nft', 'flush', 'ruleset');
    await scene.driver.call.apply(
      changed(machine, { allowInterVm: true, allowedPorts: [80] }).card,
    );
    expect(await scene.elements('sent')).toContain(machine.card.address);
    await scene.host.exec('nft', 'flush', 'ruleset');
    await expect
      .poll(async () => scene.host.exec('nft', 'list', 'tables'), { timeout: 60_000 })
      .toContain('bridge coppice');
    expect(await scene.elements('sent')).toContain(machine.card.address);
    await scene.detach(machine);
  });

  it('takes and gives up 300 machines at once without a trace', async () => {
    const machines = Array.from({ length: 300 }, (_, index) =>
      testMachine(1000 + index, {
        internet: 'list',
        allow: ['1.2.3.0/24:80-90', '1.2.0.0/16:85', 'example.com:443'],
        team: index % 10 === 0 ? 'many' : null,
        allowedPorts: [22],
        bandwidthMbit: 100,
      }),
    );
    const taps = async (): Promise<number> =>
      (await scene.host.exec('ip', '-br', 'link')).match(/^cpt-/gm)?.length ?? 0;
    const before = await taps();
    await Promise.all(
      machines.map((machine) => scene.driver.call.attach(machine.run, machine.card)),
    );
    expect(await taps()).toBe(before + 300);
    await Promise.all(machines.map(({ run }) => scene.driver.call.detach(run)));
    await Promise.all(machines.map(({ run }) => scene.driver.call.unplug(run)));
    const left = await scene.host.exec('nft', 'list', 'ruleset');
    expect(left).not.toContain('10.42.3.');
    expect(left).not.toContain('10.42.4.');
    expect(left).not.toMatch(/"cpt-[0-9a-f]/);
    expect(left).not.toMatch(/limit (upload|download)\./);
    expect(await taps()).toBe(before);
  });
});
