import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { make, openToolBed, sh, type ToolBed } from './toolBed.ts';

let bed: ToolBed;
const on = { workspace_id: 'box' };

beforeAll(async () => {
  bed = await openToolBed();
  await make(bed.agent, 'box');
});
afterAll(async () => {
  await bed.dispose();
});

describe('file_write', () => {
  it('makes directories, sets the mode and replaces what is there', async () => {
    const { agent } = bed;
    const wrote = await agent.tool('file_write', {
      ...on,
      path: '/tmp/a/b/run.sh',
      content: '#!/bin/sh\necho ünï\n',
      mode: '0o755',
    });
    expect(wrote.text).toBe('File written: /tmp/a/b/run.sh');
    expect(await sh(agent, 'box', '/tmp/a/b/run.sh; stat -c %a /tmp/a/b/run.sh')).toBe('ünï\n755');
    await agent.ok('file_write', { ...on, path: '/tmp/a/b/run.sh', content: '' });
    expect(await sh(agent, 'box', 'stat -c "%s %a" /tmp/a/b/run.sh')).toBe('0 755');
  });

  it('tells a wrong parameter from a file that cannot be written', async () => {
    const { agent } = bed;
    for (const bad of [{ mode: '9' }, { path: 'relative' }, { content: 5 }, { path: '/a\0b' }]) {
      const failure = await agent.failure('file_write', {
        ...on,
        path: '/tmp/x',
        content: '',
        ...bad,
      });
      expect(failure, JSON.stringify(bad)).toMatchObject({ kind: 'invalid_params' });
    }
    const failure = await agent.failure('file_write', { ...on, path: '/tmp', content: '' });
    expect(failure).toMatchObject({ kind: 'invalid_request', code: 'file_error' });
  });

  it('takes 4 MiB and says what to do with more', async () => {
    const most = 'x'.repeat(4 * 1024 * 1024);
    await bed.agent.ok('file_write', { ...on, path: '/tmp/big', content: most });
    expect(await sh(bed.agent, 'box', 'stat -c %s /tmp/big')).toBe('4194304');
    const read = await bed.agent.tool('file_read', { ...on, path: '/tmp/big' });
    expect(read.text).toBe(most);
    const failure = await bed.agent.failure('file_write', {
      ...on,
      path: '/tmp/big',
      content: `${most}x`,
    });
    expect(failure).toMatchObject({ kind: 'invalid_params' });
  });
});

describe('file_read', () => {
  it('answers with exactly the text, or a part of it', async () => {
    const { agent } = bed;
    const content = '\n one\r\ntwo € three\n\n';
    await agent.ok('file_write', { ...on, path: '/tmp/t', content });
    const read = async (more: object = {}): Promise<string> =>
      (await agent.tool('file_read', { ...on, path: '/tmp/t', ...more })).text;
    expect(await read()).toBe(content);
    expect(await read({ offset: 2, limit: 3 })).toBe('one');
    expect(await read({ offset: 1000 })).toBe('');
    // However it is cut, the parts are the file.
    const bytes = Buffer.byteLength(content);
    let parts = '';
    for (let offset = 0; offset < bytes; offset += 2) parts += await read({ offset, limit: 2 });
    expect(parts).toBe(content);
  });

  it('reads a part of a file of any size', async () => {
    await sh(bed.agent, 'box', 'truncate -s 5G /tmp/huge; printf end >> /tmp/huge');
    const { text, structured } = await bed.agent.tool('file_read', {
      ...on,
      path: '/tmp/huge',
      offset: 5 * 1024 ** 3,
      limit: 10,
    });
    expect([text, structured['size']]).toEqual(['end', 5 * 1024 ** 3 + 3]);
    await sh(bed.agent, 'box', 'rm /tmp/huge');
  });

  it('refuses binary data and names the tool for it', async () => {
    const { agent } = bed;
    await sh(agent, 'box', 'printf "\\377\\376\\000" > /tmp/binary');
    const failure = await agent.failure('file_read', { ...on, path: '/tmp/binary' });
    expect(failure).toMatchObject({ kind: 'invalid_request', code: 'file_error' });
    expect(`${failure.message} ${String(failure.next)}`).toMatch(/binary data.*file_transfer/s);
    for (const [file, code] of [
      ['/no/such', 'file_not_found'],
      ['/tmp', 'file_error'],
    ]) {
      expect(await agent.failure('file_read', { ...on, path: file })).toMatchObject({
        kind: 'invalid_request',
        code,
      });
    }
  });
});

