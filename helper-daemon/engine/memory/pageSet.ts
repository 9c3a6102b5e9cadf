/** Sets of a guest's pages: one byte per page, so that they can be joined and compared at memory speed. */

/** Of the host, which is also what the guest's memory is kept in. */
export const pageBytes = 4096;

export type PageSet = Uint8Array;

export function emptyPages(memoryBytes: number): PageSet {
  return new Uint8Array(Math.ceil(memoryBytes / pageBytes));
}

export function countPages(pages: PageSet): number {
  let count = 0;
  for (let page = 0; page < pages.length; page += 1) count += pages[page] ?? 0;
  return count;
}

/** In `all` and not in `without`. */
export function difference(all: PageSet, without: PageSet): PageSet {
  const rest = new Uint8Array(all.length);
  // A million pages are common: a loop takes a tenth of what callbacks take.
  for (let page = 0; page < all.length; page += 1) {
    if (all[page] === 1 && without[page] === 0) rest[page] = 1;
  }
  return rest;
}

export function union(one: PageSet, other: PageSet): PageSet {
  const all = new Uint8Array(one);
  for (let page = 0; page < all.length; page += 1) if (other[page] === 1) all[page] = 1;
  return all;
}

/** True when every page of `inner` is in `outer`. */
export function isWithin(inner: PageSet, outer: PageSet): boolean {
  for (let page = 0; page < inner.length; page += 1) {
    if (inner[page] === 1 && outer[page] === 0) return false;
  }
  return true;
}

export interface PageRun {
  /** Bytes from the start of memory. */
  readonly offset: number;
  readonly length: number;
}

/** The set as runs of neighbouring pages, none longer than `longest` bytes (a multiple of a page). */
export function* pageRuns(pages: PageSet, longest = Number.MAX_SAFE_INTEGER): Generator<PageRun> {
  const limit = Math.floor(longest / pageBytes);
  for (let from = pages.indexOf(1); from >= 0;) {
    const hole = pages.indexOf(0, from);
    const end = Math.min(hole < 0 ? pages.length : hole, from + limit);
    yield { offset: from * pageBytes, length: (end - from) * pageBytes };
    from = pages.indexOf(1, end);
  }
}
