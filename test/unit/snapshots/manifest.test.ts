import { create, type MessageInitShape } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  FileKind,
  ManifestEntrySchema,
  type ManifestEntry,
} from '../../../helper-daemon/guest/gen/coppice/guest/v1/guest_pb.js';
import type { GuestClients } from '../../../helper-daemon/guest/guestLink.ts';
import {
  differenceOf,
  manifest,
  sameMetadata,
  sideBySide,
} from '../../../helper-daemon/snapshots/manifest.ts';

type Facts = Exclude<MessageInitShape<typeof ManifestEntrySchema>, ManifestEntry>;

function entry(path: string, more: Facts = {}): ManifestEntry {
  return create(ManifestEntrySchema, {
    path: Buffer.from(path),
    kind: FileKind.FILE,
    size: 1n,
    mode: 0o644,
    inode: 5n,
    ctimeNs: 7n,
    mtimeNs: 7n,
    ...more,
  });
}

/** A guest that lists these paths, in its own order: a directory before what is in it, names by their bytes. */
function guestWith(paths: readonly string[]): GuestClients {
  const components = (path: string): Buffer[] => path.split('/').map((name) => Buffer.from(name));
  const sorted = [...paths].sort((a, b) => {
    const [left, right] = [components(a), components(b)];
    for (let at = 0; at < Math.min(left.length, right.length); at += 1) {
      const order = (left[at] ?? Buffer.alloc(0)).compare(right[at] ?? Buffer.alloc(0));
      if (order !== 0) return order;
    }
    return left.length - right.length;
  });
  const file = {
    async *manifest() {
      for (let at = 0; at < sorted.length; at += 3) {
        yield { entries: sorted.slice(at, at + 3).map((path) => entry(path)) };
      }
    },
  };
  return { file } as unknown as GuestClients;
}

async function pairs(before: readonly string[], after: readonly string[]): Promise<string[]> {
  const { signal } = new AbortController();
  const read = (paths: readonly string[]) => manifest(guestWith(paths), Buffer.from('/'), signal);
  const found: string[] = [];
  for await (const pair of sideBySide(read(before), read(after))) {
    const path = Buffer.from((pair.after ?? pair.before)?.path ?? []).toString();
    found.push(`${pair.before === undefined ? '+' : pair.after === undefined ? '-' : '='}${path}`);
  }
  return found;
}

describe('two file trees side by side', () => {
  it('are matched where names sort around the slash', async () => {
    // "a-b" and "a.b" sort between "a" and "a/x" by their bytes alone.
    expect(await pairs(['a', 'a-b', 'a.b', 'a/x'], ['a', 'a.b', 'a/y', 'aa'])).toEqual([
      '=a',
      '-a/x',
      '+a/y',
      '-a-b',
      '=a.b',
      '+aa',
    ]);
  });

  it('give what one lacks and what both have, whatever the names', async () => {
    const name = fc.string({
      unit: fc.constantFrom('a', 'b', '-', '.', '0', 'ä', ' '),
      minLength: 1,
      maxLength: 3,
    });
    const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join('/'));
    const paths = fc.uniqueArray(path, { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(paths, paths, async (before, after) => {
        const expected = [
          ...before.map((one) => (after.includes(one) ? `=${one}` : `-${one}`)),
          ...after.filter((one) => !before.includes(one)).map((one) => `+${one}`),
        ];
        expect((await pairs(before, after)).sort()).toEqual(expected.sort());
      }),
    );
  });
});

describe('two entries of one path', () => {
  const file = entry('f');
  it.each<[string, Facts, string]>([
    ['that nobody touched are the same', {}, 'none'],
    ['of other kinds are of another type', { kind: FileKind.DIRECTORY }, 'type'],
    ['of other sizes have other contents', { size: 2n }, 'content'],
    ['of which one was changed need a look at their bytes', { ctimeNs: 8n }, 'unsure'],
    ['in another inode need a look at their bytes', { inode: 6n }, 'unsure'],
  ])('%s', (_what, change, difference) => {
    expect(differenceOf(file, entry('f', change))).toBe(difference);
  });

  it('that are links differ by what they point to, directories by mode and owner', () => {
    const link = (target: string): ManifestEntry =>
      entry('l', { kind: FileKind.SYMLINK, target: Buffer.from(target) });
    expect(differenceOf(link('a'), link('b'))).toBe('content');
    expect(differenceOf(link('a'), link('a'))).toBe('none');
    const directory = (mode: number): ManifestEntry =>
      entry('d', { kind: FileKind.DIRECTORY, mode, ctimeNs: BigInt(mode) });
    expect(differenceOf(directory(0o755), directory(0o700))).toBe('metadata');
    expect(
      differenceOf(directory(0o755), entry('d', { kind: FileKind.DIRECTORY, mode: 0o755 })),
    ).toBe('none');
  });

  it('with the same bytes differ by mode, owner or time', () => {
    expect(sameMetadata(file, entry('f', { ctimeNs: 9n, inode: 9n }))).toBe(true);
    for (const change of [{ mode: 0o600 }, { uid: 1 }, { gid: 1 }, { mtimeNs: 9n }]) {
      expect(sameMetadata(file, entry('f', change))).toBe(false);
    }
  });
});
