import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { CoppiceClient } from '../../../helper-daemon/client/client.ts';
import { downloadedBytes, uploadBytes } from '../../../helper-daemon/client/transfer.ts';
import { encodeEnd, entriesOf } from '../../../helper-daemon/snapshots/archive/entries.ts';
import {
  decodeManifest,
  encodeManifest,
  type ArchiveManifest,
} from '../../../helper-daemon/snapshots/archive/manifest.ts';
import { encodeHeader, paddingOf } from '../../../helper-daemon/system/tar/tarFormat.ts';
import { readTar } from '../../../helper-daemon/system/tar/tarReader.ts';
import type { ImportResult } from '../../../protocol/operations/archive.ts';
import type { InputOf } from '../../../protocol/operations.ts';
import { leftovers, startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';

let daemon: TestDaemon;
let other: TestDaemon;
let client: CoppiceClient;
/**
 * Without its image: a machine with two branches: root has a; left a, b; right a, c; the present state also d.
 */
let archive: Buffer;

const small = { memory_mb: 256, vcpus: 1 } as const;

beforeAll(async () => {
  daemon = await startTestDaemon();
  other = await startTestDaemon();
  client = await daemon.connect();
  await client.call('workspace_create', { name: 'source', ...small });
  const here = { workspace_id: 'source' };
  await write('source', 'a');
  await client.call('snapshot_create', { ...here, name: 'root', description: 'the first' });
  await write('source', 'b');
  await client.call('snapshot_create', { ...here, name: 'left' });
  await client.call('snapshot_restore', { ...here, name: 'root' });
  await write('source', 'c');
  await client.call('snapshot_create', { ...here, name: 'right' });
  await write('source', 'd');
  archive = await download(client, { workspace_id: 'source', include_image: false });
});

afterEach(async () => {
  for (const one of [daemon, other]) {
    const connected = await one.connect();
    for (const { name } of await connected.call('workspace_list', {})) {
      if (name !== 'source') await connected.call('workspace_destroy', { workspace_id: name });
    }
    connected.close();
  }
});

afterAll(async () => {
  await daemon.dispose();
  await other.dispose();
});

async function write(workspace: string, name: string): Promise<void> {
  const command = `echo ${name}-text > /srv/${name} && sync`;
  const { exit_code } = await client.call('exec', { workspace_id: workspace, command });
  expect(exit_code).toBe(0);
}

async function download(from: CoppiceClient, input: InputOf<'workspace_export'>): Promise<Buffer> {
  const { ticket } = await from.call('workspace_export', input);
  const chunks: Uint8Array[] = [];
  for await (const chunk of downloadedBytes(await from.openStream(ticket))) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The archive with other contents, and digests that agree with them. */
async function rewritten(
  bytes: Uint8Array,
  change: (manifest: ArchiveManifest, contents: Map<string, Buffer>) => void,
): Promise<Buffer> {
  const contents = new Map<string, Buffer>();
  for await (const { name, body } of readTar(pieces(zstdDecompressSync(bytes)), Error)) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of body()) chunks.push(Buffer.from(chunk));
    contents.set(name, Buffer.concat(chunks));
  }
  const digest = (content: Buffer): string => createHash('sha256').update(content).digest('hex');
  const contentOf = (name: string): Buffer => contents.get(name) ?? Buffer.alloc(0);
  const manifest = decodeManifest(contentOf('coppice.json'));
  change(manifest, contents);
  for (const layer of manifest.layers) layer.sha256 = digest(contentOf(`layers/${layer.id}.qcow2`));
  const text = encodeManifest(manifest);
  const first = { name: 'coppice.json', sha256: digest(text) };
  const entries = entriesOf(manifest);
  contents.set('coppice.json', text);
  contents.set('coppice.end', encodeEnd([first, ...entries]));
  const tar = ['coppice.json', ...entries.map(({ name }) => name), 'coppice.end'].map((name) => {
    const content = contentOf(name);
    const size = content.length;
    const header = encodeHeader({ name, kind: 'file', size, mode: 0o600, modified: 0, link: '' });
    return Buffer.concat([header, content, Buffer.alloc(paddingOf(size))]);
  });
  return zstdCompressSync(Buffer.concat([...tar, Buffer.alloc(1024)]));
}

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 500_000) {
    yield await Promise.resolve(bytes.subarray(at, at + 500_000));
  }
}

