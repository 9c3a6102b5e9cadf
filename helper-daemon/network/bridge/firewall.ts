/**
 * The elements that are wanted, by the group that wants them, and those the kernel has: every change is the
 * difference, in one transaction. What waits while one is under way becomes one transaction as well.
 */
import type { Log } from '../../system/log.ts';
import { idOf, type Element, type TimedElement } from './elements.ts';
import { commandsOf, commit, listTables, tablesArePresent } from './nft.ts';
import { elementsOf, timedElementsOf, type Listed } from './nftOutput.ts';
import type { Skeleton } from './skeleton.ts';

/** One step; done when it is in force, and when it fails nothing of it is. */
export interface Step {
  /** From now on `elements` are what `group` wants; asked for when the transaction is made. */
  readonly want?: { readonly group: string; readonly elements: () => readonly Element[] };
  readonly end?: readonly TimedElement[];
  readonly admit?: readonly TimedElement[];
  /** Everything is compared with what the kernel really has. */
  readonly reconcile?: boolean;
  /** May wait for `settle` where the kernel still has the rules of another version of Coppice. */
  readonly canWait?: boolean;
}

export interface Firewall {
  /** @throws CoppiceError `command_failed` */
  apply(...steps: readonly Step[]): Promise<void>;
  /** Removes what nobody wants. */
  settle(): Promise<void>;
  /** Loads everything again when somebody has removed our tables: without them nothing is forbidden. */
  repair(): Promise<void>;
  /** What the kernel had at the start. */
  readonly found: {
    readonly timed: readonly TimedElement[];
    /** Of machines that may leave, by address. */
    readonly revisions: ReadonlyMap<string, string>;
    readonly addresses: ReadonlySet<string>;
  };
}

interface Waiting {
  readonly steps: readonly Step[];
  readonly done: ReturnType<typeof deferred>;
}

/**
 * `timed`: what is open at the moment, for the case that all is loaded anew.
 * @throws CoppiceError `command_failed`, `prerequisite_missing`
 */
