/** Why git did not get what it wanted from a remote, and what helps. */

/** What the place of a repository may reach. */
export interface Reach {
  readonly workspace: string;
  readonly internet: 'off' | 'list' | 'full';
}

const classes: readonly (readonly [RegExp, (reach: Reach) => string])[] = [
  [
    /could not resolve host|name or service not known|temporary failure in name resolution|failed to connect|could not connect|connection (?:timed out|refused|reset)|network is unreachable|no route to host|couldn't connect/i,
    networkAdvice,
  ],
  [
    /does not appear to be a git repository|no such remote|no configured push destination/i,
    () => 'There is no such remote: look at git remote -v, and add it with git remote add (exec).',
  ],
  [
    /authentication failed|could not read (?:username|password)|permission denied|invalid (?:username|credentials)|host key verification failed|terminal prompts disabled|returned error: 40[13]|access denied/i,
    () =>
      'The remote asks for credentials: give them with set_env (GIT_ASKPASS), an SSH key, or a token in the URL.',
  ],
  [
    /non-fast-forward|fetch first|\[rejected\]|stale info/i,
    () =>
      'The remote has commits that are not here: pull and merge them first (exec), or push with force to replace them.',
  ],
  [
    /already exists and is not an empty directory/i,
    () => 'Clone into a directory that is missing or empty.',
  ],
  [
    /remote branch .* not found|couldn't find remote ref/i,
    () => 'The remote has no such branch: leave branch out for its default one.',
  ],
  [
    /src refspec .* does not match any/i,
    () => 'There is no such branch here, or it has no commits yet.',
  ],
  [
    /repository .*not found|returned error: 404/i,
    () => 'Check the URL; a private repository looks like a missing one without credentials.',
  ],
  [
    /no space left on device/i,
    () => 'Free some space, use depth, or make the disk of the workspace larger.',
  ],
];

/** Advice for what git said; undefined for what is not known. */
export function remoteAdvice(said: string, reach: Reach): string | undefined {
  return classes.find(([pattern]) => pattern.test(said))?.[1](reach);
}

function networkAdvice({ workspace, internet }: Reach): string {
  if (internet === 'off') {
    return `The internet is off in ${workspace}: allow it with network_policy (allow_internet: true, or allow: ["<host>"]), then try again.`;
  }
  if (internet === 'list') {
    return `${workspace} may reach only what its network_policy lists: add the host to allow, then try again.`;
  }
  return 'Check the host name, and that the host of the machines is online.';
}