async function upload(to: CoppiceClient, bytes: Uint8Array, name?: string): Promise<ImportResult> {
  const { ticket } = await to.call('workspace_import', name === undefined ? {} : { name });
  return (await uploadBytes(await to.openStream(ticket), pieces(bytes))) as ImportResult;
}

/** What the machine has of the files that were written. */
async function files(of: CoppiceClient, workspace: string): Promise<string> {
  const command = 'cd /srv && cat a b c d 2>/dev/null | tr "\\n" " "';
  return (await of.call('exec', { workspace_id: workspace, command })).stdout;
}

/** Command lines of everything that runs in the machine. */
async function programs(workspace: string): Promise<string> {
  const command = 'for p in /proc/[0-9]*; do tr "\\0" " " < $p/cmdline; echo; done 2>/dev/null';
  return (await client.call('exec', { workspace_id: workspace, command })).stdout;
}

/** Everything a daemon keeps that an import may leave behind. */
function kept({ paths }: TestDaemon): string[] {
  const namesIn = (directory: string): string[] => {
    try {
      return readdirSync(path.join(paths.state, directory)).map((name) => `${directory}/${name}`);
    } catch {
      return [];
    }
  };
  return ['disks', 'images', 'memory', 'workspaces'].flatMap(namesIn).sort();
}

describe('a workspace with a branched tree', () => {
  it('is the same on another host, in each of its states', async () => {
    const there = await other.connect();
    const result = await upload(there, archive, 'copy');
    expect(result).toMatchObject({ name: 'copy', snapshots: 3, bytes: archive.length });

    const tree = await there.call('snapshot_list', { workspace_id: 'copy' });
    const root = tree.snapshots.find(({ name }) => name === 'root');
    expect(tree.snapshots.map(({ name, parent }) => [name, parent])).toEqual([
      ['root', null],
      ['left', root?.snapshot_id],
      ['right', root?.snapshot_id],
    ]);
    expect(root?.description).toBe('the first');
    expect(tree.current).toBe(tree.snapshots[2]?.snapshot_id);
    const before = await client.call('snapshot_list', { workspace_id: 'source' });
    for (const { snapshot_id } of before.snapshots) {
      expect(tree.snapshots.map((snapshot) => snapshot.snapshot_id)).not.toContain(snapshot_id);
    }
    const source = await client.call('workspace_info', { workspace_id: 'source' });
    const copy = await there.call('workspace_info', { workspace_id: 'copy' });
    expect(copy).toMatchObject({
      state: 'stopped',
      resources: source.resources,
      image_digest: source.image_digest,
      base_image: 'debian-dev',
      generation: 1,
    });
    expect(copy.workspace_id).not.toBe(source.workspace_id);

    await there.call('workspace_start', { workspace_id: 'copy' });
    expect(await files(there, 'copy')).toBe('a-text c-text d-text ');
    for (const [name, expected] of [
      ['left', 'a-text b-text '],
      ['right', 'a-text c-text '],
      ['root', 'a-text '],
    ] as const) {
      await there.call('snapshot_restore', { workspace_id: 'copy', name });
      expect(await files(there, 'copy'), name).toBe(expected);
    }
    const machineId = 'cat /etc/machine-id';
    const ids = await Promise.all([
      client.call('exec', { workspace_id: 'source', command: machineId }),
      there.call('exec', { workspace_id: 'copy', command: machineId }),
    ]);
    expect(ids[0].stdout).not.toBe(ids[1].stdout);
    there.close();
  });

  it('goes on running while it is exported, and nothing of the export stays', async () => {
    const job = await client.call('process_start', {
      workspace_id: 'source',
      command: 'sleep 600',
    });
    const again = await download(client, { workspace_id: 'source' });
    expect(again.length).toBeGreaterThan(1000);
    expect(
      await client.call('process_get', { workspace_id: 'source', job_id: job.job_id }),
    ).toMatchObject({ running: true });
    const { snapshots } = await client.call('snapshot_list', { workspace_id: 'source' });
    expect(snapshots).toHaveLength(3);
    expect(
      leftovers(daemon.paths).filter((name) => name.startsWith(daemon.paths.workspaces)),
    ).toHaveLength(1);
  });

  it('can be exported again from its import', async () => {
    await upload(client, archive, 'second');
    const again = await download(client, { workspace_id: 'second' });
    await client.call('workspace_destroy', { workspace_id: 'second' });
    expect(await upload(client, again)).toMatchObject({ name: 'second', snapshots: 3 });
    await client.call('workspace_start', { workspace_id: 'second' });
    expect(await files(client, 'second')).toBe('a-text c-text d-text ');
  });

  it('is exported whole although it is destroyed before the archive is read', async () => {
    await upload(client, archive, 'doomed');
    const { ticket } = await client.call('workspace_export', { workspace_id: 'doomed' });
    await client.call('workspace_destroy', { workspace_id: 'doomed' });
    const chunks: Uint8Array[] = [];
    for await (const chunk of downloadedBytes(await client.openStream(ticket))) chunks.push(chunk);
    expect(await upload(client, Buffer.concat(chunks))).toMatchObject({ name: 'doomed' });
  });
});

