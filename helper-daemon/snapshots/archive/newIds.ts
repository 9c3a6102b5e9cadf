/** Ids of an archive are another daemon's: here everything gets new ones, known before the first thing is made. */
import { randomUUID } from 'node:crypto';
import type { JournalDetail } from '../../store/journal.ts';
import type { ArchiveManifest } from './manifest.ts';

export interface NewIds {
  readonly head: string;
  /** @throws Error for an id that is not in the archive */
  layer(archived: string): string;
  snapshot(archived: string): string;
  memory(archived: string): string;
  /** For the journal: what is about to be made. */
  readonly detail: JournalDetail;
}

export function newIds({ layers, snapshots, memories }: ArchiveManifest): NewIds {
  const mapping = (things: readonly { readonly id: string }[]): Map<string, string> =>
    new Map(things.map(({ id }) => [id, randomUUID()]));
  const head = randomUUID();
  const of = {
    layer: mapping(layers),
    snapshot: mapping(snapshots),
    memory: mapping(memories),
  };
  const look = (map: ReadonlyMap<string, string>) => (archived: string) => {
    const id = map.get(archived);
    if (id === undefined) throw new Error(`${archived} is not in the archive`);
    return id;
  };
  const made = [...of.layer.values()].map((id, index) => [`layer${String(index)}`, id] as const);
  return {
    head,
    layer: look(of.layer),
    snapshot: look(of.snapshot),
    memory: look(of.memory),
    detail: { head, ...Object.fromEntries(made) },
  };
}
