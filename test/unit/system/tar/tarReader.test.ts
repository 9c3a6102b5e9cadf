import { describe, expect, it } from 'vitest';
import {
  encodeHeader,
  encodePax,
  headerChecksum,
  type TarFail,
  type TarHeader,
} from '../../../../helper-daemon/system/tar/tarFormat.ts';
import { readTar, type TarEntry } from '../../../../helper-daemon/system/tar/tarReader.ts';

const fail: TarFail = (fault, typeflag = '') => new Error(`${fault}${typeflag}`);
const end = Buffer.alloc(1024);

function header(name: string, more: Partial<TarHeader> = {}): Buffer {
  return encodeHeader({ name, kind: 'file', size: 0, mode: 0o644, modified: 0, link: '', ...more });
}

/** The header with other bytes at these places, and the checksum that fits them. */
function changed(block: Buffer, places: Readonly<Record<number, string>>): Buffer {
  const copy = Buffer.from(block);
  for (const [offset, text] of Object.entries(places)) copy.write(text, Number(offset), 'latin1');
  copy.write(`${headerChecksum(copy).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return copy;
}

function padded(text: string | Buffer): Buffer {
  const data = Buffer.from(text);
  return Buffer.concat([data, Buffer.alloc((512 - (data.length % 512)) % 512)]);
}

function pax(records: Readonly<Record<string, string>>): Buffer {
  const data = encodePax(new Map(Object.entries(records)));
  const block = changed(header('pax', { size: data.length }), { 156: 'x' });
  return Buffer.concat([block, padded(data)]);
}

async function read(...parts: Buffer[]): Promise<(TarEntry & { content: string })[]> {
  const data = Buffer.concat(parts);
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < data.length; at += 100) yield data.subarray(at, at + 100);
  }
  const entries: (TarEntry & { content: string })[] = [];
  for await (const entry of readTar(pieces(), fail)) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of entry.body()) chunks.push(chunk);
    entries.push({ ...entry, content: Buffer.concat(chunks).toString() });
  }
  return entries;
}

describe('reading a tar', () => {
  it('says where the content of each entry lies', async () => {
    const entries = await read(
      header('a', { size: 3 }),
      padded('abc'),
      pax({ comment: 'x' }),
      header('b', { size: 1 }),
      padded('b'),
      end,
    );
    expect(entries.map(({ name, offset, content }) => [name, offset, content])).toEqual([
      ['a', 512, 'abc'],
      ['b', 2560, 'b'],
    ]);
  });

  it('gives an extended header to the next entry only', async () => {
    const parts = [pax({ path: 'long', linkpath: 'to', mtime: '1.5', mine: '\xff' })];
    const entries = await read(...parts, header('a', { kind: 'symlink' }), header('b'), end);
    expect(entries).toMatchObject([
      { name: 'long', link: 'to', modified: 1500 },
      { name: 'b', link: '', modified: 0 },
    ]);
    expect(entries.map((entry) => entry.pax.get('mine')?.toString('latin1'))).toEqual([
      '\xff',
      undefined,
    ]);
  });

  it('knows the directories and files from before POSIX', async () => {
    const old = { 156: '\0', 257: '\0'.repeat(8) };
    const entries = await read(changed(header('d/'), old), changed(header('f'), old), end);
    expect(entries).toMatchObject([
      { kind: 'directory', hasMagic: false },
      { kind: 'file', hasMagic: false },
    ]);
  });

  it('reads no content after a link, whatever size it declares', async () => {
    const entries = await read(header('a', { kind: 'link', size: 512 }), header('b'), end);
    expect(entries.map(({ name, size }) => [name, size])).toEqual([
      ['a', 0],
      ['b', 0],
    ]);
  });

  it('reads owners, large ones included', async () => {
    const owners = { 108: '\x80\0\0\0\xff\xff\xff\xfe', 116: '0000052\0' };
    expect(await read(changed(header('a'), owners), end)).toMatchObject([
      { uid: 0xfffffffe, gid: 42 },
    ]);
  });

  it.each([
    ['nothing', Buffer.alloc(0), 'empty'],
    ['an end inside a header', Buffer.alloc(100, 'x'), 'truncatedEntry'],
    ['an end inside the content', header('a', { size: 5000 }), 'truncatedContent'],
    ['an end without its mark', header('a'), 'truncatedEntry'],
    [
      'a number that is too large',
      changed(header('a'), { 124: '\x80' + '\xff'.repeat(11) }),
      'largeNumber',
    ],
    ['a number that is none', changed(header('a'), { 124: '12345678x' }), 'number'],
    [
      'an extended header of gigabytes',
      changed(header('a', { size: 4e9 }), { 156: 'L' }),
      'longExtension',
    ],
    ['a size with a sign', Buffer.concat([pax({ size: '-1' }), header('a')]), 'size'],
    ['a sparse file', Buffer.concat([pax({ 'GNU.sparse.major': '1' }), header('a')]), 'sparse0'],
    ['a volume of many', changed(header('a'), { 156: 'M' }), 'typeM'],
  ])('refuses %s with the error of its caller', async (_, data, fault) => {
    await expect(read(data)).rejects.toThrow(fault);
  });
});
