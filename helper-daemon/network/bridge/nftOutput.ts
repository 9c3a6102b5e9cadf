/** What `nft -j list` prints, as far as it is ours. */
import * as z from 'zod';
import { isSetName, isTimedSet, type Element, type TimedElement } from './elements.ts';

const listing = z.object({ nftables: z.array(z.record(z.string(), z.unknown())) });

const setObject = z.object({ name: z.string(), elem: z.array(z.unknown()).optional() });

const limitObject = z.object({ name: z.string() });

/** One element of a set with what the kernel keeps beside it. */
export interface ListedElement {
  readonly key: readonly string[];
  readonly value?: readonly string[];
  readonly packets: number;
  readonly bytes: number;
  /** Seconds until it ends; undefined: it stays. */
  readonly expires: number | undefined;
}

export interface Listed {
  readonly sets: ReadonlyMap<string, readonly ListedElement[]>;
  readonly limits: readonly string[];
}

/** @throws when the text is not what nft prints */
export function readListing(text: string): Listed {
  const sets = new Map<string, readonly ListedElement[]>();
  const limits: string[] = [];
  for (const object of listing.parse(JSON.parse(text)).nftables) {
    const set = object['set'] ?? object['map'];
    if (set !== undefined) {
      const { name, elem = [] } = setObject.parse(set);
      sets.set(name, elem.map(listedElement));
    }
    if (object['limit'] !== undefined) limits.push(limitObject.parse(object['limit']).name);
  }
  return { sets, limits };
}

const wrapped = z.object({
  elem: z.object({
    val: z.unknown(),
    counter: z.object({ packets: z.number(), bytes: z.number() }).optional(),
    expires: z.number().optional(),
  }),
});

function listedElement(entry: unknown): ListedElement {
  if (Array.isArray(entry)) {
    const [key, value] = entry as unknown[];
    return { ...listedElement(key), value: partsOf(value) };
  }
  const inside = wrapped.safeParse(entry);
  if (!inside.success) return { key: partsOf(entry), packets: 0, bytes: 0, expires: undefined };
  const { val, counter, expires } = inside.data.elem;
  return {
    key: partsOf(val),
    packets: counter?.packets ?? 0,
    bytes: counter?.bytes ?? 0,
    expires,
  };
}

const concatenation = z.object({ concat: z.array(z.unknown()) });
const prefix = z.object({ prefix: z.object({ addr: z.string(), len: z.number() }) });
const range = z.object({ range: z.tuple([z.number(), z.number()]) });

function partsOf(value: unknown): readonly string[] {
  const parts = concatenation.safeParse(value);
  return parts.success ? parts.data.concat.map(partOf) : [partOf(value)];
}

function partOf(value: unknown): string {
  if (typeof value === 'string' || typeof value === 'number') return String(value);
  const asPrefix = prefix.safeParse(value);
  if (asPrefix.success) return `${asPrefix.data.prefix.addr}/${String(asPrefix.data.prefix.len)}`;
  const asRange = range.safeParse(value);
  if (asRange.success) return asRange.data.range.join('-');
  throw new Error(`nft lists an element that is none of ours: ${JSON.stringify(value)}`);
}

/** Elements that were put there for machines, without those that end by themselves. */
export function elementsOf({ sets, limits }: Listed): Element[] {
  const elements: Element[] = limits.map((limit) => ({ limit, bytesPerSecond: 0 }));
  for (const [set, listed] of sets) {
    if (!isSetName(set) || isTimedSet(set)) continue;
    for (const { key, value } of listed) {
      elements.push({ set, key, ...(value === undefined ? {} : { value }) });
    }
  }
  return elements;
}

export function timedElementsOf({ sets }: Listed): TimedElement[] {
  return (['names', 'name_ports'] as const).flatMap((set) =>
    (sets.get(set) ?? []).map(({ key, expires = 0 }) => ({ set, key, timeout: expires })),
  );
}
