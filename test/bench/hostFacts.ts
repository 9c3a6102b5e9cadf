/** What a reader of the numbers must know about the machine they were taken on. */
import { execFileSync } from 'node:child_process';
import os from 'node:os';
import { microvm } from '../../helper-daemon/engine/qemu/machineFacts.ts';

export interface HostFacts {
  readonly node: string;
  readonly qemu: string;
  readonly cores: number;
  readonly model: string | undefined;
  readonly memory_bytes: number;
  readonly kernel: string;
  /** Of the last 1, 5 and 15 minutes, when the bench began. */
  readonly load_average: readonly number[];
}

/** More than one busy core beside the bench, and its numbers are about something else. */
const quietLoad = 1;

export function hostFacts(): HostFacts {
  const version = execFileSync(microvm.program, ['--version'], { encoding: 'utf8' });
  return {
    node: process.version,
    qemu: /version (\S+)/.exec(version)?.[1] ?? version.trim(),
    cores: os.availableParallelism(),
    model: os.cpus()[0]?.model,
    memory_bytes: os.totalmem(),
    kernel: os.release(),
    load_average: os.loadavg(),
  };
}

/** One line on the machine. */
export function describeHost(host: HostFacts): string {
  return `Node ${host.node}, QEMU ${host.qemu}, ${String(host.cores)} cores, load average ${loads(host)} at the start.`;
}

/** Undefined on a quiet machine. */
export function loadWarning(host: HostFacts): string | undefined {
  if ((host.load_average[0] ?? 0) <= quietLoad) return undefined;
  return `Warning: the load average is ${loads(host)}. Other programs use this machine; times are too long and ratios uncertain.`;
}

function loads({ load_average }: HostFacts): string {
  return load_average.map((load) => load.toFixed(2)).join(' ');
}
