/** Everything the bench makes outside itself has a release here, called however the bench ends. */

const owned = new Set<() => Promise<void>>();

/** Registers `release`; what is returned runs it once, whoever calls first. */
export function own(release: () => Promise<void>): () => Promise<void> {
  let released: Promise<void> | undefined;
  const once = (): Promise<void> => {
    released ??= release().finally(() => owned.delete(once));
    return released;
  };
  owned.add(once);
  return once;
}

/** Releases what is left, newest first: machines before the directories they live in. */
export async function releaseAll(): Promise<void> {
  for (const release of [...owned].reverse()) await release().catch(() => undefined);
}
