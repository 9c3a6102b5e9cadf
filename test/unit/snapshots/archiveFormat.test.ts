import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeEnd, entriesOf } from '../../../helper-daemon/snapshots/archive/entries.ts';
import { encodeManifest } from '../../../helper-daemon/snapshots/archive/manifest.ts';
import { encodeHeader, paddingOf } from '../../../helper-daemon/system/tar/tarFormat.ts';
import { pack, sampleArchive, totalBytes, unpack, type Sample } from './archiveFixture.ts';

const invalid = { code: 'archive_invalid' };

function entry(name: string, content: Uint8Array, size = content.length): Buffer {
  const header = encodeHeader({ name, kind: 'file', size, mode: 0o600, modified: 0, link: '' });
  return Buffer.concat([header, content, Buffer.alloc(paddingOf(content.length))]);
}

function compressed(...parts: readonly Buffer[]): Buffer {
  return zstdCompressSync(Buffer.concat([...parts, Buffer.alloc(1024)]));
}

/** The parts of an archive's tar, for putting together something else. */
function partsOf({ manifest, contents }: Sample): { text: Buffer; entries: Buffer[]; end: Buffer } {
  const text = encodeManifest(manifest);
  const sha256 = createHash('sha256').update(text).digest('hex');
  const entries = entriesOf(manifest);
  return {
    text,
    entries: entries.map(({ id, name }) => entry(name, contents.get(id) ?? Buffer.alloc(0))),
    end: encodeEnd([{ name: 'coppice.json', sha256 }, ...entries]),
  };
}

describe('an archive', () => {
  it('gives back what was put in, byte for byte', async () => {
    const sample = sampleArchive();
    const { manifest, contents } = await unpack(await pack(sample));
    expect(manifest).toEqual(sample.manifest);
    expect(contents).toEqual(sample.contents);
  });

  it('is the same for the same content', async () => {
    expect((await pack(sampleArchive())).equals(await pack(sampleArchive()))).toBe(true);
  });

  it('is a plain tar inside, whose end lists digests as sha256sum prints them', async () => {
    const sample = sampleArchive();
    const { text, entries, end } = partsOf(sample);
    const tar = zstdDecompressSync(await pack(sample));
    const expected = [entry('coppice.json', text), ...entries, entry('coppice.end', end)];
    expect(tar.equals(Buffer.concat([...expected, Buffer.alloc(1024)]))).toBe(true);
    const list = [
      `${createHash('sha256').update(text).digest('hex')}  coppice.json\n`,
      ...entriesOf(sample.manifest).map(({ sha256, name }) => `${sha256}  ${name}\n`),
    ].join('');
    expect(JSON.parse(end.toString())).toEqual({
      entries: 7,
      sha256: createHash('sha256').update(list).digest('hex'),
    });
  });

  it('is not written from files that have changed since they were described', async () => {
    const sample = sampleArchive();
    const other = sampleArchive('y');
    await expect(pack({ ...sample, contents: other.contents })).rejects.toMatchObject({
      code: 'image_corrupt',
    });
    const [first, second] = sample.manifest.layers;
    const swapped = new Map(sample.contents);
    swapped.set(first?.id ?? '', swapped.get(second?.id ?? '') ?? Buffer.alloc(0));
    await expect(pack({ ...sample, contents: swapped })).rejects.toMatchObject({
      code: 'layer_corrupt',
    });
  });
});