describe('one snapshot', () => {
  it('comes with its ancestors only, and is what the machine starts from', async () => {
    const bytes = await download(client, { workspace_id: 'source', snapshot_name: 'left' });
    const again = await download(client, { workspace_id: 'source', snapshot_name: 'left' });
    expect(bytes.equals(again), 'the same archive each time').toBe(true);
    await upload(client, bytes, 'from-left');
    const { snapshots, current } = await client.call('snapshot_list', {
      workspace_id: 'from-left',
    });
    expect(snapshots.map(({ name }) => name)).toEqual(['root', 'left']);
    expect(current).toBe(snapshots[1]?.snapshot_id);
    await client.call('workspace_start', { workspace_id: 'from-left' });
    expect(await files(client, 'from-left')).toBe('a-text b-text ');
  });

  it('continues its programs where it was exported with memory', async () => {
    const where = { workspace_id: 'source' };
    await client.call('process_start', { ...where, command: 'sleep 12345' });
    await client.call('snapshot_create', { ...where, name: 'live', include_memory: true });
    const request = { ...where, snapshot_name: 'live' } as const;
    const withMemory = await download(client, { ...request, include_memory: true });
    const without = await download(client, request);
    await client.call('snapshot_delete', { ...where, name: 'live' });
    expect(withMemory.length).toBeGreaterThan(without.length);

    await upload(client, withMemory, 'awake');
    expect(
      await client.call('snapshot_restore', { workspace_id: 'awake', name: 'live' }),
    ).toMatchObject({ resumed: true });
    expect(await programs('awake')).toContain('sleep 12345');
    await upload(client, without, 'asleep');
    expect(
      await client.call('snapshot_restore', { workspace_id: 'asleep', name: 'live' }),
    ).toMatchObject({ resumed: false });
    expect(await programs('asleep')).not.toContain('sleep 12345');
  });
});