describe('file_edit', () => {
  it('replaces the first occurrence and keeps the rest', async () => {
    const { agent } = bed;
    await agent.ok('file_write', { ...on, path: '/tmp/e', content: 'a $1 a\n', mode: '0640' });
    const edited = await agent.tool('file_edit', {
      ...on,
      path: '/tmp/e',
      old_string: 'a',
      new_string: '$&',
    });
    expect(edited.text).toBe('File edited: /tmp/e');
    expect(await sh(agent, 'box', 'cat /tmp/e; stat -c %a /tmp/e')).toBe('$& $1 a\n640');
  });

  it('fails where there is nothing to replace, and refuses to look for nothing', async () => {
    const edit = (file: string, text: string) =>
      bed.agent.failure('file_edit', { ...on, path: file, old_string: text, new_string: '' });
    expect(await edit('/tmp/e', 'absent')).toMatchObject({ kind: 'invalid_request' });
    expect(await edit('/no/such', 'a')).toMatchObject({
      kind: 'invalid_request',
      code: 'file_not_found',
    });
    expect(await edit('/tmp/e', '')).toMatchObject({ kind: 'invalid_params' });
  });
});

describe('file_list', () => {
  it('is an array by name with kinds, sizes, permissions and times', async () => {
    const { agent } = bed;
    await sh(
      agent,
      'box',
      'mkdir -p /tmp/l/sub; cd /tmp/l; printf abc > b; chmod 754 b; ln -s b a; touch .hidden',
    );
    const { text } = await agent.tool('file_list', { ...on, path: '/tmp/l' });
    const entries = JSON.parse(text) as Record<string, unknown>[];
    expect(entries.map(({ name, kind }) => [name, kind])).toEqual([
      ['.hidden', 'file'],
      ['a', 'symlink'],
      ['b', 'file'],
      ['sub', 'dir'],
    ]);
    expect(entries[2]).toEqual({
      name: 'b',
      kind: 'file',
      size: 3,
      permissions: 'rwxr-xr--',
      modified: expect.any(Number) as number,
    });
    expect(await agent.failure('file_list', { ...on, path: '/tmp/l/b' })).toMatchObject({
      kind: 'invalid_request',
    });
  });
});

