/** Machines that descend from one another, for tests of captures and clones. */
import { execFileSync } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import path from 'node:path';
import type {
  DiskFile,
  Machine,
  MachineSpec,
  MemoryImage,
} from '../../../helper-daemon/engine/machine.ts';
import type { GuestLink } from '../../../helper-daemon/guest/guestLink.ts';
import { imageOverlay } from './testImage.ts';
import type { TestBed, TestMachine } from './testMachine.ts';

const patience = (): AbortSignal => AbortSignal.timeout(60_000);

/** Boots a machine on the test image and waits for its agent. */
export async function bootOnImage(
  bed: TestBed,
  changes: Partial<MachineSpec> = {},
): Promise<TestMachine> {
  const made = await bed.launch({
    memoryMb: 256,
    disk: imageOverlay(bed.directory),
    kernelParameters: {
      'coppice.key': randomBytes(32).toString('hex'),
      'coppice.generation': '1',
      'coppice.root': '/dev/vda',
    },
    ...changes,
  });
  await made.link.connect(patience());
  return made;
}

/** Continues from an image of `parent`; it knows its generation before this resolves, unless it is paused. */
export async function cloneOf(
  bed: TestBed,
  parent: TestMachine,
  image: MemoryImage,
  generation: number,
  changes: Partial<MachineSpec> = {},
): Promise<TestMachine> {
  const made = await bed.launch({ ...inheritable(parent.spec), resumeFrom: image, ...changes });
  made.link.close();
  const link = bed.link(made.machine, parent.key, generation);
  if (changes.paused !== true) await introduceTo(link, generation);
  return { ...made, key: parent.key, link };
}

/** All of a machine but what it is alone. */
export function inheritable(spec: MachineSpec): Partial<MachineSpec> {
  const own: ReadonlySet<string> = new Set(['workspaceId', 'runId', 'runDir']);
  return Object.fromEntries(Object.entries(spec).filter(([name]) => !own.has(name)));
}

export async function introduceTo(link: GuestLink, generation: number): Promise<void> {
  await link.connect(patience());
  const { system } = await link.clients();
  await system.configure({
    generation: BigInt(generation),
    hostname: `generation-${String(generation)}`,
    realtimeNs: BigInt(Date.now()) * 1_000_000n,
    entropy: randomBytes(64),
  });
}

/** What a command in the guest prints; it fails when the command does. */
export async function guestSays(link: GuestLink, command: string): Promise<string> {
  const { process } = await link.clients();
  const result = await process.exec({ spec: { command } });
  const text = Buffer.from(result.stdout?.head ?? []).toString();
  if (result.exited?.exitCode !== 0) {
    const complaint = Buffer.from(result.stderr?.head ?? []).toString();
    throw new Error(`${command} failed in the guest: ${text}${complaint}`);
  }
  return text.trim();
}

/** Starts something in the guest that goes on when nobody looks. */
export async function startInGuest(link: GuestLink, command: string): Promise<void> {
  const { process } = await link.clients();
  await process.start({ spec: { command } });
}

/** A new qcow2 file that stands on `base`. */
export function overlayOn(bed: TestBed, base: string): DiskFile {
  const file = path.join(bed.directory, `${randomUUID()}.qcow2`);
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', file]);
  return { path: file, format: 'qcow2' };
}

export function diskOf({ spec }: TestMachine): string {
  if (spec.disk === undefined) throw new Error('the machine has no disk');
  return spec.disk.path;
}

/** Captures memory and moves the machine to a new overlay; what it had is `frozen`. */
export async function captureAll(
  bed: TestBed,
  machine: Machine,
  frozen: string,
): Promise<{ readonly image: MemoryImage; readonly frozen: string; readonly next: string }> {
  const next = overlayOn(bed, frozen);
  const { memory } = await machine.capture({ memory: { id: randomUUID() }, switchTo: next });
  if (memory === undefined) throw new Error('no memory was captured');
  return { image: memory, frozen, next: next.path };
}
