/** What an image of a QEMU machine is bound to, read from its arguments: planned ones or those it runs with. */
import { createHash } from 'node:crypto';
import fsp from 'node:fs/promises';
import { CoppiceError } from '../../../protocol/errors.ts';
import { clockKey } from '../memory/binding.ts';
import type { MachineBinding } from '../machine.ts';
import { commandLine } from '../processIdentity.ts';
import { qemuBuild } from './qemuBuild.ts';

/** Options that shape the device state; all others name files, sockets and ids. */
const deviceOptions: ReadonlySet<string> = new Set(['-device', '-netdev', '-global', '-serial']);
/** Values that differ from machine to machine. */
const ownValues = /\b(mac|guest-cid|vhostfd|drive)=[^,]*/g;

/** Of arguments that the engine is about to use. @throws CoppiceError `internal` */
export async function bindingOf(
  program: string,
  args: readonly string[],
  tscKhz: number | undefined,
): Promise<MachineBinding> {
  const machine = valueOf(args, '-machine');
  const accelerator = valueOf(args, '-accel').split(',')[0] ?? '';
  const processor = valueOf(args, '-cpu');
  const devices = deviceLines(args);
  return {
    QEMU: await qemuBuild(program),
    'machine type': machine.replace(/,memory-backend=.*$/, ''),
    accelerator,
    processor: accelerator === 'kvm' ? `${processor} ${await hostProcessor()}` : processor,
    [clockKey]: String(tscKhz ?? 'unknown'),
    vcpus: /cpus=(\d+)/.exec(valueOf(args, '-smp'))?.[1] ?? '',
    memory: valueOf(args, '-m').replace('size=', ''),
    transport: devices.some((line) => line.includes('vhost-vsock')) ? 'vsock' : 'virtio-serial',
    'network card': args.includes('-netdev') ? kindOf(valueOf(args, '-netdev')) : 'none',
    devices: createHash('sha256').update(devices.join('\n')).digest('hex').slice(0, 16),
  };
}

/** Of a running machine, also one of an earlier daemon. */
export function bindingOfProcess(pid: number, tscKhz: number | undefined): Promise<MachineBinding> {
  return bindingOf(`/proc/${String(pid)}/exe`, commandLine(pid), tscKhz);
}

function deviceLines(args: readonly string[]): string[] {
  const lines: string[] = [];
  for (const [index, option] of args.entries()) {
    if (!deviceOptions.has(option)) continue;
    const value = args[index + 1] ?? '';
    // Of a backend only its kind shapes the card: the rest is where it leads on this host.
    const shape = option === '-netdev' ? kindOf(value) : value.replaceAll(ownValues, '$1=*');
    lines.push(`${option} ${shape}`);
  }
  return lines;
}

function kindOf(backend: string): string {
  return backend.split(',')[0] ?? '';
}

function valueOf(args: readonly string[], option: string): string {
  const at = args.indexOf(option);
  const value = at < 0 ? undefined : args[at + 1];
  if (value !== undefined) return value;
  throw new CoppiceError({
    code: 'internal',
    message: `The arguments of the machine's monitor lack ${option}.`,
  });
}

/** `-cpu host` is whatever this host has. */
async function hostProcessor(): Promise<string> {
  const text = await fsp.readFile('/proc/cpuinfo', 'utf8');
  const model = /^model name\s*:\s*(.*)$/m.exec(text)?.[1] ?? 'unknown';
  const flags = /^flags\s*:\s*(.*)$/m.exec(text)?.[1] ?? '';
  const digest = createHash('sha256').update(flags).digest('hex').slice(0, 16);
  return `${model} ${digest}`;
}
