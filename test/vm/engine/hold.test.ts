import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GuestClients } from '../../../helper-daemon/guest/guestLink.ts';
import { imageOverlay, testImage } from './testImage.ts';
import { openTestBed, type TestBed, type TestMachine } from './testMachine.ts';

const mac = '52:54:00:12:34:56';
const otherMac = '52:54:00:65:43:21';

/** Output of a command that succeeds. */
async function output({ process }: GuestClients, command: string): Promise<string> {
  const run = await process.exec({ spec: { command } });
  const text = Buffer.from(run.stdout?.head ?? []).toString();
  expect(run.exited?.exitCode, text).toBe(0);
  return text;
}

describe.runIf(testImage !== undefined)('an agent before and after a copy', () => {
  let bed: TestBed;
  let booted: TestMachine;
  let clients: GuestClients;

  beforeAll(async () => {
    bed = await openTestBed();
    booted = await bed.launch({
      memoryMb: 256,
      disk: imageOverlay(bed.directory),
      network: { mac, backend: { kind: 'none' } },
      kernelParameters: {
        'coppice.key': '5a'.repeat(32),
        'coppice.generation': '1',
        'coppice.root': '/dev/vda',
      },
    });
    await booted.link.connect(AbortSignal.timeout(60_000));
    clients = await booted.link.clients();
  });
  afterAll(() => bed.dispose());

  async function size(file: string): Promise<bigint> {
    const { info } = await clients.file.stat({ path: Buffer.from(file) });
    return info?.size ?? 0n;
  }

  it('holds every process, wherever it hides, until the release', async () => {
    const count = (file: string): string => `while :; do printf x >> ${file}; sleep 0.01; done`;
    // One in a cgroup of its own, as a container engine makes them, and one at the root of all.
    const away = [
      `mkdir -p /sys/fs/cgroup/elsewhere/deep; echo $$ > /sys/fs/cgroup/elsewhere/deep/cgroup.procs`,
      `echo $$ > /sys/fs/cgroup/cgroup.procs`,
      'true',
    ];
    const files: string[] = [];
    for (const [index, hide] of away.entries()) {
      const file = `/tmp/count-${String(index)}`;
      files.push(file);
      const spec = { command: `touch ${file}; ${hide}; ${count(file)}` };
      await clients.process.start({ spec });
      await expect.poll(() => size(file), { timeout: 20_000 }).toBeGreaterThan(2n);
    }
    await clients.system.hold({});
    expect((await clients.system.getInfo({})).held).toBe(true);
    const held = await Promise.all(files.map(size));
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(await Promise.all(files.map(size))).toEqual(held);
    await clients.system.release({});
    for (const [index, file] of files.entries()) {
      await expect.poll(() => size(file), { timeout: 20_000 }).toBeGreaterThan(held[index] ?? 0n);
    }
    const { processes } = await clients.process.list({});
    for (const { processId } of processes) await clients.process.signal({ processId, signal: 9 });
  });

  it('gives the machine another identity and new ids to its processes, then lets it run', async () => {
    const { processId } = await clients.process.start({ spec: { command: 'sleep 1000' } });
    await clients.system.hold({});
    // Waits as a call on a machine does that is being copied.
    const waiting = output(clients, 'hostname; cat /etc/machine-id /etc/resolv.conf');
    await clients.system.configure({
      generation: 2n,
      hostname: 'copy',
      machineId: '0123456789abcdef'.repeat(2),
      entropy: Buffer.alloc(64, 7),
      realtimeNs: BigInt(Date.now()) * 1_000_000n,
      network: {
        mac: otherMac,
        address: '10.20.30.40',
        prefixLength: 24,
        gateway: '10.20.30.1',
        dns: ['10.20.30.1'],
      },
      release: true,
    });
    expect(await waiting).toBe(`copy\n${'0123456789abcdef'.repeat(2)}\nnameserver 10.20.30.1\n`);
    expect(await clients.system.getInfo({})).toMatchObject({
      generation: 2n,
      held: false,
      mac: otherMac,
      address: '10.20.30.40',
    });
    expect(await output(clients, 'cat /sys/class/net/eth0/address')).toBe(`${otherMac}\n`);
    // In memory, so that this waited for no disk; /etc/hosts follows.
    expect(await output(clients, 'stat -f -c %T /etc/hostname /etc/machine-id /etc/hosts')).toBe(
      'tmpfs\ntmpfs\next2/ext3\n',
    );
    await expect
      .poll(() => output(clients, 'cat /etc/hosts'), { timeout: 20_000 })
      .toMatch(/^127\.0\.1\.1\tcopy$/m);
    // Only the loopback device speaks IPv6.
    expect(await output(clients, "awk '{print $NF}' /proc/net/if_inet6")).toBe('lo\n');
    // Destination and gateway in the byte order of the machine.
    expect(await output(clients, 'cat /proc/net/route')).toMatch(/^eth0\t00000000\t011E140A\t/m);
    const { processes } = await clients.process.list({});
    expect(processes).toContainEqual(
      expect.objectContaining({ command: 'sleep 1000', inheritedFrom: processId }) as unknown,
    );
    for (const { processId: id } of processes) expect(id).toBeGreaterThan(200_000n);
    await expect(clients.process.get({ processId })).rejects.toMatchObject({ code: 'not_found' });
  });

  it('lists what find finds', async () => {
    const listed: string[] = [];
    for await (const { entries } of clients.file.manifest({ path: Buffer.from('/') })) {
      for (const entry of entries) {
        listed.push(`${(entry.mode & 0o7777).toString(8)} ${Buffer.from(entry.path).toString()}`);
      }
    }
    const find = await clients.process.exec({
      spec: { command: `find / -xdev -mindepth 1 -printf '%m %P\\n'`, keepBytes: 4_194_304 },
    });
    const found = Buffer.from(find.stdout?.head ?? [])
      .toString()
      .trim()
      .split('\n')
      // Mounted over, and so not on this disk.
      .filter((line) => !['etc/hostname', 'etc/machine-id'].includes(line.split(' ')[1] ?? ''));
    expect(listed.length).toBeGreaterThan(1_000);
    expect(listed.sort()).toEqual(found.sort());
  });

  it('digests as sha256sum does', async () => {
    const paths = ['/etc/passwd', '/bin/bash', '/no/such'];
    const answers = [];
    for await (const answer of clients.file.digest({
      paths: paths.map((path) => Buffer.from(path)),
    })) {
      answers.push([Buffer.from(answer.sha256).toString('hex'), answer.error]);
    }
    const sums = await output(clients, `sha256sum ${paths.slice(0, 2).join(' ')} | cut -d' ' -f1`);
    expect(answers).toEqual([
      ...sums
        .trim()
        .split('\n')
        .map((sum) => [sum, '']),
      ['', 'not_found'],
    ]);
  });
});

