/** Bringing a guest to rest for the moment of a capture. */
import type { GuestLink } from '../guest/guestLink.ts';

export interface Standstill {
  /** Lets it go on. Safe to call twice. */
  end(): Promise<void>;
  /** From the beginning to the end, or until now, in milliseconds. */
  elapsedMs(): number;
}

/** A guest that does not answer must not hold up a snapshot for ever. */
const patienceMs = 5_000;
/** The guest thaws its files by itself after this, should nobody come back. */
const thawAfterMs = 10_000;

/**
 * Stops every program, so that a copy of the machine does nothing before it has been told who it is.
 * @throws when the guest cannot: without this a copy would act as its parent
 */
export async function holdWorkload(link: GuestLink): Promise<Standstill> {
  const { system } = await link.clients();
  const clock = startClock();
  await system.hold({}, { timeoutMs: patienceMs });
  return clock(async () => {
    const { system: again } = await link.clients();
    await again.release({}, { timeoutMs: patienceMs });
  });
}

/**
 * Writes out and freezes the file system. Undefined when the guest cannot: what is frozen then is as after
 * a power cut, which file systems recover from.
 */
export async function freezeFiles(link: GuestLink): Promise<Standstill | undefined> {
  try {
    const { system } = await link.clients();
    await system.sync({}, { timeoutMs: thawAfterMs });
    const clock = startClock();
    await system.sync({ freeze: true, thawAfterMs }, { timeoutMs: patienceMs });
    return clock(async () => {
      const { system: again } = await link.clients();
      await again.thaw({}, { timeoutMs: patienceMs });
    });
  } catch {
    return undefined;
  }
}

/** Writes out what the guest has not written yet, as far as it can in the time it has. */
export async function flushFiles(link: GuestLink): Promise<void> {
  try {
    const { system } = await link.clients();
    await system.sync({}, { timeoutMs: patienceMs });
  } catch {
    // The journal of its file system makes up for it.
  }
}

function startClock(): (release: () => Promise<void>) => Standstill {
  const started = performance.now();
  return (release) => {
    let ended: number | undefined;
    let ending: Promise<void> | undefined;
    return {
      end: () =>
        (ending ??= release().finally(() => {
          ended = performance.now();
        })),
      elapsedMs: () => (ended ?? performance.now()) - started,
    };
  };
}
