/**
 * What each task needs from the machine, and which package brings it. Plain JavaScript with Node's own
 * modules only: it runs before npm ci, on whatever Node (18 or newer) the machine has.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, readFileSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

/**
 * @typedef {object} Need
 * @property {string} what  what a person calls it
 * @property {string} group
 * @property {string[]} [commands]  any one of these programs will do
 * @property {string} [file]  or this file; a star stands for part of its name
 * @property {'cargo'} [check]  or a check of its own
 * @property {string[]} packages  Debian and Ubuntu names; see `distributions` for exceptions
 * @property {boolean} [optional]  wanted, but the task runs without it
 */

/** @type {readonly Need[]} */
export const needs = [
  {
    group: 'run',
    what: 'QEMU for x86-64',
    commands: ['qemu-system-x86_64'],
    packages: ['qemu-system-x86'],
  },
  { group: 'run', what: 'qemu-img', commands: ['qemu-img'], packages: ['qemu-utils'] },
  { group: 'run', what: 'e2fsprogs', commands: ['mke2fs'], packages: ['e2fsprogs'] },
  { group: 'run', what: 'xz', commands: ['xz'], packages: ['xz-utils'] },
  // Only for machines that may reach the internet, and for coppice ssh.
  { group: 'run', what: 'passt', commands: ['passt'], packages: ['passt'], optional: true },
  {
    group: 'run',
    what: 'OpenSSH client',
    commands: ['ssh'],
    packages: ['openssh-client'],
    optional: true,
  },

  {
    group: 'kernel',
    what: 'kernel source',
    file: '/usr/src/linux-source-*.tar.*',
    packages: ['linux-source'],
  },
  {
    group: 'kernel',
    what: 'C compiler and make',
    commands: ['gcc'],
    packages: ['build-essential'],
  },
  { group: 'kernel', what: 'make', commands: ['make'], packages: ['build-essential'] },
  { group: 'kernel', what: 'flex', commands: ['flex'], packages: ['flex'] },
  { group: 'kernel', what: 'bison', commands: ['bison'], packages: ['bison'] },
  { group: 'kernel', what: 'bc', commands: ['bc'], packages: ['bc'] },
  {
    group: 'kernel',
    what: 'libelf headers',
    file: '/usr/include/libelf.h',
    packages: ['libelf-dev'],
  },

  { group: 'bridge', what: 'nftables', commands: ['nft'], packages: ['nftables'] },
  { group: 'bridge', what: 'iproute2', commands: ['ip'], packages: ['iproute2'] },

  { group: 'image', what: 'mmdebstrap', commands: ['mmdebstrap'], packages: ['mmdebstrap'] },
  { group: 'image', what: 'newuidmap', commands: ['newuidmap'], packages: ['uidmap'] },

  { group: 'rust', what: 'cargo 1.85 or newer', check: 'cargo', packages: [] },
  { group: 'rust', what: 'linker', commands: ['cc'], packages: ['build-essential'] },

  // Their packages come with the compiler's: see rustFamilies.
  { group: 'lint', what: 'rustfmt', commands: ['rustfmt'], packages: [], optional: true },
  { group: 'lint', what: 'clippy', commands: ['cargo-clippy'], packages: [], optional: true },

  {
    group: 'test',
    what: 'Chromium',
    commands: ['chromium', 'chromium-browser', 'google-chrome'],
    packages: ['chromium'],
  },
  {
    group: 'test',
    what: 'a font',
    file: '/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf',
    packages: ['fonts-dejavu-core'],
  },
  { group: 'test', what: 'tmux', commands: ['tmux'], packages: ['tmux'] },
  { group: 'test', what: 'git', commands: ['git'], packages: ['git'] },
  { group: 'test', what: 'Python 3', commands: ['python3'], packages: ['python3'] },
  { group: 'test', what: 'rsync', commands: ['rsync'], packages: ['rsync'] },
  { group: 'test', what: 'C++ compiler', commands: ['g++'], packages: ['build-essential'] },
];

/** @type {Readonly<Record<string, readonly string[]>>} */
export const groupsOfTask = {
  quickstart: ['run', 'kernel', 'image', 'rust'],
  build: ['run', 'kernel', 'image', 'rust'],
  bench: ['run', 'bridge', 'kernel', 'image', 'rust'],
  test: ['run', 'bridge', 'kernel', 'image', 'rust', 'lint', 'test'],
  check: ['rust', 'lint'],
  generate: ['rust'],
};

/** Where a distribution names things differently. @type {Readonly<Record<string, Readonly<Record<string, string>>>>} */
const distributions = {
  ubuntu: { chromium: 'chromium-browser' },
};

/**
 * Compiler packages, best first; the first family that apt offers in a new enough version is taken. Debian 12
 * has a newer compiler under another name, Ubuntu has one package per version.
 */
export const rustFamilies = [
  { compiler: ['rustc', 'cargo'], rustfmt: 'rustfmt', clippy: 'rust-clippy' },
  { compiler: ['rustc-web', 'cargo-web'], rustfmt: 'rustfmt-web', clippy: 'rust-clippy-web' },
  ...[95, 94, 93, 92, 91, 90, 89, 88, 87, 86, 85].map((minor) => ({
    compiler: [`rustc-1.${minor}`, `cargo-1.${minor}`],
    rustfmt: `rustfmt-1.${minor}`,
    clippy: `rust-1.${minor}-clippy`,
  })),
];
const neededRustMinor = 85;