describe.runIf(testImage !== undefined)('a machine with an init of its own', () => {
  let bed: TestBed;
  beforeAll(async () => {
    bed = await openTestBed();
  });
  afterAll(() => bed.dispose());

  it('is held with that init, and ends at once when it is shut down then', async () => {
    const disk = imageOverlay(bed.directory);
    const boot = async (init: string): Promise<TestMachine> => {
      const booted = await bed.launch({
        memoryMb: 256,
        disk,
        kernelParameters: {
          'coppice.key': '5a'.repeat(32),
          'coppice.generation': '1',
          'coppice.root': '/dev/vda',
          'coppice.init': init,
        },
      });
      await booted.link.connect(AbortSignal.timeout(60_000));
      return booted;
    };
    const first = await boot('agent');
    const init = '#!/bin/sh\nwhile :; do printf x >> /count; sleep 0.01; done\n';
    await output(
      await first.link.clients(),
      `printf '%s' '${init}' > /sbin/init; chmod 755 /sbin/init; rm -f /count`,
    );
    await (await first.link.clients()).system.shutdown({ graceMs: 0 });
    await first.machine.ended;

    const { machine, link } = await boot('system');
    const { system, file } = await link.clients();
    expect((await system.getInfo({})).systemInit).toBe(true);
    const size = async (): Promise<bigint> =>
      (await file.stat({ path: Buffer.from('/count') })).info?.size ?? 0n;
    await expect.poll(size, { timeout: 20_000 }).toBeGreaterThan(2n);
    await system.hold({});
    const held = await size();
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(await size()).toBe(held);
    await system.release({});
    await expect.poll(size, { timeout: 20_000 }).toBeGreaterThan(held);
    await system.hold({});
    const graceMs = 60_000;
    const before = performance.now();
    await system.shutdown({ graceMs });
    expect(await machine.ended).toMatchObject({ reason: 'shutdown' });
    // Nothing waited for processes that cannot end by themselves.
    expect(performance.now() - before).toBeLessThan(graceMs);
  });
});
