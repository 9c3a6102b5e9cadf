import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { pack } from 'tar-stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readMachineTar } from '../../../helper-daemon/cli/transfer/machineTar.ts';
import { noCounts, packTree } from '../../../helper-daemon/cli/transfer/tarWriter.ts';
import { encodeHeader, type TarHeader } from '../../../helper-daemon/system/tar/tarFormat.ts';
import type { TarEntry } from '../../../helper-daemon/system/tar/tarReader.ts';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'tar-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

async function* inPieces(data: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < data.length; offset += size) {
    yield data.subarray(offset, offset + size);
  }
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function entriesOf(
  data: Uint8Array,
  piece = 1000,
): Promise<{ header: TarEntry; content: string }[]> {
  const entries: { header: TarEntry; content: string }[] = [];
  for await (const header of readMachineTar(inPieces(data, piece))) {
    entries.push({ header, content: (await collect(header.body())).toString() });
  }
  return entries;
}

const end = Buffer.alloc(1024);
const file = (name: string, more: Partial<TarHeader> = {}): Buffer =>
  encodeHeader({ name, kind: 'file', size: 0, mode: 0o644, modified: 0, link: '', ...more });

describe('reading the tar of a machine', () => {
  it('reads what GNU tar writes, long names, unicode and links included', async () => {
    const long = 'd'.repeat(90);
    mkdirSync(path.join(directory, 'in', long, long), { recursive: true });
    writeFileSync(path.join(directory, 'in', long, long, 'é日本.txt'), 'content');
    symlinkSync('x'.repeat(150), path.join(directory, 'in', 'link'));
    for (const format of ['gnu', 'pax']) {
      const data = execFileSync('tar', [
        '-C',
        path.join(directory, 'in'),
        `--format=${format}`,
        '-c',
        '.',
      ]);
      const entries = await entriesOf(data);
      const found = entries.find(({ content }) => content === 'content');
      expect(Buffer.from(found?.header.name ?? '', 'latin1').toString()).toBe(
        `./${long}/${long}/é日本.txt`,
      );
      expect(entries.find(({ header }) => header.kind === 'symlink')?.header.link).toBe(
        'x'.repeat(150),
      );
    }
  });

  it('reads what tar-stream writes', async () => {
    const writer = pack();
    writer.entry({ name: 'a'.repeat(150), mode: 0o755, mtime: new Date(5000) }, 'hello');
    writer.entry({ name: 'dir', type: 'directory' });
    writer.finalize();
    const entries = await entriesOf(
      await collect(writer as unknown as AsyncIterable<Uint8Array>),
      7,
    );
    expect(
      entries.map(({ header, content }) => [header.name, header.kind, header.mode, content]),
    ).toEqual([
      ['a'.repeat(150), 'file', 0o755, 'hello'],
      ['dir', 'directory', 0o755, ''],
    ]);
  });

  it('skips content that nobody reads', async () => {
    const data = Buffer.concat([file('a', { size: 600 }), Buffer.alloc(1024), file('b'), end]);
    const names: string[] = [];
    for await (const entry of readMachineTar(inPieces(data, 333))) names.push(entry.name);
    expect(names).toEqual(['a', 'b']);
  });

  it.each([
    ['a wrong checksum', Buffer.concat([Buffer.from(file('a')).fill('b', 0, 1), end]), 'checksum'],
    ['no magic', withoutMagic(), 'neither pax nor GNU'],
    ['an early end', file('a', { size: 5000 }), 'ends in the middle'],
    ['no end mark', file('a'), 'ends in the middle'],
    ['an unknown type', typed('Z'), 'unknown type'],
    ['a sparse file', typed('S'), 'unknown type'],
    ['a pax record with a negative length', paxed('-5 ab'), 'malformed'],
    ['a pax record longer than its header', paxed('999 path=x\n'), 'malformed'],
    ['a pax record without a value', paxed('6 abc\n'), 'malformed'],
    ['a sparse file described by pax', paxed('22 GNU.sparse.major=1\n'), 'sparse file'],
    ['a size that is no number', paxed('14 size=twelve\n'), 'malformed'],
    ['a negative size', paxed('12 size=-12\n'), 'size is malformed'],
    ['an extended header of gigabytes', withSize(typed('x'), 4e9), 'too long'],
    [
      'a name of many kilobytes',
      Buffer.concat([paxName('n'.repeat(5000)), file('a'), end]),
      'name is too long',
    ],
    ['noise', Buffer.alloc(4096, 0xaa), 'malformed'],
  ])('refuses %s', async (_, data, why) => {
    await expect(entriesOf(data)).rejects.toThrow(why);
  });

  it('ends, whatever the bytes', async () => {
    const template = Buffer.concat([
      paxName('some/name'),
      file('a', { size: 10 }),
      Buffer.alloc(512),
      end,
    ]);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(template.length - 1), fc.nat(255)), { maxLength: 20 }),
        fc.integer({ min: 1, max: 2000 }),
        async (changes, piece) => {
          const data = Buffer.from(template);
          for (const [offset, value] of changes) data[offset] = value;
          await entriesOf(data, piece).catch((error: unknown) => {
            expect(error).toMatchObject({ code: 'file_error' });
          });
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('writing a tar', () => {
  it('is read back by GNU tar with content, modes, times, links and odd names', async () => {
    const source = path.join(directory, 'in');
    const odd = Buffer.concat([Buffer.from(`${source}/`), Buffer.from([0xff, 0xfe, 0x41])]);
    mkdirSync(path.join(source, 'sub', 'x'.repeat(120)), { recursive: true });
    writeFileSync(path.join(source, 'sub', 'x'.repeat(120), 'deep'), 'deep content');
    writeFileSync(path.join(source, 'run.sh'), '#!/bin/sh\n', { mode: 0o755 });
    utimesSync(path.join(source, 'run.sh'), 1_000_000, 1_000_000);
    writeFileSync(path.join(source, 'big'), Buffer.alloc(700_001, 'z'));
    writeFileSync(odd, 'odd');
    symlinkSync('../elsewhere', path.join(source, 'link'));
    const counts = noCounts();
    const data = await collect(packTree(source, counts));
    const out = path.join(directory, 'out');
    mkdirSync(out);
    execFileSync('tar', ['-C', out, '-xp'], { input: data });
    expect(execFileSync('diff', ['-r', '--no-dereference', source, out]).toString()).toBe('');
    expect(
      execFileSync('stat', ['-c', '%a %Y', path.join(out, 'run.sh')])
        .toString()
        .trim(),
    ).toBe('755 1000000');
    expect(counts).toMatchObject({
      files: 4,
      directories: 3,
      symlinks: 1,
      bytes: 700_001 + 12 + 10 + 3,
    });
    expect(readFileSync(path.join(out, 'big')).length).toBe(700_001);
  });
});

function typed(typeflag: string): Buffer {
  return rewritten(file('a'), (block) => block.write(typeflag, 156, 'latin1'), true);
}

function withSize(block: Buffer, size: number): Buffer {
  return rewritten(
    block.subarray(0, 512),
    (copy) => copy.write(size.toString(8).padStart(11, '0'), 124, 'latin1'),
    true,
  );
}

function withoutMagic(): Buffer {
  return rewritten(file('a'), (block) => block.fill(0, 257, 265), true);
}

function rewritten(header: Buffer, change: (block: Buffer) => void, ended: boolean): Buffer {
  const block = Buffer.from(header);
  change(block);
  block.fill(' ', 148, 156);
  const sum = block.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return ended ? Buffer.concat([block, end]) : block;
}

function paxed(records: string): Buffer {
  const data = Buffer.alloc(512);
  data.write(records, 'latin1');
  const header = rewritten(
    file('pax'),
    (block) => {
      block.write('x', 156, 'latin1');
      block.write(records.length.toString(8).padStart(11, '0'), 124, 'latin1');
    },
    false,
  );
  return Buffer.concat([header, data, file('a'), end]);
}

function paxName(name: string): Buffer {
  const whole = encodeHeader({ name, kind: 'file', size: 0, mode: 0, modified: 0, link: '' });
  return whole.subarray(0, whole.length - 512);
}