describe('a damaged archive', () => {
  it('is refused wherever it was cut', async () => {
    const archive = await pack(sampleArchive());
    for (let length = 0; length < archive.length; length += 1) {
      await expect(
        unpack(archive.subarray(0, length)),
        `cut at ${String(length)}`,
      ).rejects.toMatchObject(invalid);
    }
  });

  it('is refused when its tar was cut and compressed again', async () => {
    const tar = zstdDecompressSync(await pack(sampleArchive()));
    for (let length = 0; length < tar.length - 512; length += 256) {
      const cut = zstdCompressSync(tar.subarray(0, length));
      await expect(unpack(cut), `cut at ${String(length)}`).rejects.toMatchObject(invalid);
    }
  });

  it('is refused when a byte was changed, or holds the same as before', async () => {
    const sample = sampleArchive();
    const archive = await pack(sample);
    let refused = 0;
    for (let at = 0; at < archive.length; at += 7) {
      const changed = Buffer.from(archive);
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
      try {
        expect((await unpack(changed)).contents).toEqual(sample.contents);
      } catch (error) {
        expect(error, `changed at ${String(at)}`).toMatchObject(invalid);
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(archive.length / 7 - 4);
  });

  it('is refused when a byte of its tar was changed and it was compressed again', async () => {
    const sample = sampleArchive();
    const tar = zstdDecompressSync(await pack(sample));
    for (let at = 0; at < tar.length; at += 41) {
      const changed = Buffer.from(tar);
      changed[at] = (changed[at] ?? 0) ^ 4;
      try {
        // Padding holds nothing.
        expect(await unpack(zstdCompressSync(changed))).toEqual(sample);
      } catch (error) {
        expect(error, `changed at ${String(at)}`).toMatchObject(invalid);
      }
    }
  });

  it('is refused when something follows it in its tar', async () => {
    const tar = zstdDecompressSync(await pack(sampleArchive()));
    const more = entry('more', Buffer.from('more'));
    const longer = Buffer.concat([tar.subarray(0, tar.length - 1024), more, Buffer.alloc(1024)]);
    await expect(unpack(zstdCompressSync(longer))).rejects.toMatchObject(invalid);
  });

  it('is refused when something follows it', async () => {
    const archive = await pack(sampleArchive());
    for (const more of [Buffer.from('more'), zstdCompressSync(''), archive]) {
      const longer = Buffer.concat([archive, more]);
      for (const pieceBytes of [7, 1000, longer.length]) {
        await expect(unpack(longer, new Map(), pieceBytes)).rejects.toMatchObject(invalid);
      }
    }
  });

  it('is refused when it is something else', async () => {
    for (const other of ['', 'hello', '{"format":"coppice-archive"}', '\x1f\x8b\x08\0\0\0']) {
      await expect(unpack(Buffer.from(other)), other).rejects.toMatchObject(invalid);
    }
    const random = fc.uint8Array({ maxLength: 4000 });
    await fc.assert(
      fc.asyncProperty(random, fc.boolean(), async (bytes, pressed) => {
        await expect(unpack(pressed ? zstdCompressSync(bytes) : bytes)).rejects.toMatchObject(
          invalid,
        );
      }),
    );
  });
});

describe('a hostile archive', () => {
  it('cannot put entries in another order, leave one out or add one', async () => {
    const { text, entries, end } = partsOf(sampleArchive());
    const first = entry('coppice.json', text);
    const last = entry('coppice.end', end);
    const extra = entry('../../etc/passwd', Buffer.from('root'));
    const cases = [
      [first, ...entries.toReversed(), last],
      [first, ...entries.slice(1), last],
      [first, ...entries, extra, last],
      [first, ...entries, last, extra],
      [extra, first, ...entries, last],
      [...entries, first, last],
      [first, ...entries],
      [first, first, ...entries, last],
    ];
    for (const parts of cases) {
      await expect(unpack(compressed(...parts))).rejects.toMatchObject(invalid);
    }
    await expect(unpack(compressed(first, ...entries, last))).resolves.toBeDefined();
  });

  it('writes nothing under a name of its own', async () => {
    const sample = sampleArchive();
    const seen = new Map<string, Buffer>();
    const { text } = partsOf(sample);
    const parts = [entry('coppice.json', text), entry('../escape', Buffer.from('x'))];
    await expect(unpack(compressed(...parts), seen)).rejects.toMatchObject(invalid);
    expect([...seen.keys()]).toEqual([]);
  });

  it('is not unpacked beyond what it declared', async () => {
    const sample = sampleArchive();
    const { text, entries, end } = partsOf(sample);
    const zeros = Buffer.alloc(64 * 1024 ** 2);
    const declared = totalBytes(sample);
    const written = new Map<string, Buffer>();
    const bombs = [
      // Endless padding, a long first file, a first entry of another size than declared.
      compressed(entry('coppice.json', text), ...entries, entry('coppice.end', end), zeros),
      compressed(entry('coppice.json', zeros)),
      compressed(entry('coppice.json', text), entry('image.qcow2', zeros)),
    ];
    for (const bomb of bombs) {
      expect(bomb.length).toBeLessThan(100_000);
      await expect(unpack(bomb, written)).rejects.toMatchObject(invalid);
    }
    const bytes = [...written.values()].reduce((sum, { length }) => sum + length, 0);
    expect(bytes).toBeLessThanOrEqual(declared);
  });

  it('cannot demand a window larger than 128 MiB', async () => {
    const { text, entries, end } = partsOf(sampleArchive());
    const tar = Buffer.concat([entry('coppice.json', text), ...entries, entry('coppice.end', end)]);
    const wide = zstdCompressSync(Buffer.concat([tar, Buffer.alloc(300 * 1024 ** 2)]), {
      params: { [constants.ZSTD_c_windowLog]: 28, [constants.ZSTD_c_compressionLevel]: 1 },
    });
    await expect(unpack(wide)).rejects.toMatchObject(invalid);
  });
});
