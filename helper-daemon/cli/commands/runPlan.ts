/** What `coppice run` copies in and out, from its flags. */
import path from 'node:path';
import { UsageError } from '../failure.ts';

export interface CopyPair {
  readonly host: string;
  readonly guest: string;
}

export const inDefault = '/workspace';
export const outDefault = '/workspace/out';

/** `DIR` or `HOST:GUEST`. */
export function parseIn(text: string): CopyPair {
  const cut = text.lastIndexOf(':/');
  const pair =
    cut > 0
      ? { host: text.slice(0, cut), guest: text.slice(cut + 1) }
      : { host: text, guest: inDefault };
  return checked(pair, '--in', text);
}

/** `DIR` or `GUEST:HOST`. */
export function parseOut(text: string): CopyPair {
  const cut = text.startsWith('/') ? text.indexOf(':') : -1;
  const pair =
    cut > 0
      ? { host: text.slice(cut + 1), guest: text.slice(0, cut) }
      : { host: text, guest: outDefault };
  return checked(pair, '--out', text);
}

function checked(pair: CopyPair, flag: string, text: string): CopyPair {
  if (pair.host === '' || pair.guest.includes('\0') || pair.host.includes('\0')) {
    throw new UsageError(
      `${flag} ${JSON.stringify(text)} names no directory.`,
      flag === '--in'
        ? 'Give DIR or HOST:GUEST, for example --in src:/workspace/src.'
        : 'Give DIR or GUEST:HOST, for example --out /workspace/dist:dist.',
    );
  }
  return { host: path.resolve(pair.host), guest: pair.guest };
}
