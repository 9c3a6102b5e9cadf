/** Boots machines for engine tests: a run directory of its own each, and nothing left afterwards. */
import { randomBytes, randomUUID } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type {
  Engine,
  Machine,
  MachineIdentity,
  MachineSpec,
} from '../../../helper-daemon/engine/machine.ts';
import {
  createQemuEngine,
  type QemuEngineOptions,
} from '../../../helper-daemon/engine/qemu/qemuEngine.ts';
import { openGuestLink, type GuestLink } from '../../../helper-daemon/guest/guestLink.ts';
import { readBootAssets, type BootAssets } from '../../../helper-daemon/images/bootAssets.ts';

export interface TestMachine {
  readonly machine: Machine;
  readonly spec: MachineSpec;
  readonly key: string;
  readonly link: GuestLink;
}

export interface TestBed {
  readonly engine: Engine;
  /** Removed with everything in it by dispose. */
  readonly directory: string;
  /** Identities as they were recorded, by run id. */
  readonly recorded: Map<string, MachineIdentity>;
  spec(changes?: Partial<MachineSpec>): MachineSpec;
  launch(changes?: Partial<MachineSpec>): Promise<TestMachine>;
  link(machine: Machine, key: string, generation?: number): GuestLink;
  /** Lets machines that run under an account of their own pass through the directories of the test. */
  openToAccounts(...others: readonly string[]): void;
  dispose(): Promise<void>;
}

export async function openTestBed(
  engineOptions: Partial<QemuEngineOptions> = {},
): Promise<TestBed> {
  const assets: BootAssets = await readBootAssets();
  const directory = mkdtempSync(path.join(os.tmpdir(), 'cop-'));
  const engine = createQemuEngine({
    accelCache: path.join(directory, 'accelerator.json'),
    accelerator: process.env['COPPICE_ACCEL'] ?? 'tcg',
    ...engineOptions,
  });
  const accelerator = await engine.accelerator();
  const recorded = new Map<string, MachineIdentity>();
  const runs: MachineSpec[] = [];
  const links: GuestLink[] = [];

  function spec(changes: Partial<MachineSpec> = {}): MachineSpec {
    const runId = changes.runId ?? randomUUID();
    const made: MachineSpec = {
      workspaceId: `test-${runId.slice(0, 8)}`,
      runId,
      runDir: mkdtempSync(path.join(directory, 'r-')),
      vcpus: 1,
      memoryMb: 128,
      kernel: assets.vmlinux,
      initramfs: assets.initramfs,
      kernelParameters: {
        'coppice.key': randomBytes(32).toString('hex'),
        'coppice.generation': '1',
        'coppice.hostname': 'engine-test',
      },
      accelerator,
      transport: { kind: 'virtio-serial' },
      ...changes,
    };
    runs.push(made);
    return made;
  }

  function link(machine: Machine, key: string, generation = 1): GuestLink {
    const made = openGuestLink({ machine, channelKey: key, generation });
    links.push(made);
    return made;
  }

  return {
    engine,
    directory,
    recorded,
    spec,
    link,
    async launch(changes) {
      const made = spec(changes);
      const machine = await engine.launch(made, (identity) => recorded.set(made.runId, identity));
      const key = made.kernelParameters['coppice.key'] ?? '00'.repeat(32);
      return { machine, spec: made, key, link: link(machine, key) };
    },
    openToAccounts(...others) {
      for (const one of [directory, ...others]) chmodSync(one, 0o755);
    },
    async dispose() {
      for (const one of links) one.close();
      for (const run of runs) await engine.reap(run);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
