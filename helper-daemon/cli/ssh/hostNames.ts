/** What machines are called in SSH: `<name>.coppice`, also `<id>.coppice`, and `coppice-<name>` for old tools. */

const suffix = '.coppice';

export function hostOf(nameOrId: string): string {
  return `${nameOrId}${suffix}`;
}

/** The machine that a host means. Exactly one suffix is taken away: `x.coppice` is a possible name, too. */
export function workspaceOf(host: string): string {
  return host.endsWith(suffix) ? host.slice(0, -suffix.length) : host;
}

/** What ssh looks for in a known_hosts file: it compares in lower case. */
export function keyAliasOf(nameOrId: string): string {
  return hostOf(nameOrId).toLowerCase();
}
