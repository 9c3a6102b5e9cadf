/**
 * The baseline: QEMU with the daemon's arguments, our kernel and our agent, and nothing else. No daemon,
 * no database, no supervision: spawn, hello, HTTP/2, calls.
 */
import { spawn, execFileSync, type ChildProcess } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { MachineSpec } from '../../helper-daemon/engine/machine.ts';
import { qemuArguments } from '../../helper-daemon/engine/qemu/arguments.ts';
import { microvm } from '../../helper-daemon/engine/qemu/machineFacts.ts';
import { readTscKhz } from '../../helper-daemon/engine/qemu/program.ts';
import { runFiles } from '../../helper-daemon/engine/qemu/runFiles.ts';
import { openChannel, type Channel } from '../../helper-daemon/guest/channel.ts';
import { openConnection, type GuestClients } from '../../helper-daemon/guest/connection.ts';
import type { BootAssets } from '../../helper-daemon/images/bootAssets.ts';
import { own } from './cleanup.ts';

export interface BareMachine {
  readonly pid: number;
  readonly clients: GuestClients;
  close(): Promise<void>;
}

export interface BareOptions {
  readonly directory: string;
  readonly assets: BootAssets;
  readonly image: string;
  readonly accelerator: 'kvm' | 'tcg';
  readonly vcpus: number;
  readonly memoryMb: number;
  readonly diskGb: number;
}

/** Every machine of the daemon has a card, and its kernel spends time on it. */
export const cardOfBare = { mac: '52:54:00:be:ef:01', backend: { kind: 'none' } } as const;

/** The disk is made before the clock starts: it is no part of QEMU + kernel + agent. */
export function prepareDisk({ directory, image, diskGb }: BareOptions): string {
  return overlayOn(directory, image, [`${String(diskGb)}G`]);
}

/** A new file over `base`, laid out as the daemon lays out its own; its size where it is not that of `base`. */
export function overlayOn(directory: string, base: string, size: readonly string[] = []): string {
  const disk = path.join(directory, `${randomUUID()}.qcow2`);
  const layout = 'extended_l2=on,cluster_size=128k,backing_fmt=qcow2';
  execFileSync('qemu-img', [
    ...['create', '-q', '-f', 'qcow2', '-o', layout],
    ...['-b', base, disk, ...size],
  ]);
  return disk;
}

export async function bootBare(options: BareOptions, disk: string): Promise<BareMachine> {
  const key = randomBytes(32);
  const runDir = mkdtempSync(path.join(options.directory, 'bare-'));
  const spec: MachineSpec = {
    workspaceId: randomUUID(),
    runId: randomUUID(),
    runDir,
    vcpus: options.vcpus,
    memoryMb: options.memoryMb,
    disk: { path: disk, format: 'qcow2' },
    kernel: options.assets.vmlinux,
    initramfs: options.assets.initramfs,
    kernelParameters: {
      'coppice.key': key.toString('hex'),
      'coppice.generation': '1',
      'coppice.hostname': 'bare',
      'coppice.root': '/dev/vda',
    },
    accelerator: options.accelerator,
    transport: { kind: 'virtio-serial' },
    network: cardOfBare,
  };
  const tscKhz = await readTscKhz();
  const args = qemuArguments(microvm, spec, tscKhz === undefined ? {} : { tscKhz });
  const child = spawn(microvm.program, args, { stdio: 'ignore' });
  const end = own(() => endProcess(child));
  try {
    const clients = await reachAgent(runFiles(runDir).agent, key, child);
    return {
      pid: child.pid ?? -1,
      clients: clients.services,
      async close() {
        clients.close();
        await end();
        rmSync(runDir, { recursive: true, force: true });
        rmSync(disk, { force: true });
      },
    };
  } catch (error) {
    await end();
    throw error;
  }
}

async function reachAgent(
  socket: string,
  key: Buffer,
  child: ChildProcess,
): Promise<{ services: GuestClients; close: () => void }> {
  const options = { key, generation: 1n, signal: AbortSignal.timeout(120_000) };
  let channel: Channel | undefined;
  while (channel === undefined) {
    if (child.exitCode !== null) throw new Error('QEMU ended before its agent answered.');
    // Bound but not yet listening counts as not there.
    channel = await openChannel({ kind: 'unix', path: socket }, options).catch(notYet);
    if (channel === undefined) await delay(1);
  }
  const connection = await openConnection(channel);
  return { services: connection.clients, close: () => connection.close('the measurement is over') };
}

function notYet(error: unknown): undefined {
  if (error instanceof Error && /ENOENT|ECONNREFUSED/.test(error.message)) return undefined;
  throw error;
}

async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}
