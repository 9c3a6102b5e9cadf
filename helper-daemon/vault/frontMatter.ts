/** The YAML block at the start of a note: where it is, and what it says. */
import type { Document, YAMLMap } from 'yaml';
import { loadYaml, type Yaml } from './yamlLibrary.ts';

export type FrontMatter = Readonly<Record<string, unknown>>;

/** A note in parts that give its text when put together again. */
export interface NoteParts {
  /** Byte order mark, or nothing. */
  readonly mark: string;
  /** The first --- line. */
  readonly opening: string;
  /** Lines of YAML, each with its end; null: the note has no front matter, and all of it is body. */
  readonly block: string | null;
  readonly closing: string;
  readonly body: string;
}

export interface ReadFrontMatter {
  /** Null: there is none, or it cannot be read. */
  readonly data: FrontMatter | null;
  readonly problem: string | null;
}

/** Larger ones are not parsed: they would keep the daemon from everything else. */
const maxBytes = 64 * 1024;
/** What a few lines of aliases can grow to has to end somewhere. */
const maxAliasCount = 100;

export function splitNote(text: string): NoteParts {
  const mark = text.startsWith('\uFEFF') ? '\uFEFF' : '';
  const opening = /^---\r?\n/.exec(text.slice(mark.length, mark.length + 5))?.[0];
  const whole = { mark, opening: '', block: null, closing: '', body: text.slice(mark.length) };
  if (opening === undefined) return whole;
  const start = mark.length + opening.length;
  const end = /(?<=\n)---(?:\r?\n|(?![^]))/g;
  end.lastIndex = start;
  const closing = end.exec(text);
  if (closing === null) return whole;
  return {
    mark,
    opening,
    block: text.slice(start, closing.index),
    closing: closing[0],
    body: text.slice(closing.index + closing[0].length),
  };
}

export function joinNote({ mark, opening, block, closing, body }: NoteParts): string {
  return mark + (block === null ? '' : opening + block + closing) + body;
}

export async function readFrontMatter(text: string): Promise<ReadFrontMatter> {
  const { block } = splitNote(text);
  if (block === null) return { data: null, problem: null };
  const { data, problem } = parseBlock(await loadYaml(), block);
  return { data, problem };
}

export interface ParsedBlock extends ReadFrontMatter {
  readonly document: Document.Parsed;
  /** Null for a block without any key. */
  readonly map: YAMLMap | null;
}

export function parseBlock(yaml: Yaml, block: string): ParsedBlock {
  const tooLarge = block.length > maxBytes;
  const document = yaml.parseDocument(tooLarge ? '' : block, { logLevel: 'silent' });
  const none = (problem: string): ParsedBlock => ({ data: null, problem, document, map: null });
  if (tooLarge) return none(`it has more than ${String(maxBytes)} characters`);
  const [error] = document.errors;
  if (error !== undefined) return none(error.message.split('\n')[0] ?? error.message);
  const { contents } = document;
  if (contents === null || (yaml.isScalar(contents) && contents.value === null)) {
    return { data: {}, problem: null, document, map: null };
  }
  if (!yaml.isMap(contents)) return none('it is not a mapping of keys to values');
  try {
    // By way of JSON: what the daemon answers is JSON, and NaN for example is not.
    const data = plain(document.toJS({ maxAliasCount })) as FrontMatter;
    return { data, problem: null, document, map: contents };
  } catch (thrown) {
    return none(thrown instanceof Error ? thrown.message : String(thrown));
  }
}

/** A value as it looks after a trip through JSON. */
export function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value)) as unknown;
}
