/** Tags of a note: those of its front matter, and #these in its text. */
import type { Node } from 'yaml';
import { vaultError } from './errors.ts';
import { editValue, setKey, type Editable } from './frontMatterEdit.ts';
import { readFrontMatter, splitNote, type FrontMatter } from './frontMatter.ts';
import { endOfNode, lineStart } from './frontMatterText.ts';
import { proseLines } from './markdown.ts';
import { lineEnding } from './text.ts';

const inlineTag = /(?<=^|[\s(])#([A-Za-z][A-Za-z0-9_/-]*)/g;

/** Without #, each once: front matter first, both in their order. */
export async function tagsOf(text: string): Promise<string[]> {
  const { data } = await readFrontMatter(text);
  return [...new Set([...listed(data), ...inlineTags(text).keys()])];
}

/** Each tag of the text with the first line it is on. */
function inlineTags(text: string): ReadonlyMap<string, number> {
  const { body } = splitNote(text);
  const skipped = text.slice(0, text.length - body.length).split('\n').length - 1;
  const found = new Map<string, number>();
  if (!body.includes('#')) return found;
  for (const line of proseLines(body, skipped)) {
    for (const [, tag = ''] of line.text.matchAll(inlineTag)) {
      if (!found.has(tag)) found.set(tag, line.number);
    }
  }
  return found;
}

function listed(data: FrontMatter | null): string[] {
  const tags = data?.['tags'];
  if (!Array.isArray(tags)) return [];
  return tags.filter((tag) => typeof tag === 'string').map(plainTag);
}

/** People write them with and without #. */
export function plainTag(tag: string): string {
  return tag.replace(/^#/, '');
}

/** The same text where the front matter has the tag already. @throws CoppiceError `vault_error` */
export async function addTag(text: string, tag: string): Promise<string> {
  const tags = await currentTags(text);
  if (tags === undefined) return await setKey(text, 'tags', [tag]);
  if (tags.some((other) => typeof other === 'string' && plainTag(other) === tag)) return text;
  const eol = lineEnding(text);
  return await editValue(text, 'tags', [...tags, tag], (editable) => inserted(editable, tag, eol));
}

/**
 * The same text where the front matter does not have the tag.
 * @throws CoppiceError `vault_error`, also for a tag that only the text has
 */
export async function removeTag(text: string, tag: string): Promise<string> {
  const tags = (await currentTags(text)) ?? [];
  const isIt = (other: unknown): boolean => typeof other === 'string' && plainTag(other) === tag;
  const rest = tags.filter((other) => !isIt(other));
  if (rest.length < tags.length) {
    return await editValue(text, 'tags', rest, (editable) => without(editable, isIt));
  }
  const line = inlineTags(text).get(tag);
  if (line === undefined) return text;
  throw vaultError(
    `#${tag} is in the text of the note (line ${String(line)}), which tags does not change.`,
    'Take it out with replace.',
  );
}

/** Undefined: the note has no list of tags yet. */
async function currentTags(text: string): Promise<readonly unknown[] | undefined> {
  const { data, problem } = await readFrontMatter(text);
  if (problem !== null) {
    throw vaultError(
      `The front matter of this note cannot be read, and was left as it is: ${problem}.`,
      'Correct it with write or replace first.',
    );
  }
  const tags = data?.['tags'];
  if (tags === undefined || tags === null) return undefined;
  if (Array.isArray(tags)) return tags as unknown[];
  throw vaultError(
    `'tags' in the front matter of this note is ${describe(tags)}, not a list.`,
    'Set it to a list first: frontmatter set, key tags.',
  );
}

function describe(value: unknown): string {
  return typeof value === 'object' ? 'a mapping' : `the ${typeof value} ${JSON.stringify(value)}`;
}

/** One more item behind the last one. */
function inserted({ yaml, block, pair }: Editable, tag: string, eol: string): string | undefined {
  const list = pair?.value;
  const item = yaml.isSeq(list) ? (list.items.at(-1) as Node | undefined) : undefined;
  if (!yaml.isSeq(list) || !item?.range) return undefined;
  const text = spelled(yaml.stringify(tag).trimEnd(), tag);
  if (list.flow === true) {
    const end = item.range[1];
    return `${block.slice(0, end)}, ${text}${block.slice(end)}`;
  }
  const dash = block.slice(lineStart(block, item.range[0]), item.range[0]);
  if (!/^\s*-\s+$/.test(dash)) return undefined;
  const end = endOfNode(yaml, block, item);
  return `${block.slice(0, end)}${dash}${text}${eol}${block.slice(end)}`;
}

/** Words stay bare; anything that means something to YAML is quoted, in brackets, too. */
function spelled(yamlText: string, tag: string): string {
  return /^[\p{L}\p{N}_/"'-]+$/u.test(yamlText) ? yamlText : JSON.stringify(tag);
}

/** A list of lines without some of them. */
function without(
  { yaml, block, pair }: Editable,
  isIt: (value: unknown) => boolean,
): string | undefined {
  const list = pair?.value;
  if (!yaml.isSeq(list) || list.flow === true) return undefined;
  let text = block;
  let kept = list.items.length;
  for (const item of [...list.items].reverse()) {
    if (!yaml.isScalar(item) || !isIt(item.value)) continue;
    if (!item.range) return undefined;
    const start = lineStart(block, item.range[0]);
    if (!/^\s*-\s+$/.test(block.slice(start, item.range[0]))) return undefined;
    text = text.slice(0, start) + text.slice(endOfNode(yaml, block, item));
    kept -= 1;
  }
  return kept === 0 ? undefined : text;
}
