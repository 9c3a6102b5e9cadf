import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, readdirSync, truncateSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CoppiceClient } from '../../../helper-daemon/client/client.ts';
import { frameType } from '../../../protocol/stream.ts';
import {
  daemonProgram,
  leftovers,
  startTestDaemon,
  type TestDaemon,
} from '../support/testDaemon.ts';

let daemon: TestDaemon;
let client: CoppiceClient;

beforeAll(async () => {
  daemon = await startTestDaemon();
  client = await daemon.connect();
  await client.call('workspace_create', { name: 'w', memory_mb: 256 });
});
afterAll(async () => {
  await daemon.dispose();
});

async function sendRaw(bytes: string | Buffer): Promise<void> {
  const socket = net.connect(daemon.paths.socket);
  socket.on('error', () => undefined);
  socket.write(bytes);
  await new Promise((resolve) => socket.once('close', resolve));
}

describe('bad input', () => {
  it.each([
    ['an unknown workspace', 'workspace_info', { workspace_id: 'nobody' }, 'not_found'],
    ['a name that is taken', 'workspace_create', { name: 'w' }, 'name_taken'],
    ['a bad name', 'workspace_create', { name: 'a b' }, 'invalid_input'],
    ['an unknown image', 'workspace_create', { name: 'x', base_image: 'nope' }, 'image_missing'],
    [
      'a disk smaller than its image',
      'workspace_create',
      { name: 'x', disk_gb: 1 },
      'invalid_input',
    ],
    [
      'more memory than the host has',
      'workspace_create',
      { name: 'x', memory_mb: 131072 },
      'no_memory',
    ],
    ['a path with NUL', 'file_read', { workspace_id: 'w', path: '/a\0b' }, 'invalid_input'],
    ['a path with ~', 'file_read', { workspace_id: 'w', path: '~/x' }, 'invalid_input'],
    ['a missing file', 'file_read', { workspace_id: 'w', path: '/none/../none' }, 'file_not_found'],
    [
      'a missing user',
      'exec',
      { workspace_id: 'w', command: 'true', user: 'nouser' },
      'not_started',
    ],
    [
      'a missing directory',
      'exec',
      { workspace_id: 'w', command: 'true', workdir: '/no' },
      'not_started',
    ],
    ['an unknown job', 'process_get', { workspace_id: 'w', job_id: 999999 }, 'not_found'],
  ] as const)('%s is refused as %s', async (_what, name, input, code) => {
    const error = await client.call(name, input as never).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ code });
    expect(leftovers(daemon.paths)).toHaveLength(3);
  });

  it('garbage and oversized frames end only the connection they came on', async () => {
    await sendRaw('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await sendRaw('Content-Length: 99999999\r\n\r\n');
    await sendRaw('Content-Length: 5\r\n\r\nnojso');
    await sendRaw(`COPPICE-STREAM ${'A'.repeat(43)}\n`);
    await sendRaw(Buffer.alloc(100_000, 0xff));
    expect(await client.call('workspace_list', {})).toHaveLength(1);
  });

  it('a second daemon for the same state directory is refused', async () => {
    const second = spawn(process.execPath, ['--no-warnings', daemonProgram, '--user'], {
      env: { ...process.env, COPPICE_HOME: daemon.home },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let text = '';
    second.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()));
    const [code] = (await once(second, 'exit')) as [number];
    expect(code).toBe(75);
    expect(text).toMatch(/Another Coppice daemon/);
    expect(await client.call('workspace_list', {})).toHaveLength(1);
  });

  it('too little memory to boot is told with the console and leaves nothing', async () => {
    const error = await client.call('workspace_create', { name: 'tiny', memory_mb: 64 }).then(
      () => undefined,
      (reason: unknown) => reason as { code: string; next: string },
    );
    // A machine that small may just come up; if not, the error must say what to do.
    if (error !== undefined) expect(error.next).toMatch(/memory/);
    else await client.call('workspace_destroy', { workspace_id: 'tiny' });
    expect(await client.call('workspace_list', {})).toHaveLength(1);
  });

  it('1 GiB of output is cut to head and tail without holding anyone up', async () => {
    const flood = client.call('exec', {
      workspace_id: 'w',
      command: 'echo first; yes | head -c 1073741824; echo last',
      timeout_secs: 300,
      max_output_bytes: 1000,
    });
    const other = await client.call('exec', { workspace_id: 'w', command: 'echo meanwhile' });
    expect(other.stdout).toBe('meanwhile\n');
    const result = await flood;
    expect(result.exit_code).toBe(0);
    expect(result.stdout_bytes).toBe(1024 ** 3 + 11);
    expect(result.stdout.startsWith('first\ny\ny\n')).toBe(true);
    expect(result.stdout.endsWith('y\nlast\n')).toBe(true);
    expect(result.stdout.length).toBeLessThan(2000);
  });

  it('a time limit kills everything the command started and keeps its output', async () => {
    const result = await client.call('exec', {
      workspace_id: 'w',
      command: 'echo before; (sleep 777 & sleep 777) & sleep 777',
      timeout_secs: 1,
    });
    expect(result).toMatchObject({ timed_out: true, exit_code: -1, stdout: 'before\n' });
    const left = await client.call('exec', { workspace_id: 'w', command: 'pgrep -x sleep; true' });
    expect(left.stdout).toBe('');
  });

  it('a file larger than the memory of the machine goes in and comes out', async () => {
    const size = 300 * 1024 * 1024;
    const chunk = Buffer.alloc(1024 * 1024, 'coppice');
    const { ticket } = await client.call('file_upload', { workspace_id: 'w', path: '/big', size });
    const up = await client.openStream(ticket);
    const sending = (async () => {
      for (let sent = 0; sent < size; sent += chunk.length) await up.write(chunk);
      up.end();
    })();
    for await (const frame of up.frames()) expect(frame.type).toBe(frameType.result);
    await sending;
    const down = await client.call('file_download', { workspace_id: 'w', path: '/big' });
    expect(down.size).toBe(size);
    let received = 0;
    for await (const frame of (await client.openStream(down.ticket)).frames()) {
      if (frame.type === frameType.data) received += frame.payload.length;
    }
    expect(received).toBe(size);
    await client.call('file_remove', { workspace_id: 'w', path: '/big' });
  });

  it('an upload whose client vanishes leaves no file', async () => {
    const { ticket } = await client.call('file_upload', { workspace_id: 'w', path: '/half' });
    const stream = await client.openStream(ticket);
    await stream.write(Buffer.alloc(1024 * 1024));
    stream.destroy();
    await expect(
      client.call('file_stat', { workspace_id: 'w', path: '/half' }),
    ).rejects.toMatchObject({ code: 'file_not_found' });
    // The machine hears of it a moment later.
    await expect
      .poll(async () => {
        const root = await client.call('file_list', { workspace_id: 'w', path: '/' });
        return root.map(({ name }) => name).filter((name) => name.includes('half'));
      })
      .toEqual([]);
  });

  it('a client that vanishes takes its ephemeral machine along', async () => {
    const visitor = await daemon.connect('visitor');
    await visitor.call('workspace_create', { name: 'leased', ephemeral: true });
    expect(daemon.machines()).toHaveLength(2);
    visitor.close();
    await expect.poll(() => daemon.machines().length, { timeout: 20_000 }).toBe(1);
    await expect.poll(() => leftovers(daemon.paths).length).toBe(3);
  });

  it('a boot of one workspace does not delay a call on another', async () => {
    const creating = client.call('workspace_create', { name: 'slow' });
    const calls = await Promise.all(
      Array.from({ length: 5 }, () => client.call('exec', { workspace_id: 'w', command: 'true' })),
    );
    expect(calls.every(({ exit_code }) => exit_code === 0)).toBe(true);
    await creating;
    const stopping = client.call('workspace_stop', { workspace_id: 'slow' });
    const done = await client.call('exec', { workspace_id: 'w', command: 'echo quick' });
    expect(done.stdout).toBe('quick\n');
    await stopping;
    await client.call('workspace_destroy', { workspace_id: 'slow' });
  });

  it('a destroy interrupts a create that is under way', async () => {
    const creating = client.call('workspace_create', { name: 'unwanted' });
    creating.catch(() => undefined);
    await expect
      .poll(async () => (await client.call('workspace_list', {})).length, { timeout: 5000 })
      .toBe(2);
    await client.call('workspace_destroy', { workspace_id: 'unwanted' });
    expect(await client.call('workspace_list', {})).toHaveLength(1);
    await expect(creating).rejects.toMatchObject({ code: 'cancelled' });
    expect(daemon.machines()).toHaveLength(1);
  });

  it('an image that was truncated is refused', async () => {
    const [file] = readdirSync(daemon.paths.images).filter((name) => name.endsWith('.qcow2'));
    const image = path.join(daemon.paths.images, file ?? '');
    const { size } = await client.call('image_list', {}).then(({ images }) => ({
      size: images[0]?.size_bytes ?? 0,
    }));
    await client.call('workspace_stop', { workspace_id: 'w' });
    chmodSync(image, 0o644);
    truncateSync(image, size - 4096);
    await expect(client.call('workspace_create', { name: 'x' })).rejects.toMatchObject({
      code: 'image_corrupt',
    });
    await expect(client.call('workspace_start', { workspace_id: 'w' })).rejects.toMatchObject({
      code: 'image_corrupt',
    });
    expect(leftovers(daemon.paths)).toHaveLength(2);
  });
});