/**
 * The needs of a task that this machine does not meet.
 * @param {string} task
 * @param {{ hasCommand(name: string): boolean, hasFile(pattern: string): boolean, hasCargo(): boolean }} machine
 * @returns {readonly Need[]}
 */
export function unmetNeeds(task, machine = thisMachine) {
  const groups = groupsOfTask[task] ?? [];
  return needs.filter((need) => {
    if (!groups.includes(need.group)) return false;
    if (need.check === 'cargo') return !machine.hasCargo();
    if (need.file !== undefined) return !machine.hasFile(need.file);
    return !(need.commands ?? []).some((name) => machine.hasCommand(name));
  });
}

/**
 * The apt packages that meet them.
 * @param {readonly Need[]} unmet
 * @param {string} distribution  ID of os-release
 * @param {(names: readonly string[]) => ReadonlyMap<string, string>} candidates  versions apt offers
 * @returns {{ packages: readonly string[], impossible: readonly Need[] }}
 */
export function packagesFor(unmet, distribution, candidates) {
  const packages = new Set();
  const impossible = [];
  // A compiler that is there already (rustup's, say) has its own tools; apt's would not fit it.
  const family = unmet.some((need) => need.check === 'cargo') ? rustFamily(candidates) : undefined;
  for (const need of unmet) {
    const wanted =
      need.check === 'cargo'
        ? family?.compiler
        : need.group === 'lint'
          ? offered([family?.[need.what] ?? ''], candidates)
          : offered(
              need.packages.map((name) => distributions[distribution]?.[name] ?? name),
              candidates,
            );
    if (wanted !== undefined) {
      for (const name of wanted) {
        packages.add(name);
      }
    } else if (need.optional !== true) {
      impossible.push(need);
    }
  }
  return { packages: [...packages].sort(), impossible };
}

/** @returns {readonly string[] | undefined} */
function offered(names, candidates) {
  const found = candidates(names.filter((name) => name !== ''));
  const name = names.find((one) => found.has(one));
  return name === undefined ? undefined : [name];
}

function rustFamily(candidates) {
  const found = candidates(rustFamilies.flatMap((family) => family.compiler));
  return rustFamilies.find((family) =>
    family.compiler.every((name) => {
      const minor = /^1\.(\d+)/.exec(found.get(name) ?? '')?.[1];
      return minor !== undefined && Number(minor) >= neededRustMinor;
    }),
  );
}

/**
 * Versions from the output of `apt-cache policy`.
 * @param {string} text
 * @returns {ReadonlyMap<string, string>}
 */
export function parsePolicy(text) {
  const found = new Map();
  let name;
  for (const line of text.split('\n')) {
    const heading = /^(\S+):$/.exec(line);
    if (heading !== null) name = heading[1];
    // An epoch is of no interest here.
    const version = /^ {2}Candidate: (?:\d+:)?(\S+)$/.exec(line)?.[1];
    if (name !== undefined && version !== undefined && version !== '(none)') {
      found.set(name, version);
    }
  }
  return found;
}

/** @param {readonly string[]} names */
export function aptCandidates(names) {
  if (names.length === 0) {
    return new Map();
  }
  const { stdout } = spawnSync('apt-cache', ['policy', ...names], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
  });
  return parsePolicy(stdout ?? '');
}

/** @returns {{ id: string, name: string }} */
export function distribution(path = '/etc/os-release') {
  let text = '';
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    // No such file: no distribution we know.
  }
  const value = (name) => new RegExp(`^${name}="?([^"\\n]*)"?$`, 'm').exec(text)?.[1] ?? '';
  return { id: value('ID'), name: value('PRETTY_NAME') || 'this system' };
}

const searchPath = [
  ...(process.env.PATH ?? '').split(delimiter),
  '/usr/local/sbin',
  '/usr/sbin',
  '/sbin',
];

export const thisMachine = {
  hasCommand: (name) => searchPath.some((directory) => isExecutable(join(directory, name))),
  hasFile(pattern) {
    const slash = pattern.lastIndexOf('/');
    const expression = new RegExp(
      `^${pattern
        .slice(slash + 1)
        .split('*')
        .map((part) => part.replace(/[.]/g, '\\.'))
        .join('.+')}$`,
    );
    try {
      return readdirSync(pattern.slice(0, slash)).some((name) => expression.test(name));
    } catch {
      return false;
    }
  },
  /** As images/agent/findCargo.ts looks for it. */
  hasCargo() {
    let versioned = [];
    try {
      versioned = readdirSync('/usr/bin').filter((name) => /^cargo-1\.\d+$/.test(name));
    } catch {
      // Nothing there.
    }
    const places = ['cargo', join(homedir(), '.cargo/bin/cargo'), '/usr/bin/cargo', ...versioned];
    return places.some((cargo) => {
      const { stdout } = spawnSync(cargo, ['--version'], { encoding: 'utf8' });
      const minor = /^cargo 1\.(\d+)\./.exec(stdout ?? '')?.[1];
      return minor !== undefined && Number(minor) >= neededRustMinor;
    });
  },
};

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
