/** What --help shows to type. Only for commands whose usage line does not say it all. */
import type { CommandSpec } from '../commandSpec.ts';

type Examples = NonNullable<CommandSpec['examples']>;

const byOperation: Readonly<Record<string, Examples>> = {
  workspace_create: [
    ['coppice create demo', 'A machine named demo from the default image.'],
    [
      'coppice create big -i debian-minimal -c 4 -m 4096 -d 40',
      'Four CPUs, 4 GiB of memory, 40 GiB of disk.',
    ],
    [
      'coppice create --json | jq -r .workspace_id',
      'Let Coppice choose the name; use it in a script.',
    ],
  ],
  workspace_fork: [
    ['coppice fork web', 'A second web, web-fork-1, whose programs go on where those of web are.'],
    ['coppice fork web -n 8 -p try', 'Eight copies, try-1 to try-8.'],
    ['coppice fork web clean --snapshot s1', 'A machine named clean from the snapshot s1.'],
  ],
  workspace_configure: [
    ['coppice set demo --ttl 2h', 'Destroyed two hours from now.'],
    ['coppice set demo --idle-suspend 10m --ttl 0', 'Suspended when unused; kept for ever.'],
  ],
  workspace_suspend: [
    ['coppice suspend demo', 'Takes no memory of the host any more; coppice resume demo goes on.'],
  ],
  snapshot_create: [
    ['coppice snapshot create demo s1', 'The disk as it is now.'],
    [
      "coppice snapshot create demo warm -m -d 'server is up'",
      'Also memory: restores and forks continue the programs.',
    ],
  ],
  snapshot_restore: [
    ['coppice snapshot restore demo s1', 'What changed since the last snapshot is given up.'],
    ['coppice snapshot restore demo s1 --save-as before', 'Unless it is kept as a snapshot.'],
  ],
  snapshot_diff: [
    ['coppice snapshot diff demo s1', 'What changed since s1.'],
    ['coppice snapshot diff demo s1 s2 /etc', 'Between two snapshots, below /etc.'],
    ['coppice snapshot diff demo s1 /etc', 'Since s1, below /etc.'],
  ],
  snapshot_rename: [
    ['coppice snapshot rename demo s1 base', 'Another name.'],
    ["coppice snapshot rename demo s1 -d 'tests pass'", 'Another description.'],
  ],
  network_policy: [
    ['coppice network set demo --internet full', 'Every public address, but no private one.'],
    [
      "coppice network set demo --allow github.com:443 --allow '*.example.org' --allow 192.0.2.0/24:5432",
      'Only these; everything else is denied and logged.',
    ],
    ["coppice network set demo --internet off --allow ''", 'Nothing, and an empty list.'],
    ['coppice network set demo --team blue', 'Reaches the other machines of team blue.'],
  ],
  port_forward_add: [
    ['coppice port add web 8000', 'Open http://localhost:8000 on this host.'],
    ['coppice port add web 80 -p 8080 --bind 0.0.0.0', 'From other hosts, too.'],
  ],
  pool_set: [
    ['coppice pool set 4', 'Keep four machines ready.'],
    ['coppice pool set 0 -m 2048', 'None, and at most 2 GiB for templates.'],
  ],
  pool_prepare: [['coppice pool prepare debian-dev -m 1024', 'For machines of this size.']],
  audit_list: [
    ['coppice audit -w demo', 'What was done to demo, also when it is gone.'],
    ['coppice audit --outcome denied', 'What was refused, and to whom.'],
    ['coppice audit -f', 'What happens from now on.'],
  ],
  storage_init: [
    ['coppice storage init zfs --pool tank', 'Adopt a pool that exists.'],
    [
      'coppice storage init zfs --pool coppice --device /var/lib/coppice.zpool --size-gb 50',
      'Make a pool in a file.',
    ],
  ],
  workspace_destroy: [['coppice destroy demo', 'Everything in the machine is gone afterwards.']],
  workspace_list: [['coppice list --state running', 'Only what runs now.']],
  process_start: [
    ['coppice jobs start demo -- "make -j4 > build.log 2>&1"', 'One word: a shell command.'],
    [
      'coppice jobs start demo --label server -- python3 -m http.server 8000',
      'Several words: a program and its arguments.',
    ],
  ],
  process_get: [
    ['coppice jobs show demo 3 --wait 60', 'Wait up to a minute for its end or new output.'],
  ],
  process_signal: [
    ['coppice jobs kill demo 3 -s 9', 'SIGKILL to the job and everything it started.'],
  ],
  file_search: [
    [
      "coppice search demo /workspace 'import (os|sys)' --include '*.py'",
      'Lines that match, in Python files only.',
    ],
    ["coppice search demo /workspace '' --include '*.md'", 'Names only.'],
  ],
  file_edit: [
    ["coppice edit demo /etc/motd 'Debian' 'Coppice' --all", 'Replace every occurrence.'],
  ],
  image_import: [
    ['coppice image import ./rootfs.tar.gz my-image', 'From the tar of a root file system.'],
    [
      'docker save alpine | tee alpine.tar >/dev/null; coppice image import alpine.tar alpine',
      'From an OCI archive.',
    ],
  ],
};

/** What else --help must say. */
const notes: Readonly<Record<string, string>> = {
  workspace_fork: `Exit code: 0 when all copies were made, 75 when only some were, 1 when none was; what is missing
is said on standard error, and what there is stays.`,
  audit_verify: 'Exit code: 0 when nothing was changed, else 1.',
  storage_verify: 'Exit code: 0 when everything is whole, else 1.',
  snapshot_list: `A line of snapshots goes straight down, the oldest first; what branches off is indented. The sizes
are those of a snapshot alone, without what it stands on.`,
  snapshot_diff: `A added, M modified, D removed, T of another type, m owner, mode or time alone.`,
};

export function notesFor(operation: string): Pick<CommandSpec, 'notes'> {
  const text = notes[operation];
  return text === undefined ? {} : { notes: text };
}

export function examplesFor(operation: string): Pick<CommandSpec, 'examples'> {
  const examples = byOperation[operation];
  return examples === undefined ? {} : { examples };
}
