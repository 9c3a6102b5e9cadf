/**
 * Changes of single keys of front matter. They are made in the text, so that every other line stays as its
 * author wrote it; where that is not possible the library writes the block anew. Either way the result is read
 * again before it counts: it must say what was asked for and otherwise the same as before.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Node, Pair } from 'yaml';
import { vaultError } from './errors.ts';
import { joinNote, parseBlock, plain, splitNote, type NoteParts } from './frontMatter.ts';
import { afterBlankLines, endOfNode, lineStart, withLineEnds } from './frontMatterText.ts';
import { lineEnding } from './text.ts';
import { loadYaml, type Yaml } from './yamlLibrary.ts';

/** A block that has at least one key. */
export interface Editable {
  readonly yaml: Yaml;
  readonly block: string;
  readonly pair: Pair<Node, Node | null> | undefined;
}

/** @throws CoppiceError `vault_error` where the front matter cannot be read or changed */
export async function setKey(text: string, key: string, value: unknown): Promise<string> {
  const yaml = await loadYaml();
  const parts = splitNote(text);
  const eol = lineEnding(text);
  if (parts.block === null) {
    const block = withLineEnds(renderPair(yaml, key, value), eol);
    return joinNote({ ...parts, opening: `---${eol}`, block, closing: `---${eol}` });
  }
  return change(yaml, parts, key, value, (block, { document, map }) => {
    const rewritten = (): string => {
      if (map === null) document.contents = document.createNode({}) as never;
      document.set(key, value);
      return document.toString({ lineWidth: 0 });
    };
    if (map?.flow === true) return [rewritten];
    const pair = findPair(yaml, map?.items ?? [], key);
    if (pair === undefined) {
      const first = map?.items[0]?.key as Node | undefined;
      const indent = first === undefined ? '' : indentOf(block, first);
      return [
        () => block + indented(withLineEnds(renderPair(yaml, key, value), eol), indent),
        rewritten,
      ];
    }
    const rendered = withLineEnds(renderPair(yaml, key, value, pair), eol);
    return [
      () => valueReplaced(yaml, block, pair, rendered),
      () => pairReplaced(yaml, block, pair, rendered),
      () => pairReplaced(yaml, block, pair, rendered, true),
      rewritten,
    ];
  });
}

/** Takes the block away with its last key. @throws CoppiceError `vault_error` */
export async function deleteKey(text: string, key: string): Promise<string> {
  const parts = splitNote(text);
  if (parts.block === null) return text;
  const yaml = await loadYaml();
  return change(yaml, parts, key, undefined, (block, { document, map }) => {
    const pair = findPair(yaml, map?.items ?? [], key);
    if (pair === undefined) return [() => block];
    const rewritten = (): string => {
      document.delete(key);
      return map?.items.length === 0 ? '' : document.toString({ lineWidth: 0 });
    };
    if (map?.flow === true) return [rewritten];
    return [
      () => pairReplaced(yaml, block, pair, ''),
      () => pairReplaced(yaml, block, pair, '', true),
      rewritten,
    ];
  });
}

/**
 * Changes the value of a key that is there by editing the block's text. Undefined from `edit`: it cannot be done
 * that way, and the value is written anew.
 * @throws CoppiceError `vault_error`
 */
export async function editValue(
  text: string,
  key: string,
  value: unknown,
  edit: (editable: Editable) => string | undefined,
): Promise<string> {
  const yaml = await loadYaml();
  const parts = splitNote(text);
  const { block } = parts;
  if (block === null) return setKey(text, key, value);
  const { map } = parseBlock(yaml, block);
  const pair = findPair(yaml, map?.items ?? [], key);
  const edited = map?.flow === true ? undefined : edit({ yaml, block, pair });
  if (edited !== undefined && isSound(yaml, block, edited, key, value)) {
    return joinNote({ ...parts, block: edited });
  }
  return setKey(text, key, value);
}

type Attempt = () => string | undefined;

/** The first of the ways that gives what it should. */
function change(
  yaml: Yaml,
  parts: NoteParts,
  key: string,
  value: unknown,
  ways: (block: string, parsed: ReturnType<typeof parseBlock>) => readonly Attempt[],
): string {
  const block = parts.block ?? '';
  const parsed = parseBlock(yaml, block);
  if (parsed.problem !== null) {
    throw vaultError(
      `The front matter of this note cannot be read, and was left as it is: ${parsed.problem}.`,
      'Correct it with write or replace first.',
    );
  }
  for (const way of ways(block, parsed)) {
    const made = attempt(way);
    if (made === undefined) continue;
    const next = withEndsOf(parts, made);
    if (value === undefined && next.trim() === '') return joinNote({ ...parts, block: null });
    const whole = joinNote({ ...parts, block: next });
    const same = splitNote(whole).body === parts.body;
    if (same && isSound(yaml, block, next, key, value)) return whole;
  }
  throw vaultError(
    `The key '${key}' cannot be changed without changing others of this front matter.`,
    'Other values may refer to it (&anchor and *alias): change the text with replace.',
  );
}

