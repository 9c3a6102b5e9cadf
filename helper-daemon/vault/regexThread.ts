/** What runs on the thread of regex.ts. Its text is sent there, so it uses nothing from outside of itself. */

export type RegexRequest =
  | { readonly kind: 'lines'; readonly texts: readonly string[] }
  | {
      readonly kind: 'replace';
      readonly text: string;
      readonly replacement: string;
      readonly maxBytes: number;
    };

export type RegexReply =
  { readonly lines: number[][] } | { readonly text: string | null; readonly count: number };

type Compiled = RegexRequest & { readonly source: string; readonly flags: string };

export function regexThread(): void {
  const { parentPort } = process.getBuiltinModule('node:worker_threads');
  parentPort?.on('message', (request: Compiled) => {
    parentPort.postMessage(request.kind === 'lines' ? matchLines(request) : replaceAll(request));
  });

  function matchLines({ source, flags, texts }: Extract<Compiled, { readonly kind: 'lines' }>): {
    lines: number[][];
  } {
    const pattern = new RegExp(source, flags);
    const lines = texts.map((text) => {
      const all = text.split(/\r?\n/);
      if (all.at(-1) === '') all.pop();
      return all.flatMap((line, index) => (pattern.test(line) ? [index] : []));
    });
    return { lines };
  }

  function replaceAll({
    source,
    flags,
    text,
    replacement,
    maxBytes,
  }: Extract<Compiled, { readonly kind: 'replace' }>): { text: string | null; count: number } {
    const pieces: string[] = [];
    let count = 0;
    let size = 0;
    let end = 0;
    const add = (piece: string): boolean => {
      pieces.push(piece);
      size += piece.length;
      return size <= maxBytes;
    };
    for (const match of text.matchAll(new RegExp(source, `g${flags}`))) {
      count += 1;
      const fits = add(text.slice(end, match.index)) && add(expanded(replacement, match));
      if (!fits) return { text: null, count };
      end = match.index + match[0].length;
    }
    pieces.push(text.slice(end));
    return { text: pieces.join(''), count };
  }

  /** $1, ${1}, ${name}, $<name>, $& for all of it, and $$ for a dollar sign. */
  function expanded(replacement: string, match: RegExpExecArray): string {
    return replacement.replace(
      /\$(?:(\$)|(&)|(\d{1,2})|\{(\w+)\}|<(\w+)>)/g,
      (whole, dollar?: string, all?: string, digits?: string, braced?: string, named?: string) => {
        if (dollar !== undefined) return '$';
        if (all !== undefined) return match[0];
        if (digits !== undefined) {
          if (Number(digits) < match.length) return match[Number(digits)] ?? '';
          const first = Number(digits[0]);
          return first < match.length ? (match[first] ?? '') + digits.slice(1) : whole;
        }
        const name = braced ?? named ?? '';
        if (/^\d+$/.test(name)) {
          return Number(name) < match.length ? (match[Number(name)] ?? '') : whole;
        }
        return match.groups !== undefined && name in match.groups
          ? (match.groups[name] ?? '')
          : whole;
      },
    );
  }
}
