import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { CoppiceClient } from '../../../helper-daemon/client/client.ts';
import type { InputOf } from '../../../protocol/operations.ts';
import { expectSound } from '../support/storedState.ts';
import { startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';
import { counted, drawTree, refusal, sh, startCounting } from '../support/workspaceSteps.ts';

const source = 'source';
/** For what a machine does by itself; under emulation a program takes seconds to start. */
const patience = { timeout: 30_000, interval: 100 };
let daemon: TestDaemon;
let client: CoppiceClient;

beforeAll(async () => {
  daemon = await startTestDaemon();
  client = await daemon.connect();
  await client.call('workspace_create', { name: source, memory_mb: 256, vcpus: 1 });
});
afterEach(async () => {
  for (const { workspace_id, name } of await client.call('workspace_list', {})) {
    if (name !== source) await client.call('workspace_destroy', { workspace_id });
  }
});
afterAll(async () => {
  await daemon.dispose();
});

const fork = async (more: Omit<InputOf<'workspace_fork'>, 'workspace_id'>) =>
  await client.call('workspace_fork', { workspace_id: source, ...more });

const bootId = (machine: string): Promise<string> =>
  sh(client, machine, 'cat /proc/sys/kernel/random/boot_id');

describe('a fork of a snapshot', () => {
  beforeAll(async () => {
    await sh(client, source, 'echo then > /workspace/mark; sync');
    await startCounting(client, source);
    await client.call('snapshot_create', { workspace_id: source, name: 'disk' });
    await client.call('snapshot_create', { workspace_id: source, name: 'm', include_memory: true });
    await sh(client, source, 'echo now > /workspace/mark; sync');
  });

  it('without memory boots with the files of the snapshot', async () => {
    const made = await fork({ snapshot_name: 'disk', new_name: 'copy' });
    expect(made).toMatchObject({
      live: false,
      pause_ms: null,
      snapshot_name: 'disk',
      success_count: 1,
      failures: [],
      workers: [{ name: 'copy', state: 'running', index: 1 }],
    });
    expect(await sh(client, 'copy', 'cat /workspace/mark; ls /run/count || true')).toBe('then');
    expect(await bootId('copy')).not.toBe(await bootId(source));
  });

  it('with memory goes on with its programs, or boots where that is asked for', async () => {
    const live = await fork({ snapshot_name: 'm', new_name: 'live' });
    expect(live.live).toBe(true);
    const count = await counted(client, 'live');
    await expect.poll(() => counted(client, 'live'), patience).toBeGreaterThan(count);
    expect(await sh(client, 'live', 'cat /workspace/mark')).toBe('then');
    const booted = await fork({ snapshot_name: 'm', new_name: 'booted', boot: true });
    expect(booted.live).toBe(false);
    expect(await sh(client, 'booted', 'cat /workspace/mark; ls /run/count || true')).toBe('then');
  });

  it('is known to both sides: the copy says where it came from, the snapshot who came from it', async () => {
    const { workers } = await fork({ snapshot_name: 'disk', new_name: 'copy' });
    const copy = workers[0]?.workspace_id ?? '';
    const sourceInfo = await client.call('workspace_info', { workspace_id: source });
    const from = {
      source_workspace_id: sourceInfo.workspace_id,
      source_workspace_name: source,
      snapshot_name: 'disk',
      live: false,
    };
    const info = await client.call('workspace_info', { workspace_id: 'copy' });
    expect(info.forked_from).toMatchObject(from);
    const listed = await client.call('workspace_list', {});
    expect(listed.find(({ name }) => name === 'copy')?.forked_from).toMatchObject(from);
    const tree = await client.call('snapshot_list', { workspace_id: 'copy' });
    expect(tree).toMatchObject({ forked_from: from, snapshots: [], current: null });
    const remove = client.call('snapshot_delete', { workspace_id: source, name: 'disk' });
    expect(await refusal(remove)).toMatchObject({
      code: 'has_dependents',
      message: expect.stringContaining('copy'),
      details: { dependents: ['copy'] },
    });
    const snapshot = await client.call('snapshot_info', { workspace_id: source, name: 'disk' });
    expect(snapshot.dependents).toEqual([{ workspace_id: copy, name: 'copy' }]);
  });

  it('reports each copy that cannot be made, and makes the others', async () => {
    await fork({ snapshot_name: 'disk', new_name: 'team-2' });
    const made = await fork({ snapshot_name: 'm', count: 3, name_prefix: 'team' });
    expect(made).toMatchObject({ requested_count: 3, success_count: 2, failure_count: 1 });
    expect(made.workers.map(({ name, index }) => [name, index])).toEqual([
      ['team-1', 1],
      ['team-3', 3],
    ]);
    expect(made.failures).toMatchObject([{ index: 2, name: 'team-2', code: 'name_taken' }]);
    await expectSound(daemon, client);
  });

  it('of a fork works like the first one, and stands without the machines between', async () => {
    await fork({ snapshot_name: 'm', new_name: 'child' });
    await sh(client, 'child', 'echo child > /workspace/mark; sync');
    await client.call('workspace_fork', { workspace_id: 'child', new_name: 'grandchild' });
    await client.call('workspace_destroy', { workspace_id: 'child' });
    expect(await sh(client, 'grandchild', 'cat /workspace/mark')).toBe('child');
    const count = await counted(client, 'grandchild');
    await expect.poll(() => counted(client, 'grandchild'), patience).toBeGreaterThan(count);
    await expectSound(daemon, client);
  });
});

describe('a fork of a machine as it is', () => {
  it('that runs goes on in the copy, and leaves the source as it was', async () => {
    const before = await client.call('workspace_info', { workspace_id: source });
    const first = await counted(client, source);
    const made = await fork({ new_name: 'live' });
    expect(made).toMatchObject({ live: true, success_count: 1 });
    expect(made.pause_ms).toBeGreaterThan(0);
    expect(await counted(client, 'live')).toBeGreaterThanOrEqual(first);
    const after = await client.call('workspace_info', { workspace_id: source });
    expect({ pid: after.pid, boot: after.guest?.boot_id, state: after.state }).toEqual({
      pid: before.pid,
      boot: before.guest?.boot_id,
      state: 'running',
    });
    const count = await counted(client, source);
    await expect.poll(() => counted(client, source), patience).toBeGreaterThan(count);
    await sh(client, 'live', 'echo copy > /workspace/mark; sync');
    expect(await sh(client, source, 'cat /workspace/mark')).toBe('now');
  });

  it('leaves a snapshot that goes with the last copy', async () => {
    const before = await drawTree(client, source);
    const { snapshot_name } = await fork({ count: 2, name_prefix: 'twin' });
    const implicit = await client.call('snapshot_info', {
      workspace_id: source,
      name: snapshot_name,
    });
    expect(implicit).toMatchObject({ implicit: true, current: true });
    expect(implicit.dependents.map(({ name }) => name).sort()).toEqual(['twin-1', 'twin-2']);
    await client.call('workspace_destroy', { workspace_id: 'twin-1' });
    expect(await drawTree(client, source)).toHaveLength(before.length + 1);
    await client.call('workspace_destroy', { workspace_id: 'twin-2' });
    expect(await drawTree(client, source)).toEqual(before);
  });

  it('that all fail leaves no snapshot', async () => {
    const before = await drawTree(client, source);
    const made = await fork({ new_name: source });
    expect(made).toMatchObject({ success_count: 0, failures: [{ code: 'name_taken' }] });
    expect(await drawTree(client, source)).toEqual(before);
    await expectSound(daemon, client);
  });

  it('that is paused, suspended or stopped leaves it so, and the copy runs', async () => {
    await client.call('workspace_pause', { workspace_id: source });
    const count = await fork({ new_name: 'of-paused' }).then(() => counted(client, 'of-paused'));
    await expect.poll(() => counted(client, 'of-paused'), patience).toBeGreaterThan(count);
    const state = async (): Promise<string> =>
      (await client.call('workspace_info', { workspace_id: source })).state;
    expect(await state()).toBe('paused');
    await client.call('workspace_suspend', { workspace_id: source });
    const suspended = await fork({ new_name: 'of-suspended' });
    expect(suspended).toMatchObject({ live: true, pause_ms: null });
    expect(await state()).toBe('suspended');
    expect(await counted(client, 'of-suspended')).toBeGreaterThanOrEqual(count - 1);
    await client.call('workspace_resume', { workspace_id: source });
    expect(await counted(client, source)).toBeGreaterThanOrEqual(count - 1);
    await client.call('workspace_stop', { workspace_id: source });
    const stopped = await fork({ new_name: 'of-stopped' });
    expect(stopped).toMatchObject({ live: false, pause_ms: null });
    expect(await state()).toBe('stopped');
    expect(await sh(client, 'of-stopped', 'cat /workspace/mark')).toBe('now');
    await client.call('workspace_start', { workspace_id: source });
  });
});

describe('copies of one machine', () => {
  // Ends what counts in it: it would count in every copy.
  beforeEach(async () => {
    await client.call('workspace_stop', { workspace_id: source });
    await client.call('workspace_start', { workspace_id: source });
  });

  it('of a web server with state answer each for itself', async () => {
    const server = `
import http.server, socket
visits = 0
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global visits
        visits += 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{socket.gethostname()} {visits}".encode())
    def log_message(self, *words): pass
http.server.HTTPServer(("127.0.0.1", 8000), Answer).serve_forever()
`;
    await client.call('file_write', {
      workspace_id: source,
      path: '/workspace/server.py',
      content: server,
    });
    await client.call('process_start', {
      workspace_id: source,
      command: 'exec python3 /workspace/server.py',
    });
    const visit = (machine: string): Promise<string> =>
      sh(client, machine, 'curl -s --retry 20 --retry-connrefused --retry-delay 1 localhost:8000');
    for (const times of [1, 2, 3]) expect(await visit(source)).toBe(`${source} ${String(times)}`);
    const { workers } = await fork({ count: 8, name_prefix: 'web' });
    expect(workers).toHaveLength(8);
    const answers = await Promise.all(workers.map(({ name }) => visit(name)));
    expect(answers).toEqual(workers.map(({ name }) => `${name} 4`));
    expect(await visit('web-1')).toBe('web-1 5');
    expect(await visit(source)).toBe(`${source} 4`);
  });

  it('share no randomness, no name and no address, twenty of them', async () => {
    // A program with its generators ready, as a server has them; it waits for a word.
    const draws = `
import os, random, secrets, socket, uuid
random.random(), secrets.token_hex(1)
open("/run/ready", "w").close()
open("/run/go").read()
random.seed()
drawn = [os.urandom(16).hex(), os.getrandom(16).hex(), secrets.token_hex(16), str(uuid.uuid4()), str(random.random()),
    socket.gethostname()]
shell = """openssl rand -hex 16
    head -c 16 /dev/urandom | od -An -tx1
    cat /proc/sys/kernel/random/uuid /etc/machine-id /sys/class/net/eth0/address
    ip -4 -o addr show eth0 | grep -o 'inet [0-9.]*'"""
open("/run/drawn.new", "w").write("\\n".join(drawn) + "\\n" + os.popen(shell).read())
os.rename("/run/drawn.new", "/run/drawn")
`;
    await client.call('file_write', {
      workspace_id: source,
      path: '/workspace/draw.py',
      content: draws,
    });
    await sh(client, source, 'mkfifo /run/go');
    await client.call('process_start', {
      workspace_id: source,
      command: 'exec python3 /workspace/draw.py',
    });
    await sh(client, source, 'until [ -e /run/ready ]; do sleep 0.1; done');
    const { workers } = await fork({ count: 20, name_prefix: 'one' });
    expect(workers).toHaveLength(20);
    const look = 'echo > /run/go; until [ -e /run/drawn ]; do sleep 0.1; done; cat /run/drawn';
    const seen: string[][] = [];
    for (const { name } of workers) seen.push((await sh(client, name, look)).split('\n'));
    const facts = seen[0]?.length ?? 0;
    expect(facts).toBe(12);
    for (let fact = 0; fact < facts; fact += 1) {
      expect(new Set(seen.map((lines) => lines[fact])).size).toBe(20);
    }
    const infos = await Promise.all(
      workers.map(({ workspace_id }) => client.call('workspace_info', { workspace_id })),
    );
    const { generation } = await client.call('workspace_info', { workspace_id: source });
    for (const [index, info] of infos.entries()) {
      expect(info.generation).toBeGreaterThan(generation);
      expect(seen[index]).toEqual(
        expect.arrayContaining([
          info.hostname,
          info.guest?.machine_id,
          info.network.mac,
          `inet ${info.network.address}`,
        ]),
      );
    }
  });

  it('never act under the name of their parent, however busy they are', async () => {
    // Each line is who it was and the count of it; the count tells which lines are older than the fork.
    const diary = `
import itertools, socket
file = open("/run/diary", "w")
for number in itertools.count():
    file.write(f"{number} {socket.gethostname()} {open('/etc/machine-id').read().strip()}\\n")
    file.flush()
`;
    await client.call('file_write', {
      workspace_id: source,
      path: '/workspace/diary.py',
      content: diary,
    });
    await client.call('process_start', {
      workspace_id: source,
      command: 'exec python3 /workspace/diary.py',
    });
    await expect
      .poll(() => sh(client, source, 'wc -l < /run/diary || true'), patience)
      .toMatch(/\d{2}/);
    const parent = await client.call('workspace_info', { workspace_id: source });
    const { workers } = await fork({ count: 2, name_prefix: 'busy' });
    const inherited: string[] = [];
    for (const { name, workspace_id } of workers) {
      const own = await client.call('workspace_info', { workspace_id });
      // It goes on, as itself.
      await expect
        .poll(() => sh(client, name, 'tail -n 2 /run/diary | head -n 1'), patience)
        .toMatch(new RegExp(`^\\d+ ${own.hostname} ${own.guest?.machine_id ?? '?'}$`));
      const identities = await sh(
        client,
        name,
        `awk 'NF == 3 {print $2, $3}' /run/diary | uniq -c | awk '{print $2, $3}' | head -n 5`,
      );
      expect(identities.split('\n')).toEqual([
        `${parent.hostname} ${parent.guest?.machine_id ?? '?'}`,
        // The one line that was begun before the copy was made.
        ...(identities.includes(`${parent.hostname} ${own.guest?.machine_id ?? '?'}`)
          ? [`${parent.hostname} ${own.guest?.machine_id ?? '?'}`]
          : []),
        `${own.hostname} ${own.guest?.machine_id ?? '?'}`,
      ]);
      inherited.push(
        await sh(
          client,
          name,
          `awk '$2 == "${parent.hostname}" && $3 == "${parent.guest?.machine_id ?? '?'}"' /run/diary | wc -l`,
        ),
      );
    }
    // All were copied at one moment: had one acted as its parent afterwards it had more lines than another.
    expect(new Set(inherited).size).toBe(1);
  });

  it('that cannot be told who they are do not live', async () => {
    // Nobody, not even the agent, can write this file once it is on the disk and immutable.
    const flags = (value: number): string =>
      `python3 -c 'import fcntl, os, struct; f = os.open("/etc/machine-id", os.O_RDONLY); fcntl.ioctl(f, 0x40086602, struct.pack("l", ${String(value)}))'`;
    await sh(client, source, `umount /etc/machine-id; ${flags(0x10)}`);
    const before = daemon.machines();
    const tree = await drawTree(client, source);
    const made = await fork({ count: 2, name_prefix: 'nobody' });
    expect(made.success_count).toBe(0);
    expect(made.failures).toHaveLength(2);
    for (const { error } of made.failures) expect(error).toMatch(/machine id/);
    expect(daemon.machines()).toEqual(before);
    expect(await client.call('workspace_list', {})).toHaveLength(1);
    expect(await drawTree(client, source)).toEqual(tree);
    await sh(client, source, flags(0));
    const again = await fork({ new_name: 'somebody' });
    expect(again.success_count).toBe(1);
    await expectSound(daemon, client);
  });
});