/** The library ends lines with \n, whatever it was given. */
function withEndsOf({ opening, block }: NoteParts, made: string): string {
  const eol = lineEnding(opening);
  const ended = made === '' || made.endsWith('\n') ? made : made + eol;
  const mixed = /(?<!\r)\n/.test(block ?? '');
  return mixed ? ended : withLineEnds(ended.replaceAll('\r\n', '\n'), eol);
}

function attempt(way: Attempt): string | undefined {
  try {
    return way();
  } catch {
    // The library refuses to write what it could not read again, such as an alias without its anchor.
    return undefined;
  }
}

/** Whether a changed block says the same, but for this key, which has this value (undefined: is gone). */
function isSound(yaml: Yaml, before: string, after: string, key: string, value: unknown): boolean {
  const former = parseBlock(yaml, before).data;
  const { data, problem } = parseBlock(yaml, after);
  if (former === null || data === null || problem !== null) return false;
  const others = (all: object): [string, unknown][] =>
    Object.entries(all).filter(([name]) => name !== key);
  const has = Object.hasOwn(data, key);
  const right = value === undefined ? !has : has && isDeepStrictEqual(data[key], plain(value));
  return right && isDeepStrictEqual(others(former), others(data));
}

function findPair(
  yaml: Yaml,
  items: readonly Pair[],
  key: string,
): Pair<Node, Node | null> | undefined {
  return (items as readonly Pair<Node, Node | null>[]).find(
    (pair) => yaml.isScalar(pair.key) && String(pair.key.value) === key,
  );
}

/** `key: value`, one or more lines; a list stays in brackets and text in quotes where they were before. */
function renderPair(
  yaml: Yaml,
  key: string,
  value: unknown,
  former?: Pair<Node, Node | null>,
): string {
  const document = new yaml.Document({ [key]: value });
  const node = document.get(key, true);
  const was = former?.value;
  if (yaml.isCollection(node) && yaml.isCollection(was) && was.flow === true) node.flow = true;
  if (yaml.isScalar(node) && typeof node.value === 'string' && yaml.isScalar(was)) {
    if (was.type?.startsWith('QUOTE_') === true) node.type = was.type;
  }
  return document.toString({ lineWidth: 0 });
}

/** Only the value, on its line: what stands before and after it there stays. */
function valueReplaced(
  yaml: Yaml,
  block: string,
  { key, value }: Pair<Node, Node | null>,
  rendered: string,
): string | undefined {
  const name = /^(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^"'])*?:(?= |\r?\n)/.exec(rendered)?.[0];
  const line = rendered.trimEnd();
  if (name === undefined || line.includes('\n') || !key.range) return undefined;
  const text = line.slice(name.length).trimStart();
  if (!value?.range || value.anchor !== undefined || value.tag !== undefined) return undefined;
  const [start, end] = value.range;
  if (start === end) {
    const colon = block.indexOf(':', key.range[1]);
    if (colon < 0 || block.slice(key.range[1], colon).trim() !== '') return undefined;
    return `${block.slice(0, colon + 1)} ${text}${block.slice(colon + 1)}`;
  }
  if (yaml.isAlias(value) || block.slice(lineStart(block, key.range[0]), end).includes('\n')) {
    return undefined;
  }
  return block.slice(0, start) + text + block.slice(end);
}

/** Its lines, all of them. Blank ones after it go, too, where a block of text before it would take them. */
function pairReplaced(
  yaml: Yaml,
  block: string,
  { key, value }: Pair<Node, Node | null>,
  rendered: string,
  withBlanks = false,
): string | undefined {
  if (!key.range) return undefined;
  const start = lineStart(block, key.range[0]);
  const indent = block.slice(start, key.range[0]);
  // `? key` and what else may stand before one.
  if (indent.trim() !== '') return undefined;
  const last = endOfNode(yaml, block, value ?? key);
  const end = withBlanks ? afterBlankLines(block, last) : last;
  return block.slice(0, start) + indented(rendered, indent) + block.slice(end);
}

function indentOf(block: string, node: Node): string {
  if (!node.range) return '';
  const indent = block.slice(lineStart(block, node.range[0]), node.range[0]);
  return indent.trim() === '' ? indent : '';
}

function indented(text: string, indent: string): string {
  return indent === '' ? text : text.replace(/^(?=[^\r\n])/gm, indent);
}
