import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeManifest,
  encodeManifest,
  type ArchiveManifest,
} from '../../../helper-daemon/snapshots/archive/manifest.ts';
import { sampleArchive, uuid } from './archiveFixture.ts';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

function sample(): { [key: string]: Json } & ArchiveManifest {
  return JSON.parse(JSON.stringify(sampleArchive().manifest)) as never;
}

function decode(value: unknown): ArchiveManifest {
  return decodeManifest(Buffer.from(JSON.stringify(value)));
}

/** What is said about it when it is refused. */
function refusal(change: (manifest: ReturnType<typeof sample>) => void): string {
  const manifest = sample();
  change(manifest);
  try {
    decode(manifest);
  } catch (error) {
    expect(error).toMatchObject({ code: 'archive_invalid' });
    return (error as Error).message;
  }
  throw new Error('it was not refused');
}

function first<T>(list: readonly T[]): T & Record<string, unknown> {
  return list[0] as T & Record<string, unknown>;
}

describe('the description of an archive', () => {
  it('comes back as it was written', () => {
    const { manifest } = sampleArchive();
    expect(decodeManifest(encodeManifest(manifest))).toEqual(manifest);
  });

  it('of a newer format says so', () => {
    expect(refusal((m) => Object.assign(m, { version: 2, future: true }))).toContain('format 2');
  });

  it('has parents before children, so nothing leads back to itself', () => {
    const cycle = (m: ArchiveManifest): void => {
      Object.assign(first(m.layers), { parent: uuid(4) });
    };
    expect(refusal(cycle)).toContain('parent does not come before');
    expect(refusal((m) => Object.assign(first(m.layers), { parent: uuid(1) }))).toContain('parent');
    expect(refusal((m) => Object.assign(first(m.snapshots), { parent: uuid(103) }))).toContain(
      'parent',
    );
    expect(refusal((m) => m.layers.reverse())).toContain('parent');
  });

  it('names only what is there, and nothing twice', () => {
    expect(refusal((m) => Object.assign(first(m.snapshots), { layer: uuid(9) }))).toContain(
      'layer',
    );
    expect(refusal((m) => Object.assign(first(m.snapshots), { memory: uuid(9) }))).toContain(
      'memory',
    );
    expect(refusal((m) => Object.assign(m.head, { layer: uuid(9) }))).toContain('head');
    expect(refusal((m) => Object.assign(m.head, { snapshot: uuid(9) }))).toContain('head');
    expect(refusal((m) => m.layers.push(first(m.layers)))).toContain('twice');
    expect(refusal((m) => m.snapshots.push(first(m.snapshots)))).toContain('twice');
    expect(refusal((m) => m.memories.push(first(m.memories)))).toContain('twice');
    expect(refusal((m) => Object.assign(first(m.snapshots), { name: 'left' }))).toContain('twice');
  });

  it('brings nothing that nobody needs', () => {
    expect(refusal((m) => Object.assign(m.head, { layer: uuid(3) }))).toContain(
      'nothing stands on',
    );
    const forget = (m: ArchiveManifest): void => {
      for (const snapshot of m.snapshots) Object.assign(snapshot, { memory: null });
    };
    expect(refusal(forget)).toContain('no snapshot has it');
  });

  it('has sizes that fit together', () => {
    const gib = 1024 ** 3;
    expect(refusal((m) => Object.assign(first(m.layers), { bytes: 3 * gib }))).toContain('larger');
    expect(refusal((m) => Object.assign(m.image, { bytes: 3 * gib }))).toContain('larger');
    expect(refusal((m) => Object.assign(first(m.memories), { bytes: gib }))).toContain('larger');
    expect(refusal((m) => Object.assign(m.image, { virtual_bytes: 2 * gib }))).toContain('smaller');
    expect(refusal((m) => Object.assign(m.layers[3] ?? {}, { virtual_bytes: 2 * gib }))).toContain(
      'smaller',
    );
    const huge = (m: ArchiveManifest): void => {
      for (const layer of m.layers) Object.assign(layer, { virtual_bytes: 2 ** 52 });
    };
    expect(refusal(huge)).toContain('too large');
  });

  it('is bounded in depth and number', () => {
    const chain = (count: number) => (m: ArchiveManifest) => {
      const [layer] = m.layers;
      m.layers = Array.from({ length: count }, (_, index) => ({
        ...(layer as ArchiveManifest['layers'][number]),
        id: uuid(1000 + index),
        parent: index === 0 ? null : uuid(999 + index),
      }));
      m.snapshots = [];
      m.memories = [];
      m.head = { layer: uuid(999 + count), snapshot: null };
    };
    expect(refusal(chain(2049))).toContain('too many');
    expect(refusal(chain(5000))).toContain('layers');
    const deep = sample();
    chain(2048)(deep);
    expect(decode(deep).layers).toHaveLength(2048);
  });

  it('has names that are names here', () => {
    for (const name of ['', '../x', 'a/b', 'a b', 'x'.repeat(129), uuid(1), 'na\nme']) {
      refusal((m) => Object.assign(m.workspace, { name }));
      refusal((m) => Object.assign(first(m.snapshots), { name }));
      if (name !== uuid(1)) refusal((m) => Object.assign(m.image, { name }));
    }
    refusal((m) => Object.assign(first(m.snapshots), { name: 'head' }));
    refusal((m) => Object.assign(m.image, { name: 'a..b' }));
    for (const id of ['../../x', uuid(1).replace('0', '/'), uuid(10).toUpperCase(), '']) {
      refusal((m) => Object.assign(first(m.layers), { id }));
      refusal((m) => Object.assign(first(m.memories), { id }));
    }
  });

  it('in which anything was replaced is refused or means a workspace', () => {
    const paths = (value: Json, at: readonly string[] = []): string[][] =>
      typeof value === 'object' && value !== null
        ? [[...at], ...Object.entries(value).flatMap(([key, v]) => paths(v, [...at, key]))]
        : [[...at]];
    const places = paths(sample()).filter((place) => place.length > 0);
    fc.assert(
      fc.property(fc.constantFrom(...places), fc.jsonValue(), (place, value) => {
        const manifest = sample();
        let at = manifest as unknown as Record<string, unknown>;
        for (const key of place.slice(0, -1)) at = at[key] as Record<string, unknown>;
        at[place.at(-1) ?? ''] = value;
        try {
          const { layers, head } = decode(manifest);
          expect(layers.map(({ id }) => id)).toContain(head.layer);
        } catch (error) {
          expect(error).toMatchObject({ code: 'archive_invalid' });
          expect((error as Error).message.length).toBeLessThan(1000);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('that is no JSON or no text is refused', () => {
    for (const bytes of ['', '{', 'null', '[]', '{"format":"coppice-archive"}']) {
      expect(() => decodeManifest(Buffer.from(bytes))).toThrow('archive');
    }
    expect(() => decodeManifest(Buffer.from([0x22, 0xff, 0x22]))).toThrow('not JSON');
    const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;
    expect(() => decodeManifest(Buffer.from(deep))).toThrow('archive');
  });
});
