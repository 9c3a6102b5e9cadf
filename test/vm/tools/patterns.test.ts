/** The sequences of the agent workflow guide as it writes them; what needs the internet there is done offline. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { connectAgent } from '../support/agentClient.ts';
import { openToolBed, sh, type ToolBed } from './toolBed.ts';

let bed: ToolBed;

beforeAll(async () => {
  bed = await openToolBed();
});
afterEach(async () => {
  await bed.daemon.clean();
});
afterAll(async () => {
  await bed.dispose();
});

/** A call as the guide writes it; it must work. */
async function call(
  tool: string,
  input: Record<string, unknown>,
): Promise<Record<string, unknown>> {
  return await bed.agent.ok(tool, input);
}

async function create(name: string, more: object = {}): Promise<string> {
  return String((await call('workspace_create', { name, ...more }))['workspace_id']);
}

async function text(tool: string, input: Record<string, unknown>): Promise<string> {
  const reply = await bed.agent.tool(tool, input);
  if (reply.isError) throw new Error(reply.text);
  return reply.text;
}

describe('the agent workflow guide', () => {
  it('pattern 1: disposable sandbox', async () => {
    const workspace_id = await create('sandbox-untrusted-script');
    await call('file_write', {
      workspace_id,
      path: '/tmp/script.py',
      content: "import os\nprint(os.listdir('/'))\n",
    });
    const ran = await call('exec', {
      workspace_id,
      command: 'python3 /tmp/script.py',
      timeout_secs: 10,
    });
    expect(ran).toMatchObject({ exit_code: 0, stdout: expect.stringContaining("'etc'") as string });
    expect(await text('workspace_destroy', { workspace_id })).toBe(
      `Workspace ${workspace_id} destroyed.`,
    );
    expect(await text('workspace_list', {})).toBe('[]');

    const online = await create('sandbox-with-net', { allow_internet: true });
    const allowed = async (): Promise<unknown> =>
      (await call('workspace_info', { workspace_id: online }))['network'];
    expect(await allowed()).toMatchObject({ allow_internet: true });
    await call('network_policy', { workspace_id: online, allow_internet: false });
    expect(await allowed()).toMatchObject({ allow_internet: false });
  });

  it('pattern 2: checkpoint and rollback', async () => {
    const workspace_id = await create('dev-loop', { memory_mb: 1024 });
    await call('exec', {
      workspace_id,
      command: 'mkdir -p /app && cd /app && echo installed > package-lock.json',
      timeout_secs: 120,
    });
    await call('snapshot', { workspace_id, action: 'create', name: 'after-npm-install' });
    await call('file_write', { workspace_id, path: '/app/index.js', content: "res.send('v1');\n" });
    const tried = await call('exec', {
      workspace_id,
      command: 'cd /app && node -e "require(\'./index.js\')" 2>&1 || true',
      timeout_secs: 5,
    });
    expect(tried).toMatchObject({ exit_code: 0 });
    expect(
      await text('snapshot', { workspace_id, action: 'restore', name: 'after-npm-install' }),
    ).toBe(`Workspace ${workspace_id} restored to snapshot 'after-npm-install'.`);
    expect(await sh(bed.agent, workspace_id, 'ls /app')).toBe('package-lock.json');
    await call('file_write', { workspace_id, path: '/app/index.js', content: "res.send('v2');\n" });
    await call('snapshot', { workspace_id, action: 'create', name: 'v2-working' });
    const list = await text('snapshot', { workspace_id, action: 'list' });
    expect(JSON.parse(list)).toMatchObject([
      { name: 'after-npm-install', has_memory: false, parent: null },
      { name: 'v2-working', has_memory: false },
    ]);
  });

  it('pattern 3: parallel hypotheses', async () => {
    const workspace_id = await create('hypothesis-base', { memory_mb: 256, vcpus: 1 });
    await call('file_write', {
      workspace_id,
      path: '/app/problem.py',
      content: 'def solve(data):\n    pass  # TODO\n',
    });
    await call('snapshot', { workspace_id, action: 'create', name: 'base-ready' });
    const approaches = ['approach-sorting', 'approach-hashmap', 'approach-dp'];
    const forks: string[] = [];
    for (const new_name of approaches) {
      const fork = await call('workspace_fork', {
        workspace_id,
        snapshot_name: 'base-ready',
        new_name,
      });
      expect(fork).toMatchObject({
        name: new_name,
        state: 'running',
        forked_from: { source_workspace_id: workspace_id, snapshot_name: 'base-ready' },
      });
      forks.push(String(fork['workspace_id']));
    }
    for (const [index, fork] of forks.entries()) {
      await call('file_edit', {
        workspace_id: fork,
        path: '/app/problem.py',
        old_string: 'pass  # TODO',
        new_string: `return ${String(index)}`,
      });
    }
    const solved = await bed.agent.ok<{ results: { stdout: string }[] }>('exec_parallel', {
      workspace_ids: forks,
      commands: 'cd /app && python3 -c "import problem; print(problem.solve(None))"',
    });
    expect(solved.results.map(({ stdout }) => stdout)).toEqual(['0\n', '1\n', '2\n']);
    for (const losing of forks.slice(1)) await call('workspace_destroy', { workspace_id: losing });
    const left = JSON.parse(await text('workspace_list', {})) as { name: string }[];
    expect(left.map(({ name }) => name).sort()).toEqual(['approach-sorting', 'hypothesis-base']);
  });

  it('pattern 4: a build environment that outlives its agent', async () => {
    const workspace_id = await create('rust-dev-env', { memory_mb: 2048, disk_gb: 20 });
    await call('exec', {
      workspace_id,
      command:
        'mkdir -p /app $HOME/.cargo && printf \'build() { echo "built $1 in $PWD"; }\\n\' > $HOME/.cargo/env',
      timeout_secs: 300,
    });
    await call('snapshot', { workspace_id, action: 'create', name: 'toolchain-installed' });
    await call('workspace_stop', { workspace_id });

    const later = await connectAgent(bed.daemon, 'worker');
    const listed = JSON.parse((await later.tool('workspace_list')).text) as Record<
      string,
      unknown
    >[];
    expect(listed).toMatchObject([
      { name: 'rust-dev-env', workspace_id, state: 'stopped', owned: true },
    ]);
    await later.ok('workspace_start', { workspace_id });
    expect(
      await later.ok('exec', {
        workspace_id,
        command: '. $HOME/.cargo/env && build --release',
        workdir: '/app',
        timeout_secs: 120,
      }),
    ).toMatchObject({ exit_code: 0, stdout: 'built --release in /app\n' });
    await later.close();
  });

  it('pattern 5: editing files', async () => {
    const workspace_id = await create('editing');
    const file = '/app/config.py';
    await call('file_write', {
      workspace_id,
      path: file,
      content: "DEBUG = True\nSECRET_KEY = 'dev-only'\n# DEBUG = True\n",
    });
    expect(await text('file_read', { workspace_id, path: file })).toContain('DEBUG = True');
    await call('file_edit', {
      workspace_id,
      path: file,
      old_string: 'DEBUG = True',
      new_string: 'DEBUG = False',
    });
    expect(await text('file_read', { workspace_id, path: file })).toBe(
      "DEBUG = False\nSECRET_KEY = 'dev-only'\n# DEBUG = True\n",
    );
    await call('file_write', {
      workspace_id,
      path: file,
      content: 'DEBUG = False\n',
      mode: '0644',
    });
    expect(JSON.parse(await text('file_list', { workspace_id, path: '/app' }))).toMatchObject([
      { name: 'config.py', kind: 'file', size: 14, permissions: 'rw-r--r--' },
    ]);
    const part = { workspace_id, path: file, offset: 8, limit: 5 };
    expect(await text('file_read', part)).toBe('False');
  });

  it('background execution, port forwarding and file transfer', async () => {
    const workspace_id = await create('server', { memory_mb: 256, vcpus: 1 });
    await call('exec', { workspace_id, command: 'mkdir -p /app/output && echo hi > /app/hi.txt' });
    const { job_id } = await call('exec_background', {
      workspace_id,
      action: 'start',
      command: 'echo starting; exec python3 -u -m http.server 8080',
      workdir: '/app',
    });
    const poll = { workspace_id, action: 'poll', job_id };
    await expect
      .poll(() => call('exec_background', poll), { timeout: 60_000 })
      .toMatchObject({
        job_id,
        running: true,
        exit_code: null,
        stdout: expect.stringMatching(/^starting\nServing HTTP/) as string,
      });
    const { host_port } = await call('port_forward', {
      workspace_id,
      action: 'add',
      guest_port: 8080,
    });
    const page = await fetch(`http://localhost:${String(host_port)}/hi.txt`);
    expect(await page.text()).toBe('hi\n');
    await call('port_forward', { workspace_id, action: 'remove', guest_port: 8080 });
    await call('exec_background', { workspace_id, action: 'kill', job_id });
    expect(await call('exec_background', poll)).toMatchObject({ running: false, exit_code: null });

    mkdirSync(bed.transfers, { recursive: true });
    const source = path.join(bed.transfers, 'dataset.csv');
    const target = path.join(bed.transfers, 'results.json');
    writeFileSync(source, 'a,b\n1,2\n');
    await call('file_transfer', {
      workspace_id,
      direction: 'upload',
      host_path: source,
      guest_path: '/app/data/dataset.csv',
    });
    await call('exec', {
      workspace_id,
      command:
        'wc -l < /app/data/dataset.csv | sed \'s/.*/{"lines":&}/\' > /app/output/results.json',
    });
    await call('file_transfer', {
      workspace_id,
      direction: 'download',
      host_path: target,
      guest_path: '/app/output/results.json',
    });
    expect(readFileSync(target, 'utf8')).toBe('{"lines":2}\n');
  });

  it('pattern 7: snapshot sizes', async () => {
    const workspace_id = await create('sizes', { memory_mb: 256, vcpus: 1 });
    await call('exec', {
      workspace_id,
      command: 'head -c 20000000 /dev/urandom > /root/installed; sync',
    });
    await call('snapshot', { workspace_id, action: 'create', name: 'after-install' });
    await call('snapshot', { workspace_id, action: 'create', name: 'nothing-new' });
    const [first, second] = JSON.parse(
      await text('snapshot', { workspace_id, action: 'list' }),
    ) as { name: string; used_bytes: number; referenced_bytes: number }[];
    expect(first).toMatchObject({ name: 'after-install', has_memory: false, parent: null });
    expect(first?.used_bytes).toBeGreaterThan(20_000_000);
    expect(second?.used_bytes).toBeLessThan(10_000_000);
    expect(second?.referenced_bytes).toBeGreaterThanOrEqual(first?.used_bytes ?? 0);

    await call('workspace_fork', {
      workspace_id,
      snapshot_name: 'after-install',
      new_name: 'user',
    });
    const failure = await bed.agent.failure('snapshot', {
      workspace_id,
      action: 'delete',
      name: 'after-install',
    });
    expect(failure).toMatchObject({ kind: 'invalid_request', code: 'has_dependents' });
    expect(`${failure.message} ${String(failure.next)}`).toContain('user');
    await call('workspace_destroy', { workspace_id: 'user' });
    expect(await text('snapshot', { workspace_id, action: 'delete', name: 'after-install' })).toBe(
      `Snapshot 'after-install' deleted from workspace ${workspace_id}.`,
    );
  });
});
