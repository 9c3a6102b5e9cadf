/**
 * Reads the host's apt sources, so that images come from the same mirrors as the host and no registry's name
 * is written down in this project. Only the distribution's own entries count: third parties have no say in
 * what a guest trusts.
 */
import { readFile, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';

export interface AptSource {
  readonly uri: string;
  readonly suite: string;
  readonly components: readonly string[];
  /** Path of a keyring on the host; absent where apt's global keys are meant. */
  readonly signedBy?: string;
}

export interface Distribution {
  readonly id: 'debian' | 'ubuntu';
  readonly codename: string;
}

/** Suites that mean "the release in use" without naming it. */
const rollingSuites = ['stable', 'oldstable', 'testing', 'unstable', 'sid'];

export async function hostDistribution(
  path = '/etc/os-release',
): Promise<Distribution | undefined> {
  return parseOsRelease(await readFile(path, 'utf8').catch(() => ''));
}

/** Derivatives of Debian or Ubuntu have mirrors of their own and are not guessed at. */
export function parseOsRelease(text: string): Distribution | undefined {
  const value = (name: string): string =>
    new RegExp(`^${name}="?([^"\\n]*)"?$`, 'm').exec(text)?.[1] ?? '';
  const id = value('ID');
  const codename = value('VERSION_CODENAME');
  if ((id !== 'debian' && id !== 'ubuntu') || !/^[a-z]+$/.test(codename)) return undefined;
  return { id, codename };
}

/** The distribution's own entries of the host, with mirror lists resolved. */
export async function hostAptSources(
  distribution: Distribution,
  root = '/etc/apt',
): Promise<readonly AptSource[]> {
  const files = [join(root, 'sources.list')];
  const extra = join(root, 'sources.list.d');
  for (const name of (await readdir(extra).catch(() => [])).sort()) files.push(join(extra, name));
  const sources: AptSource[] = [];
  for (const file of files) {
    const text = await readFile(file, 'utf8').catch(() => '');
    if (file.endsWith('.list')) sources.push(...parseListFile(text));
    else if (file.endsWith('.sources')) sources.push(...parseDeb822(text));
  }
  const own = distributionSources(sources, distribution);
  return Promise.all(own.map(resolveMirrorFile));
}

/** The one-line form: `deb [options] uri suite component…`. */
export function parseListFile(text: string): readonly AptSource[] {
  const sources: AptSource[] = [];
  for (const line of text.split('\n')) {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)/.exec(line);
    if (match === null) continue;
    const [, options = '', uri = '', suite = '', components = ''] = match;
    const signedBy = /(?:^|\s)signed-by=(\S+)/i.exec(options)?.[1];
    sources.push({
      uri,
      suite,
      components: components.trim().split(/\s+/),
      ...(signedBy === undefined ? {} : { signedBy }),
    });
  }
  return sources;
}

/** The deb822 form: stanzas of fields, each field may list several values. */
export function parseDeb822(text: string): readonly AptSource[] {
  const sources: AptSource[] = [];
  for (const stanza of text.split(/\n(?:[ \t]*\n)+/)) {
    const fields = stanzaFields(stanza);
    const words = (name: string): readonly string[] =>
      (fields.get(name) ?? '').split(/\s+/).filter(Boolean);
    if (
      !words('types').includes('deb') ||
      /^(no|false|off|0)$/i.test(fields.get('enabled') ?? '')
    ) {
      continue;
    }
    const signedBy = fields.get('signed-by');
    for (const uri of words('uris')) {
      for (const suite of words('suites')) {
        sources.push({
          uri,
          suite,
          components: words('components'),
          ...(signedBy === undefined ? {} : { signedBy }),
        });
      }
    }
  }
  return sources;
}

function stanzaFields(stanza: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  let last: string | undefined;
  for (const line of stanza.split('\n')) {
    if (line.startsWith('#')) continue;
    const field = /^([A-Za-z-]+):\s*(.*)$/.exec(line);
    if (field?.[1] !== undefined) {
      last = field[1].toLowerCase();
      fields.set(last, (field[2] ?? '').trim());
    } else if (last !== undefined && /^\s/.test(line)) {
      fields.set(last, `${fields.get(last) ?? ''} ${line.trim()}`.trim());
    }
  }
  return fields;
}

export function distributionSources(
  sources: readonly AptSource[],
  distribution: Distribution,
): readonly AptSource[] {
  const seen = new Set<string>();
  return sources.flatMap((source) => {
    const base = source.suite.replace(/(-updates|-security|\/updates)$/, '');
    const ours =
      (base === distribution.codename || rollingSuites.includes(base)) &&
      source.components.includes('main') &&
      /^(https?|mirror\+file):/.test(source.uri) &&
      isArchiveKeyring(source.signedBy) &&
      // Entries without a keyring of their own: a mirror carries the distribution's name in its path.
      (source.signedBy !== undefined || /debian|ubuntu/.test(source.uri));
    const components = source.components.filter((component) =>
      distribution.id === 'ubuntu'
        ? ['main', 'universe'].includes(component)
        : component === 'main',
    );
    const key = `${source.uri.replace(/\/$/, '')} ${source.suite}`;
    if (!ours || seen.has(key)) return [];
    seen.add(key);
    return [{ ...source, components }];
  });
}

function isArchiveKeyring(signedBy: string | undefined): boolean {
  return signedBy === undefined || /^(debian|ubuntu)-archive-keyring\b/.test(basename(signedBy));
}

/** A guest has no copy of the host's mirror list: the first mirror in it stands for all. */
async function resolveMirrorFile(source: AptSource): Promise<AptSource> {
  const file = /^mirror\+file:(?:\/\/)?(\/.*)$/.exec(source.uri)?.[1];
  if (file === undefined) return source;
  const text = await readFile(file, 'utf8').catch(() => '');
  const uri = text
    .split('\n')
    .map((line) => line.trim().split(/\s+/)[0] ?? '')
    .find((word) => /^https?:/.test(word));
  return uri === undefined ? source : { ...source, uri };
}

/** As mmdebstrap takes it, and as the image's own sources.list has it. */
export function sourceLine(source: AptSource): string {
  const options = source.signedBy === undefined ? '' : `[signed-by=${source.signedBy}] `;
  return `deb ${options}${source.uri} ${source.suite} ${source.components.join(' ')}`;
}
