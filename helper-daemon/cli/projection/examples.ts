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
      "coppice search demo /workspace 'TODO|FIXME' --include '*.py'",
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

export function examplesFor(operation: string): Pick<CommandSpec, 'examples'> {
  const examples = byOperation[operation];
  return examples === undefined ? {} : { examples };
}