export async function openFirewall(
  { version, text }: Skeleton,
  timed: () => readonly TimedElement[],
  log: Log,
): Promise<Firewall> {
  const wanted = new Map<string, ReadonlyMap<string, Element>>();
  const wantedBy = new Map<string, { readonly element: Element; count: number }>();
  const actual = new Map<string, Element>();
  /** The kernel has other rules than these, or none. */
  let isOutdated = false;
  let queue: Waiting[] = [];
  let working: Promise<void> | undefined;

  function learn(listed: Listed): void {
    actual.clear();
    // One of the tables may be missing.
    isOutdated = !listed.sets.has(version) || !listed.sets.has('cards');
    if (isOutdated) return;
    for (const element of elementsOf(listed)) actual.set(idOf(element), element);
  }

  /** Returns the ids it concerns. */
  function setWanted(group: string, next: ReadonlyMap<string, Element>): Iterable<string> {
    const before = wanted.get(group) ?? new Map<string, Element>();
    for (const [id, element] of next) {
      const entry = wantedBy.get(id) ?? { element, count: 0 };
      entry.count += 1;
      wantedBy.set(id, entry);
    }
    for (const id of before.keys()) {
      const entry = wantedBy.get(id);
      if (entry === undefined) continue;
      entry.count -= 1;
      if (entry.count === 0) wantedBy.delete(id);
    }
    if (next.size === 0) wanted.delete(group);
    else wanted.set(group, next);
    return new Set([...before.keys(), ...next.keys()]);
  }

  async function loadAll(): Promise<void> {
    const elements = [...wantedBy.values()].map(({ element }) => element);
    const change = { remove: [], end: [], add: elements, admit: timed() };
    await commit([text, ...commandsOf(change)]);
    actual.clear();
    for (const element of elements) actual.set(idOf(element), element);
    isOutdated = false;
  }

  async function bringAbout(ids: Iterable<string>, steps: readonly Step[]): Promise<void> {
    if (isOutdated) {
      if (!steps.every(({ canWait }) => canWait === true)) await loadAll();
      return;
    }
    const remove: Element[] = [];
    const add: Element[] = [];
    for (const id of ids) {
      const has = actual.get(id);
      const wants = wantedBy.get(id)?.element;
      if (has !== undefined && wants === undefined) remove.push(has);
      if (has === undefined && wants !== undefined) add.push(wants);
    }
    await commit(commandsOf({ remove, add, ...lastWords(steps) }));
    for (const element of remove) actual.delete(idOf(element));
    for (const element of add) actual.set(idOf(element), element);
  }

  async function attempt(steps: readonly Step[]): Promise<void> {
    const undo: (() => void)[] = [];
    const ids = new Set<string>();
    if (steps.some(({ reconcile }) => reconcile)) {
      learn(await listTables());
      for (const id of [...actual.keys(), ...wantedBy.keys()]) ids.add(id);
    }
    // Of a group that several steps change only the last state matters.
    const wants = new Map(
      steps.flatMap(({ want }) =>
        want === undefined ? [] : [[want.group, want.elements] as const],
      ),
    );
    for (const [group, elements] of wants) {
      const before = wanted.get(group) ?? new Map<string, Element>();
      const next = new Map(elements().map((element) => [idOf(element), element]));
      for (const id of setWanted(group, next)) ids.add(id);
      undo.push(() => setWanted(group, before));
    }
    try {
      await bringAbout(ids, steps);
    } catch (error) {
      for (const step of undo.reverse()) step();
      throw error;
    }
  }

  /** With others' steps, alone when that fails, and once more when the kernel has something else than we thought. */
  async function work(batch: readonly Waiting[]): Promise<void> {
    try {
      await attempt(batch.flatMap(({ steps }) => steps));
      for (const { done } of batch) done.resolve(undefined);
    } catch (error) {
      if (batch.length > 1) {
        for (const one of batch) await work([one]);
        return;
      }
      log.warn({ err: error }, 'a change of the rules failed, and is tried again');
      await attemptAgain(batch[0] as Waiting);
    }
  }

  async function attemptAgain({ steps, done }: Waiting): Promise<void> {
    try {
      learn(await listTables());
      await attempt(steps);
      done.resolve(undefined);
    } catch (error) {
      // What is given up stays given up: settling removes it once that is possible.
      for (const { want } of steps) {
        if (want?.elements().length === 0) setWanted(want.group, new Map());
      }
      done.reject(error);
    }
  }

  async function drain(): Promise<void> {
    while (queue.length > 0) {
      const batch = queue;
      queue = [];
      await work(batch);
    }
    working = undefined;
  }

  function enqueue(steps: readonly Step[]): Promise<void> {
    const done = deferred();
    queue.push({ steps, done });
    working ??= drain();
    return done.promise;
  }

  const listed = await listTables();
  learn(listed);
  // Rules of another version stay in force until every machine has been heard of: see `settle`.
  if (listed.sets.size === 0) await loadAll();

  return {
    apply: (...steps) => enqueue(steps),
    settle: () => enqueue([{ reconcile: true }]),
    async repair() {
      if (await tablesArePresent()) return;
      log.warn('the rules were removed by another program, and are loaded again');
      await enqueue([{ reconcile: true }]);
    },
    found: {
      timed: timedElementsOf(listed),
      revisions: new Map(
        (listed.sets.get('revision') ?? []).map(({ key, value }) => [
          key[0] ?? '',
          value?.[0] ?? '',
        ]),
      ),
      addresses: new Set((listed.sets.get('sent') ?? []).map(({ key }) => key[0] ?? '')),
    },
  };
}

function deferred() {
  return Promise.withResolvers<undefined>();
}

/** Of what several steps say of the same element, the last word counts. */
function lastWords(steps: readonly Step[]): {
  readonly end: readonly TimedElement[];
  readonly admit: readonly TimedElement[];
} {
  const ends = new Map<string, TimedElement>();
  const admits = new Map<string, TimedElement>();
  for (const { end = [], admit = [] } of steps) {
    for (const element of end) {
      ends.set(idOf(element), element);
      admits.delete(idOf(element));
    }
    for (const element of admit) {
      admits.set(idOf(element), element);
      ends.delete(idOf(element));
    }
  }
  return { end: [...ends.values()], admit: [...admits.values()] };
}
