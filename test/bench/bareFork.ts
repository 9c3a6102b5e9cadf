/**
 * The baseline of forks: the engine alone. A machine that has continued from a memory image, as those made
 * from templates have, is captured, and another one continues from that. No daemon, no database.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import path from 'node:path';
import type {
  Engine,
  Machine,
  MachineSpec,
  MemoryImage,
} from '../../helper-daemon/engine/machine.ts';
import { createQemuEngine } from '../../helper-daemon/engine/qemu/qemuEngine.ts';
import { openGuestLink, type GuestLink } from '../../helper-daemon/guest/guestLink.ts';
import { cardOfBare, overlayOn, prepareDisk, type BareOptions } from './bareMachine.ts';
import { own } from './cleanup.ts';
import { timed } from './samples.ts';

export interface BareForkSample {
  /** Capture of the source: pages that are its own, devices, the move to another disk. */
  readonly captureMs: number;
  readonly pausedMs: number;
  readonly copiedBytes: number;
  /** QEMU's start, hello, ping; until the last copy has answered. */
  readonly resumeMs: number;
  /** Identity and the first command, after that. */
  readonly execMs: number;
}

export interface BareForks {
  /** All copies at once, each going on as soon as it can. */
  sample(count: number): Promise<BareForkSample>;
  close(): Promise<void>;
}

interface Bare {
  readonly spec: MachineSpec;
  readonly machine: Machine;
  readonly link: GuestLink;
}

export async function openBareForks(options: BareOptions): Promise<BareForks> {
  const engine = createQemuEngine({
    accelCache: path.join(options.directory, 'bare-accelerator.json'),
    accelerator: options.accelerator,
  });
  const key = randomBytes(32).toString('hex');
  const running = new Set<Bare>();
  const close = own(async () => {
    for (const bare of [...running]) await end(bare);
  });

  async function launch(disk: string, generation: number, from?: MemoryImage): Promise<Bare> {
    const spec = specOf(options, key, disk, from);
    const machine = await engine.launch(spec, () => undefined);
    const link = openGuestLink({ machine, channelKey: key, generation });
    const bare = { spec, machine, link };
    running.add(bare);
    await link.connect(AbortSignal.timeout(120_000));
    await (await link.clients()).system.ping({});
    return bare;
  }

  async function end(bare: Bare): Promise<void> {
    running.delete(bare);
    bare.link.close();
    await reap(engine, bare.spec);
  }

  const booted = await launch(prepareDisk(options), 1);
  await firstCommand(booted.link, 1);
  const template = await freeze(options.directory, booted);
  await end(booted);
  const source = await launch(overlayOn(options.directory, template.frozen), 2, template.image);
  await firstCommand(source.link, 2);
  template.image.release();

  let generation = 2;
  let disk = source.spec.disk?.path ?? '';
  return {
    async sample(count) {
      generation += 1;
      const next = overlayOn(options.directory, disk);
      const childDisks = Array.from({ length: count }, () => overlayOn(options.directory, disk));
      disk = next;
      const captured = await timed(() => capture(source.machine, next));
      const { image, pausedMs, copiedBytes } = captured.value;
      const copies: Bare[] = [];
      const resumes: number[] = [];
      try {
        const all = await timed(() =>
          Promise.all(
            childDisks.map(async (childDisk) => {
              const copy = await timed(() => launch(childDisk, generation, image));
              copies.push(copy.value);
              resumes.push(copy.ms);
              await firstCommand(copy.value.link, generation);
            }),
          ),
        );
        const resumeMs = Math.max(...resumes);
        return {
          captureMs: captured.ms,
          pausedMs,
          copiedBytes,
          resumeMs,
          execMs: all.ms - resumeMs,
        };
      } finally {
        for (const copy of copies) await end(copy);
        image.release();
      }
    },
    close,
  };
}

function specOf(
  options: BareOptions,
  key: string,
  disk: string,
  from: MemoryImage | undefined,
): MachineSpec {
  const runId = randomUUID();
  return {
    workspaceId: `bare-${runId.slice(0, 8)}`,
    runId,
    runDir: mkdtempSync(path.join(options.directory, 'bare-')),
    vcpus: options.vcpus,
    memoryMb: options.memoryMb,
    disk: { path: disk, format: 'qcow2' },
    network: cardOfBare,
    kernel: options.assets.vmlinux,
    initramfs: options.assets.initramfs,
    kernelParameters: {
      'coppice.key': key,
      'coppice.generation': '1',
      'coppice.hostname': 'bare',
      'coppice.root': '/dev/vda',
    },
    accelerator: options.accelerator,
    transport: { kind: 'virtio-serial' },
    ...(from === undefined ? {} : { resumeFrom: from }),
  };
}

async function reap(engine: Engine, spec: MachineSpec): Promise<void> {
  await engine.reap({ runId: spec.runId, runDir: spec.runDir });
}

/** As the daemon does: a copy is told who it is before anything runs in it. */
async function firstCommand(link: GuestLink, generation: number): Promise<void> {
  const { system, process } = await link.clients();
  await system.configure({
    generation: BigInt(generation),
    hostname: `bare-${String(generation)}`,
    realtimeNs: BigInt(Date.now()) * 1_000_000n,
    entropy: randomBytes(64),
    release: true,
  });
  const { exited } = await process.exec({ spec: { command: 'true' } });
  if (exited?.exitCode !== 0) throw new Error('true failed in a bare copy');
}

/** Everything of a machine that will not run any more. */
async function freeze(
  directory: string,
  { machine, spec }: Bare,
): Promise<{ readonly image: MemoryImage; readonly frozen: string }> {
  const frozen = spec.disk?.path ?? '';
  const { image } = await capture(machine, overlayOn(directory, frozen));
  return { image, frozen };
}

async function capture(
  machine: Machine,
  next: string,
): Promise<{
  readonly image: MemoryImage;
  readonly pausedMs: number;
  readonly copiedBytes: number;
}> {
  const { memory, pausedMs, copiedBytes } = await machine.capture({
    memory: { id: randomUUID() },
    switchTo: { path: next, format: 'qcow2' },
  });
  if (memory === undefined) throw new Error('no memory was captured');
  return { image: memory, pausedMs, copiedBytes };
}
