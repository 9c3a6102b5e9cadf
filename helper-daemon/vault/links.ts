/** Links between notes: [[wiki]], [[wiki|alias]], [[wiki#heading]] and [text](relative.md). */
import nodePath from 'node:path';
import { splitNote } from './frontMatter.ts';
import { proseLines } from './markdown.ts';
import { split } from './paths.ts';

export interface Link {
  /** As it is written. */
  readonly target: string;
  /** The part that names a note. */
  readonly note: string;
  /** Wiki links name a note wherever it is, the others a path from the folder of their note. */
  readonly wiki: boolean;
  readonly heading: string | null;
  readonly alias: string | null;
  readonly line: number;
}

const wikiLink = /\[\[([^[\]|#\n]+)(?:#([^[\]|\n]*))?(?:\|([^[\]\n]*))?\]\]/g;
const markdownLink =
  /\[((?:[^[\]\\]|\\.)*)\]\(\s*(<[^<>\n]*>|[^\s()<>]*(?:\([^\s()]*\)[^\s()]*)*)(?:\s+["'(][^"')]*["')])?\s*\)/g;
/** https:, mailto: and the like, and //host. */
const elsewhere = /^(?:[a-z][a-z0-9+.-]*:|\/\/)/i;

/** Links to other notes, in the order of the text. */
export function linksOf(text: string): Link[] {
  if (!text.includes('[')) return [];
  const { body } = splitNote(text);
  const skipped = text.slice(0, text.length - body.length).split('\n').length - 1;
  return proseLines(body, skipped).flatMap(({ number, text: line }) => [
    ...[...line.matchAll(wikiLink)].map((match) => fromWiki(match, number)),
    ...[...line.matchAll(markdownLink)].flatMap((match) => fromMarkdown(match, number)),
  ]);
}

function fromWiki([, name = '', heading, alias]: RegExpMatchArray, line: number): Link {
  // In tables the bar before an alias is written \|.
  const note = name.replace(/\\$/, '').trim();
  const target = heading === undefined ? note : `${note}#${heading}`;
  return { target, note, wiki: true, heading: heading ?? null, alias: alias ?? null, line };
}

function fromMarkdown([, text = '', written = '']: RegExpMatchArray, line: number): Link[] {
  const target = written.replace(/^<|>$/g, '');
  const hash = target.indexOf('#');
  const note = decoded(hash < 0 ? target : target.slice(0, hash));
  if (note === '' || elsewhere.test(target)) return [];
  const heading = hash < 0 ? null : decoded(target.slice(hash + 1));
  return [{ target, note, wiki: false, heading, alias: text === '' ? null : text, line }];
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * Names under which the index finds the notes a link may lead to: the last part of the path, in small letters,
 * with and without what looks like an extension.
 */
export function linkNames(path: string): string[] {
  const name = split(path).name.toLowerCase();
  return [...new Set([name, name.replace(/\.[a-z0-9]{1,8}$/, '')])];
}

/** Finds the file that a link in a note leads to. */
export type ResolveLink = (from: string, link: Link) => string | null;

/** @param paths every file that links can lead to */
export function linkResolver(paths: readonly string[]): ResolveLink {
  const exact = new Set(paths);
  const byName = new Map<string, string[]>();
  for (const path of paths) {
    for (const name of linkNames(path)) {
      const known = byName.get(name);
      if (known === undefined) byName.set(name, [path]);
      else known.push(path);
    }
  }
  return (from, link) => {
    const { folder } = split(from);
    if (!link.wiki) {
      const absolute = link.note.startsWith('/');
      const path = nodePath.posix.join(absolute ? '' : folder, link.note).replace(/^\/+/, '');
      return [path, `${path}.md`].find((candidate) => exact.has(candidate)) ?? null;
    }
    const wanted = nodePath.posix.normalize(link.note).replace(/^\/+/, '').toLowerCase();
    const candidates = linkNames(wanted).flatMap((name) => byName.get(name) ?? []);
    const fits = candidates.filter((path) => {
      const lower = path.toLowerCase();
      return [lower, withoutExtension(lower)].some(
        (known) => known === wanted || known.endsWith(`/${wanted}`),
      );
    });
    return fits.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))[0] ?? null;

    // The one beside the note that links to it, else the one nearest to the top.
    function rank(path: string): number {
      return split(path).folder === folder ? 0 : path.split('/').length;
    }
  };
}

function withoutExtension(path: string): string {
  return path.replace(/\.[a-z0-9]{1,8}$/, '');
}
