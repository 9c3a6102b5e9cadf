/**
 * Regular expressions from callers. JavaScript's engine knows what agents write, but a bad pattern can keep it
 * busy for ever, so they run on a thread of their own that is ended after a time. An engine that takes linear
 * time (RE2) would still block the daemon for seconds on large notes, and needs that thread as well.
 */
import { Worker } from 'node:worker_threads';
import pLimit from 'p-limit';
import { CoppiceError } from '../../protocol/errors.ts';
import { vaultLimits } from '../../protocol/operations/vault.ts';
import { invalidField, vaultError } from './errors.ts';
import { regexThread, type RegexReply, type RegexRequest } from './regexThread.ts';

/** For everything one call asks for. */
const defaultBudgetMs = 5000;
/** One at a time: each may take a whole processor and much memory. */
const turns = pLimit(1);

export interface Pattern {
  /** Indexes of the matching lines of each text. @throws CoppiceError `timeout`, `vault_error` */
  matchingLines(texts: readonly string[]): Promise<readonly (readonly number[])[]>;
  /**
   * @throws CoppiceError `timeout`, `vault_error`; `limit_exceeded` is the caller's: text is null when the result
   * would be larger than a note
   */
  replace(text: string, replacement: string): Promise<{ text: string | null; count: number }>;
}

/**
 * Runs `work` with a pattern.
 * @throws CoppiceError `invalid_input` when it is none
 */
export function withPattern<T>(
  written: string,
  work: (pattern: Pattern) => Promise<T>,
  field: string,
  budgetMs = defaultBudgetMs,
): Promise<T> {
  const compiled = compile(written, field);
  return turns(async () => {
    const worker = new Worker(`(${regexThread.toString()})()`, {
      eval: true,
      resourceLimits: { maxOldGenerationSizeMb: 128 },
    });
    let left = budgetMs;
    const ask = async <R extends RegexReply>(request: RegexRequest): Promise<R> => {
      const started = performance.now();
      const reply = await answer(worker, { ...compiled, ...request }, left);
      left = Math.max(1, left - (performance.now() - started));
      return reply as R;
    };
    try {
      return await work({
        matchingLines: async (texts) =>
          (await ask<{ lines: number[][] }>({ kind: 'lines', texts })).lines,
        replace: (text, replacement) =>
          ask({ kind: 'replace', text, replacement, maxBytes: vaultLimits.noteBytes }),
      });
    } finally {
      await worker.terminate();
    }
  });
}

/** Flags that Python, Go and Rust write in front, and their named groups, are understood, too. */
function compile(written: string, field: string): { source: string; flags: string } {
  const inline = /^\(\?([ims]+)\)/.exec(written);
  const source = written.slice(inline?.[0].length ?? 0).replaceAll('(?P<', '(?<');
  const flags = [...new Set(inline?.[1] ?? '')].join('');
  let problem = '';
  // Unicode mode is right for text, but refuses escapes that are harmless and common.
  for (const mode of ['u', '']) {
    try {
      new RegExp(source, flags + mode);
      return { source, flags: flags + mode };
    } catch (error) {
      problem = error instanceof Error ? error.message : String(error);
    }
  }
  throw invalidField(field, problem);
}

async function answer(worker: Worker, request: object, timeMs: number): Promise<RegexReply> {
  const { promise, resolve, reject } = Promise.withResolvers<RegexReply>();
  const failed = (error: Error): void => reject(vaultError(`The pattern failed: ${error.message}`));
  const timer = setTimeout(() => reject(tooSlow()), timeMs);
  worker.once('message', resolve);
  worker.once('error', failed);
  try {
    worker.postMessage(request);
    return await promise;
  } finally {
    clearTimeout(timer);
    worker.off('message', resolve);
    worker.off('error', failed);
  }
}

function tooSlow(): CoppiceError {
  return new CoppiceError({
    code: 'timeout',
    message: 'The pattern took too long; nothing was changed.',
    next: 'Avoid nested repetition such as (a+)+, or search for plain text.',
  });
}