describe('an import that fails', () => {
  it('leaves nothing of an archive that is cut or changed anywhere', async () => {
    const there = await other.connect();
    const before = kept(other);
    const places = [0.1, 0.5, 0.9, 0.999].map((share) => Math.floor(archive.length * share));
    for (const at of [0, 100, ...places, archive.length - 1]) {
      const cut = upload(there, archive.subarray(0, at));
      await expect(cut, `cut at ${String(at)}`).rejects.toMatchObject({ code: 'archive_invalid' });
      const changed = Buffer.from(archive);
      changed[at] = (changed[at] ?? 0) ^ 0x10;
      await expect(upload(there, changed), `changed at ${String(at)}`).rejects.toMatchObject({
        code: 'archive_invalid',
      });
    }
    expect(kept(other)).toEqual(before);
    expect(await there.call('workspace_list', {})).toEqual([]);
    there.close();
  });

  it('leaves nothing of a disk that names a file of the host', async () => {
    const bytes = await rewritten(archive, ({ layers }, contents) => {
      const name = Buffer.from('/etc/passwd');
      for (const { id } of layers) {
        const disk = contents.get(`layers/${id}.qcow2`) ?? Buffer.alloc(1024);
        name.copy(disk, 512);
        disk.writeBigUInt64BE(512n, 8);
        disk.writeUInt32BE(name.length, 16);
      }
    });
    const there = await other.connect();
    const before = kept(other);
    const imported = await upload(there, bytes, 'curious').catch((error: unknown) => error);
    // What it says is not looked up: the disk stands on what the archive's tree says.
    expect(imported).toMatchObject({ name: 'curious' });
    const disks = path.join(other.paths.state, 'disks');
    for (const disk of readdirSync(disks)) {
      expect(readFileSync(path.join(disks, disk)).includes('/etc/passwd')).toBe(false);
    }
    await there.call('workspace_destroy', { workspace_id: 'curious' });
    expect(kept(other)).toEqual(before);
    there.close();
  });

  it('leaves nothing of a disk that is no disk', async () => {
    const there = await other.connect();
    const before = kept(other);
    for (const spoil of [
      (disk: Buffer) => disk.fill(0, 0, 4),
      (disk: Buffer) => disk.fill(0xff, 40, 56),
      (disk: Buffer) => disk.writeUInt32BE(1, 32),
    ]) {
      // The last one: everything below it has been taken in when it is found out.
      const bytes = await rewritten(archive, ({ layers }, contents) => {
        spoil(contents.get(`layers/${layers.at(-1)?.id ?? ''}.qcow2`) ?? Buffer.alloc(0));
      });
      await expect(upload(there, bytes)).rejects.toMatchObject({ code: 'archive_invalid' });
    }
    expect(kept(other)).toEqual(before);
    there.close();
  });

  it('refuses a name that is taken, before and after the upload', async () => {
    await expect(client.call('workspace_import', { name: 'source' })).rejects.toMatchObject({
      code: 'name_taken',
    });
    const before = kept(daemon);
    await expect(upload(client, archive)).rejects.toMatchObject({ code: 'name_taken' });
    expect(kept(daemon)).toEqual(before);
  });

  it('leaves nothing when the client goes away in the middle', async () => {
    const there = await other.connect();
    const before = kept(other);
    const { ticket } = await there.call('workspace_import', {});
    const stream = await there.openStream(ticket);
    for await (const piece of pieces(archive.subarray(0, archive.length / 2))) {
      await stream.write(piece);
    }
    stream.destroy();
    await expect.poll(() => kept(other), { timeout: 20_000 }).toEqual(before);
    there.close();
  });

  it('leaves nothing when the daemon is killed, whenever that is', async () => {
    const before = kept(other);
    const started = performance.now();
    const probe = await other.connect();
    await upload(probe, archive, 'timed');
    const whole = performance.now() - started;
    await probe.call('workspace_destroy', { workspace_id: 'timed' });
    for (const share of [0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95]) {
      const there = await other.connect();
      let told = false;
      upload(there, archive, 'cut').then(
        () => (told = true),
        () => undefined,
      );
      await delay(whole * share);
      await other.kill();
      await other.start();
      const after = await other.connect();
      const found = await after.call('workspace_list', {});
      if (found.length > 0) {
        // It had been finished: then it is whole.
        expect(found).toMatchObject([{ name: 'cut', state: 'stopped', problem: null }]);
        await after.call('workspace_destroy', { workspace_id: 'cut' });
      } else expect(told).toBe(false);
      expect(kept(other), `killed at ${String(share)}`).toEqual(before);
      after.close();
    }
  });
});

