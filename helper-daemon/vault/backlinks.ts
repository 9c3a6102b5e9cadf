/** Which notes a note links to, and which link to it. */
import type { OutputOf } from '../../protocol/operations.ts';
import { notePlace, readBytes, type View } from './change.ts';
import { linkNames, linkResolver, linksOf, type ResolveLink } from './links.ts';
import { withKnownNotes } from './noteIndex.ts';
import { walkView } from './notes.ts';
import { hasExtension, shownPath } from './paths.ts';
import { bytesOf } from './search.ts';
import { linesOf, requireText, textOf } from './text.ts';
import type { FoundFile } from './walk.ts';

type LinkReply = OutputOf<'vault_links'>;
type Backlink = LinkReply['backlinks'][number];

/** @throws CoppiceError `file_not_found`, `vault_error` */
export async function linksAround(view: View, given: string): Promise<LinkReply> {
  const { path } = notePlace(view, given);
  const text = requireText((await readBytes(view, given)).bytes, given);
  const { files } = await walkView(view, view.folder, true);
  const resolve = linkResolver(files.map((file) => file.path));
  const notes = files.filter((file) => hasExtension(file.path, view.core.extensions));
  const links = linksOf(text).map((link) => {
    const { target, heading, alias, line } = link;
    const to = resolve(path, link);
    return {
      target,
      path: to === null ? null : shownPath(view, to),
      heading,
      alias,
      line_number: line,
    };
  });
  return {
    path: shownPath(view, path),
    links,
    backlinks: await backlinks(view, path, notes, resolve),
  };
}

async function backlinks(
  view: View,
  path: string,
  notes: readonly FoundFile[],
  resolve: ResolveLink,
): Promise<Backlink[]> {
  const { store } = view.core;
  return withKnownNotes(store, view.folder, notes, async (known) => {
    const linking = new Set(linkNames(path).flatMap((name) => [...store.linkingTo(name)]));
    const found: Backlink[] = [];
    for (const file of notes) {
      const row = known.fresh(file);
      if (file.path === path || (row !== undefined && !linking.has(row.id))) continue;
      const bytes = await bytesOf(view, file.path);
      if (bytes === undefined) continue;
      if (row === undefined) await known.learn(file, bytes);
      const text = textOf(bytes) ?? '';
      const there = linksOf(text).filter((link) => resolve(file.path, link) === path);
      const lines = there.length === 0 ? [] : linesOf(text);
      for (const number of new Set(there.map(({ line }) => line))) {
        const line = lines[number - 1] ?? '';
        found.push({ path: shownPath(view, file.path), line_number: number, line });
      }
    }
    return found;
  });
}
