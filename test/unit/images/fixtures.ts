/** Tiny archives and disks made on the spot, and a look into the images that come of them. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pack } from 'tar-stream';
import { run } from '../../../helper-daemon/system/run.ts';

export interface TarItem {
  readonly name: string;
  readonly type?: 'file' | 'directory' | 'symlink' | 'link' | 'fifo' | 'character-device';
  readonly content?: string | Buffer;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly linkname?: string;
  readonly pax?: Record<string, string>;
}

export async function tar(items: readonly TarItem[]): Promise<Buffer> {
  const stream = pack();
  const chunks: Buffer[] = [];
  stream.on('data', (chunk) => chunks.push(chunk as Buffer));
  const ended = new Promise<void>((resolve) => stream.once('end', () => resolve()));
  for (const { content = '', type = 'file', ...rest } of items) {
    const header = { ...rest, type, mtime: new Date(1_700_000_000_000) };
    if (type === 'file') stream.entry(header, content);
    else stream.entry(header);
  }
  stream.finalize();
  await ended;
  return Buffer.concat(chunks);
}

/** The least that counts as a root file system. */
export const minimalRoot: readonly TarItem[] = [
  { name: 'bin/', type: 'directory', mode: 0o755 },
  { name: 'bin/sh', content: '#!shell', mode: 0o755 },
];

export function sha256(bytes: Buffer | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export async function tempDirectory(): Promise<{
  readonly path: string;
  readonly remove: () => Promise<void>;
}> {
  const path = await mkdtemp(join(tmpdir(), 'coppice-images-'));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

/** An OCI layout in a directory; `tamper` may change a blob after its digest was taken. */
export async function ociLayout(
  directory: string,
  layers: readonly Buffer[],
  options: {
    readonly config?: object;
    readonly architecture?: string;
    readonly tamper?: (blob: Buffer) => Buffer;
  } = {},
): Promise<void> {
  const architecture = options.architecture ?? 'amd64';
  await mkdir(join(directory, 'blobs/sha256'), { recursive: true });
  const store = async (
    bytes: Buffer,
    mediaType: string,
    tamper?: (blob: Buffer) => Buffer,
  ): Promise<object> => {
    await writeFile(join(directory, 'blobs/sha256', sha256(bytes)), tamper?.(bytes) ?? bytes);
    return { mediaType, digest: `sha256:${sha256(bytes)}`, size: bytes.length };
  };
  const json = (value: object): Buffer => Buffer.from(JSON.stringify(value));
  const stored: object[] = [];
  for (const layer of layers) {
    stored.push(await store(layer, 'application/vnd.oci.image.layer.v1.tar', options.tamper));
  }
  const config = await store(
    json({
      os: 'linux',
      architecture,
      config: options.config ?? {},
      rootfs: { type: 'layers', diff_ids: layers.map((layer) => `sha256:${sha256(layer)}`) },
    }),
    'application/vnd.oci.image.config.v1+json',
  );
  const manifest = await store(
    json({ schemaVersion: 2, config, layers: stored }),
    'application/vnd.oci.image.manifest.v1+json',
  );
  const platform = { os: 'linux', architecture };
  await writeFile(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  await writeFile(
    join(directory, 'index.json'),
    json({ schemaVersion: 2, manifests: [{ ...manifest, platform }] }),
  );
}

export interface DiskView {
  /** Content of a file; undefined when it is not there. */
  cat(path: string): Promise<string | undefined>;
  stat(path: string): Promise<string>;
  names(path: string): Promise<readonly string[]>;
}

const systemPath = { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` };

/** Opens a qcow2 image with e2fsprogs: not the code that wrote it. Fails when e2fsck finds anything. */
export async function viewDisk(image: string): Promise<DiskView> {
  const raw = `${image}.raw`;
  await run('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', image, raw]);
  await run('e2fsck', ['-f', '-n', raw], { env: systemPath });
  const debugfs = async (command: string): Promise<string> =>
    (await run('debugfs', ['-R', command, raw], { env: systemPath })).stdout;
  return {
    async cat(path) {
      if (!(await debugfs(`stat ${path}`)).includes('Inode:')) return undefined;
      return debugfs(`cat ${path}`);
    },
    stat: (path) => debugfs(`stat ${path}`),
    async names(path) {
      return (await debugfs(`ls -p ${path}`))
        .split('\n')
        .flatMap((line) => line.split('/')[5] ?? [])
        .filter((name) => name !== '.' && name !== '..' && name !== 'lost+found')
        .sort();
    },
  };
}

/** A raw disk with one ext4 file system that holds a shell. */
export async function extDisk(path: string, directory: string): Promise<void> {
  const root = join(directory, 'root');
  await mkdir(join(root, 'bin'), { recursive: true });
  await writeFile(join(root, 'bin/sh'), '#!shell', { mode: 0o755 });
  await writeFile(join(root, 'hello'), 'from the disk');
  await writeFile(path, '');
  await run('mke2fs', ['-q', '-F', '-t', 'ext4', '-d', root, path, '16M'], { env: systemPath });
}
