/** The packages of a root file system, from dpkg's own record inside its tar. */
import type { Readable } from 'node:stream';
import { tarEntries } from './tarEntries.ts';

const maxStatusBytes = 64 * 1024 * 1024;

/** Lines of the form `name version`, sorted; empty when there is no dpkg in it. */
export async function packageList(tar: Readable): Promise<readonly string[]> {
  for await (const entry of tarEntries(tar)) {
    if (entry.path.replace(/^\.?\//, '') !== 'var/lib/dpkg/status' || entry.size > maxStatusBytes) {
      continue;
    }
    const pieces: Buffer[] = [];
    for await (const piece of entry.body()) pieces.push(Buffer.from(piece));
    tar.destroy();
    return parseStatus(Buffer.concat(pieces).toString('utf8'));
  }
  return [];
}

function parseStatus(text: string): readonly string[] {
  return text
    .split('\n\n')
    .flatMap((stanza) => {
      const name = /^Package: (.*)$/m.exec(stanza)?.[1];
      const version = /^Version: (.*)$/m.exec(stanza)?.[1];
      const installed = /^Status: .* installed$/m.test(stanza);
      return name === undefined || version === undefined || !installed
        ? []
        : [`${name} ${version}`];
    })
    .sort();
}