describe('file_transfer', () => {
  const transfer = (direction: string, host_path: string, guest_path: string) =>
    bed.agent.tool('file_transfer', { ...on, direction, host_path, guest_path });
  const refused = (direction: string, host_path: string, guest_path: string) =>
    bed.agent.failure('file_transfer', { ...on, direction, host_path, guest_path });

  it('copies any bytes both ways, with their mode, and says what it did', async () => {
    const { agent, transfers } = bed;
    // The directory is made when it is first needed.
    expect((await refused('upload', 'absent', '/tmp/x')).code).toBe('file_not_found');
    expect(statSync(transfers).mode & 0o777).toBe(0o700);
    const bytes = Buffer.from(Array.from({ length: 70_000 }, (_, index) => index & 255));
    mkdirSync(path.join(transfers, 'sub'));
    const source = path.join(transfers, 'sub/data.bin');
    writeFileSync(source, bytes, { mode: 0o750 });
    const up = await transfer('upload', 'sub/data.bin', '/app/data/data.bin');
    expect(up.text).toBe(`Uploaded ${source} -> /app/data/data.bin (70000 bytes)`);
    expect(await sh(agent, 'box', 'stat -c "%s %a" /app/data/data.bin')).toBe('70000 750');
    const target = path.join(transfers, 'back.bin');
    const down = await transfer('download', target, '/app/data/data.bin');
    expect(down.text).toBe(`Downloaded /app/data/data.bin -> ${target} (70000 bytes)`);
    expect(readFileSync(target).equals(bytes)).toBe(true);
    expect(statSync(target).mode & 0o777).toBe(0o750);
  });

  it('moves what is far larger than a message, and keeps the daemon small', async () => {
    const { agent, daemon, transfers } = bed;
    await sh(agent, 'box', 'head -c 200000000 /dev/urandom > /root/large');
    const sum = await sh(agent, 'box', 'sha256sum < /root/large');
    await transfer('download', 'large', '/root/large');
    await sh(agent, 'box', 'rm /root/large');
    const up = await transfer('upload', 'large', '/root/large');
    expect(up.structured['bytes']).toBe(200_000_000);
    expect(await sh(agent, 'box', 'sha256sum < /root/large')).toBe(sum);
    const status = readFileSync(`/proc/${String(daemon.pid())}/status`, 'utf8');
    expect(Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1])).toBeLessThan(250 * 1024);
    expect(statSync(path.join(transfers, 'large')).size).toBe(200_000_000);
    await sh(agent, 'box', 'rm /root/large');
  });

  it('never leaves its directory', async () => {
    const { transfers, daemon } = bed;
    symlinkSync('/etc', path.join(transfers, 'link'));
    symlinkSync('/etc/hostname', path.join(transfers, 'file-link'));
    for (const host of [
      '/etc/hostname',
      '../coppice.db',
      'sub/../../coppice.db',
      daemon.paths.database,
      transfers,
      `${transfers}/..`,
      `${transfers}-other/x`,
      'link/hostname',
      'file-link',
      'sub',
    ]) {
      const failure = await refused('upload', host, '/tmp/stolen');
      expect(failure, host).toMatchObject({ kind: 'invalid_request' });
    }
    expect(await sh(bed.agent, 'box', 'ls /tmp/stolen 2>&1 || true')).toContain('No such file');
    // Writing through a link goes nowhere; a link with the file's name is replaced itself.
    const hostname = readFileSync('/etc/hostname', 'utf8');
    expect(await refused('download', 'link/hostname', '/etc/hostname')).toMatchObject({
      kind: 'internal_error',
    });
    await transfer('download', 'file-link', '/etc/hostname');
    expect(readFileSync('/etc/hostname', 'utf8')).toBe(hostname);
    expect(readFileSync(path.join(transfers, 'file-link'), 'utf8')).toBe('box\n');
    expect(await refused('download', '/etc/coppice-test', '/etc/hostname')).toMatchObject({
      kind: 'invalid_request',
      code: 'permission_denied',
    });
    expect(existsSync('/etc/coppice-test')).toBe(false);
  });

  it('says which side failed, and leaves nothing half done', async () => {
    const { agent, transfers } = bed;
    expect(await refused('sideways', 'x', '/x')).toMatchObject({ kind: 'invalid_params' });
    expect(await refused('download', 'absent/x', '/etc/hostname')).toMatchObject({
      kind: 'internal_error',
      code: 'file_not_found',
    });
    expect(await refused('download', 'x', '/no/such')).toMatchObject({
      kind: 'internal_error',
      code: 'file_not_found',
    });
    expect(await refused('upload', 'back.bin', '/etc')).toMatchObject({ kind: 'internal_error' });
    // What never ends is not kept, nor is any of it.
    expect(await refused('download', 'zero', '/proc/self/pagemap')).toMatchObject({
      kind: 'internal_error',
      code: 'file_error',
    });
    // What says that it does not fit is not begun.
    await sh(agent, 'box', 'truncate -s 8T /root/sparse');
    expect(await refused('download', 'zero', '/root/sparse')).toMatchObject({
      kind: 'internal_error',
      code: 'no_space',
    });
    const rest = readdirSync(transfers).filter((name) => name.startsWith('.coppice-partial'));
    expect(rest.flatMap((name) => readdirSync(path.join(transfers, name)))).toEqual([]);
    expect(existsSync(path.join(transfers, 'zero'))).toBe(false);
    expect(await sh(agent, 'box', 'ls -A /app/data')).toBe('data.bin');
  });
});