describe('the image', () => {
  it('comes along where it is missing, under its name or one beside it', async () => {
    const whole = await download(client, { workspace_id: 'source' });
    expect(whole.length).toBeGreaterThan(archive.length);
    await upload(client, whole, 'at-home');
    expect((await client.call('image_list', {})).images.map(({ name }) => name)).toEqual([
      'debian-dev',
    ]);

    const there = await other.connect();
    await there.call('image_remove', { name: 'debian-dev' });
    const before = kept(other);
    await expect(upload(there, archive)).rejects.toMatchObject({ code: 'image_missing' });
    await expect(upload(there, whole.subarray(0, whole.length - 1))).rejects.toMatchObject({
      code: 'archive_invalid',
    });
    expect(kept(other)).toEqual(before);
    await upload(there, whole, 'bringer');
    expect((await there.call('image_list', {})).images).toMatchObject([
      { name: 'debian-dev', workspaces: 1 },
    ]);
    await there.call('workspace_start', { workspace_id: 'bringer' });
    expect(await files(there, 'bringer')).toBe('a-text c-text d-text ');
    await there.call('workspace_destroy', { workspace_id: 'bringer' });

    await there.call('image_remove', { name: 'debian-dev' });
    await there.call('image_build', { name: 'debian-minimal' });
    const renamed = await rewritten(whole, ({ image }) => {
      image.name = 'debian-minimal';
    });
    await upload(there, renamed, 'beside');
    const { base_image, image_digest } = await there.call('workspace_info', {
      workspace_id: 'beside',
    });
    expect(base_image).toBe(`debian-minimal-${image_digest.slice(7, 15)}`);
    there.close();
  });
});

describe('on a disk that is too small', () => {
  const mount = mkdtempSync(path.join(os.tmpdir(), 'cop-small-'));
  const temporary = process.env['TMPDIR'];
  let cramped: TestDaemon;
  let there: CoppiceClient;

  beforeAll(async () => {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=3g', 'tmpfs', mount]);
    process.env['TMPDIR'] = mount;
    cramped = await startTestDaemon();
    there = await cramped.connect();
  });
  afterAll(async () => {
    if (temporary === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = temporary;
    await cramped.dispose();
    execFileSync('umount', [mount]);
    rmSync(mount, { recursive: true });
  });

  const filler = path.join(mount, 'filler');

  /** Leaves this many bytes free. */
  function fill(leave: number): void {
    const { bavail, bsize } = statfsSync(mount);
    execFileSync('fallocate', ['-l', String(bavail * bsize - leave), filler]);
  }

  /** Leaves nothing free, whatever else is written meanwhile. */
  function fillUp(): void {
    fill(8 * 1024 ** 2);
    const file = openSync(filler, 'a');
    try {
      for (;;) writeSync(file, Buffer.alloc(4096));
    } catch (error) {
      expect(error).toMatchObject({ code: 'ENOSPC' });
    } finally {
      closeSync(file);
    }
  }

  it('is refused before anything is written', async () => {
    const before = kept(cramped);
    fill(200 * 1024 ** 2);
    await expect(upload(there, archive)).rejects.toMatchObject({ code: 'no_space' });
    expect(kept(cramped)).toEqual(before);
    rmSync(filler);
  });

  it('leaves nothing when the disk fills up on the way', async () => {
    const before = kept(cramped);
    const { ticket } = await there.call('workspace_import', {});
    const stream = await there.openStream(ticket);
    async function* meanwhile(): AsyncGenerator<Uint8Array> {
      yield archive.subarray(0, 200_000);
      await expect.poll(() => kept(cramped).length).toBeGreaterThan(before.length);
      fillUp();
      yield archive.subarray(200_000);
    }
    await expect(uploadBytes(stream, meanwhile())).rejects.toMatchObject({ code: 'no_space' });
    rmSync(filler);
    await expect.poll(() => kept(cramped)).toEqual(before);
    expect(await upload(there, archive, 'fits-now')).toMatchObject({ snapshots: 3 });
  });
});
