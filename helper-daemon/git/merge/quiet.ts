/** Configuration under which a merge changes nothing and runs nothing beside what it is for. */

export const quietConfig = [
  'core.hooksPath=/dev/null',
  'core.fsmonitor=false',
  'commit.gpgSign=false',
  'gc.auto=0',
  'maintenance.auto=false',
  'merge.autoStash=false',
  'rerere.enabled=false',
] as const;
