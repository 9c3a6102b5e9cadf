/**
 * Whether KVM works here is found out by running a tiny guest under it: a /dev/kvm that exists but cannot
 * run a stock kernel is common where the host is itself a machine.
 */
import fs from 'node:fs';
import fsp from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { CoppiceError } from '../../../protocol/errors.ts';
import { spawnDetached } from '../../system/run.ts';
import type { Accelerator } from '../machine.ts';
import { readProcessStat, signalProcess } from '../processIdentity.ts';
import { probePassed, probeRom } from './accelProbeRom.ts';

export interface AccelProbeOptions {
  /** Resolved path of QEMU. */
  readonly program: string;
  /** Where the verdict is kept. */
  readonly cacheFile: string;
  /** COPPICE_ACCEL; `auto` and absent: find out. */
  readonly wanted?: string | undefined;
  readonly device?: string;
  readonly deadlineMs?: number;
}

interface Verdict {
  readonly key: string;
  readonly kvm: boolean;
}

/** @throws CoppiceError `invalid_input` when COPPICE_ACCEL is neither kvm, tcg nor auto */
export async function chooseAccelerator(options: AccelProbeOptions): Promise<Accelerator> {
  const { wanted = 'auto', device = '/dev/kvm' } = options;
  if (wanted === 'kvm' || wanted === 'tcg') return wanted;
  if (wanted !== 'auto' && wanted !== '') {
    throw new CoppiceError({
      code: 'invalid_input',
      message: `COPPICE_ACCEL is ${JSON.stringify(wanted)}; it can be kvm, tcg or auto.`,
    });
  }
  if (!canOpen(device)) return 'tcg';
  const key = verdictKey(options.program, device);
  const cached = await readVerdict(options.cacheFile);
  if (cached?.key === key) return cached.kvm ? 'kvm' : 'tcg';
  const kvm = await runProbe(options.program, 'kvm', options.deadlineMs);
  await writeVerdict(options.cacheFile, { key, kvm });
  return kvm ? 'kvm' : 'tcg';
}

/** True when the probe guest ran to its end in time under this accelerator. */
async function runProbe(
  program: string,
  accelerator: Accelerator,
  deadlineMs = 1_000,
): Promise<boolean> {
  const dir = await fsp.mkdtemp(path.join(os.tmpdir(), 'coppice-probe-'));
  try {
    const rom = path.join(dir, 'probe.rom');
    await fsp.writeFile(rom, probeRom());
    const child = spawnDetached(program, probeArguments(rom, accelerator), { inheritEnv: false });
    const startTime = readProcessStat(child.pid)?.startTime ?? '';
    // An interval, because a detached child alone does not keep a short-lived caller waiting.
    const timer = setInterval(() => {
      signalProcess({ pid: child.pid, startTime, executable: program }, 'SIGKILL');
    }, deadlineMs);
    const { code } = await child.exited;
    clearInterval(timer);
    return code === probePassed;
  } finally {
    await fsp.rm(dir, { recursive: true, force: true });
  }
}

function probeArguments(rom: string, accelerator: Accelerator): string[] {
  return [
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-machine', 'microvm,acpi=off', '-accel', accelerator, '-m', '16'],
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ...['-bios', rom, '-device', 'isa-debug-exit,iobase=0x501,iosize=2'],
  ];
}

/** Everything that may change the answer: the program, the kernel, this boot, the device node. */
function verdictKey(program: string, device: string): string {
  const bootId = readText('/proc/sys/kernel/random/boot_id');
  return [fileMark(program), os.release(), bootId, fileMark(device)].join(' ');
}

function fileMark(file: string): string {
  const stat = fs.statSync(file);
  return `${file}:${String(stat.ino)}:${String(stat.size)}:${String(stat.mtimeMs)}`;
}

function readText(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8').trim();
  } catch {
    return '';
  }
}

function canOpen(device: string): boolean {
  try {
    fs.accessSync(device, fs.constants.R_OK | fs.constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

async function readVerdict(file: string): Promise<Verdict | undefined> {
  try {
    const value = JSON.parse(await fsp.readFile(file, 'utf8')) as Partial<Verdict> | null;
    if (typeof value?.key !== 'string' || typeof value.kvm !== 'boolean') return undefined;
    return { key: value.key, kvm: value.kvm };
  } catch {
    return undefined;
  }
}

/** Losing the verdict only costs another probe. */
async function writeVerdict(file: string, verdict: Verdict): Promise<void> {
  const temporary = `${file}.${String(process.pid)}`;
  try {
    await fsp.mkdir(path.dirname(file), { recursive: true });
    await fsp.writeFile(temporary, JSON.stringify(verdict));
    await fsp.rename(temporary, file);
  } catch {
    await fsp.rm(temporary, { force: true });
  }
}
