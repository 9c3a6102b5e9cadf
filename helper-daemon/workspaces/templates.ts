/**
 * Machines that were booted once and frozen the moment their agent was ready: new ones continue from there
 * instead of booting. A template is good for one image, one size and one version of everything it is made of.
 */
import { randomUUID } from 'node:crypto';
import { CoppiceError } from '../../protocol/errors.ts';
import { limits } from '../../protocol/limits.ts';
import type { TemplateInfo } from '../../protocol/operations/pool.ts';
import type { UsableImage } from '../images/catalogue.ts';
import type { TemplateRecord } from '../store/templateStore.ts';
import { requireDisk, requireMemory } from './admission.ts';
import type { BootOptions } from './boot.ts';
import { bringUp } from './bringUp.ts';
import { destroyWorkspace } from './destroy.ts';
import { freezeWorkspace } from './freeze.ts';
import { requireLayer } from './heads.ts';
import { collect } from './layerCare.ts';
import { cardOfThisHost, guestNetwork } from './network.ts';
import type { WorkspaceServices } from './services.ts';

export interface MachineKind {
  readonly image: UsableImage;
  readonly vcpus: number;
  readonly memoryMb: number;
  readonly diskGb: number;
}

export interface Templates {
  enabled(): boolean;
  setEnabled(enabled: boolean): void;
  /** The template machines of this kind can continue from. Their disk may be larger than its. */
  find(kind: MachineKind): Promise<TemplateRecord | undefined>;
  /** A machine of this kind had to boot: a template is built when things are quiet. */
  wanted(kind: MachineKind): void;
  /** Builds it now, or waits for the build that is going on. */
  prepare(
    kind: MachineKind,
    options: BootOptions & { readonly rebuild: boolean },
  ): Promise<TemplateInfo>;
  list(): TemplateInfo[];
  storageOf(template: TemplateRecord): 'qcow2' | 'zfs' | 'reflink';
  drop(id: string): Promise<void>;
  /** Drops those that no machine can continue from any more. */
  tidy(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Run in a template before it is frozen, so that what the first commands in a machine need is in its memory and
 * not read from disk in every copy. What an image lacks is skipped. At the end the guest comes to rest.
 */
const warmUp =
  'for command in /bin/true id "ls /" "cat /etc/hostname" "bash -c true" "git --version" "python3 -c pass"; do $command; done >/dev/null 2>&1; sync; sleep 1';
const warmUpMs = 20_000;

/** How long no machine must have been made before the daemon takes the time to build a template. */
const quietMs = 1_500;

export function templates(services: WorkspaceServices): Templates {
  const building = new Map<string, { kind: MachineKind; build: Promise<TemplateRecord> }>();
  const failed = new Map<string, TemplateInfo>();
  const used = new Map<string, number>();
  const waiting = new Map<string, MachineKind>();
  const closed = new AbortController();
  let timer: NodeJS.Timeout | undefined;

  const enabled = (): boolean =>
    process.env['COPPICE_TEMPLATES'] !== '0' && services.settings.get('templates') !== 'off';

  /** Disks can grow afterwards but not shrink: the usual size serves everything above it. */
  const diskGbOf = (kind: MachineKind): number => Math.min(kind.diskGb, limits.diskGb.default);

  async function keyOf(kind: MachineKind): Promise<string> {
    const [assets, accelerator] = await Promise.all([
      services.bootAssets(),
      services.engine.accelerator(),
    ]);
    const { vcpus, memoryMb } = kind;
    const binding = await services.engine.binding({
      vcpus,
      memoryMb,
      accelerator,
      transport: { kind: 'virtio-serial' },
      network: cardOfThisHost(services),
    });
    return JSON.stringify([
      kind.image.digest,
      diskGbOf(kind),
      services.storages.default().name,
      assets.vmlinuxSha256,
      assets.initramfsSha256,
      Object.entries(binding).sort(),
    ]);
  }

  function info(record: TemplateRecord): TemplateInfo {
    return {
      template_id: record.id,
      base_image: record.imageName,
      vcpus: record.vcpus,
      memory_mb: record.memoryMb,
      disk_gb: record.diskGb,
      state: 'ready',
      detail: null,
      memory_bytes: services.tree.memory(record.memoryId)?.bytes ?? 0,
      loaded: services.memories.isLoaded(record.memoryId),
      used: used.get(record.id) ?? 0,
      created_at: record.createdAt,
    };
  }

  function unready(
    kind: MachineKind,
    state: 'building' | 'failed',
    detail: string | null,
  ): TemplateInfo {
    return {
      template_id: randomUUID(),
      base_image: kind.image.name,
      vcpus: kind.vcpus,
      memory_mb: kind.memoryMb,
      disk_gb: diskGbOf(kind),
      state,
      detail,
      memory_bytes: 0,
      loaded: false,
      used: 0,
      created_at: services.now().toISOString(),
    };
  }

  function buildOnce(
    key: string,
    kind: MachineKind,
    options: BootOptions,
  ): Promise<TemplateRecord> {
    const going = building.get(key);
    if (going !== undefined) return going.build;
    failed.delete(key);
    const build = buildTemplate(services, key, { ...kind, diskGb: diskGbOf(kind) }, options);
    building.set(key, { kind, build });
    const forget = (): void => {
      building.delete(key);
    };
    build.then(forget, (error: unknown) => {
      forget();
      const detail = error instanceof Error ? error.message : String(error);
      failed.set(key, unready(kind, 'failed', detail));
    });
    return build;
  }

  async function buildWaiting(): Promise<void> {
    for (const [key, kind] of waiting) {
      if (closed.signal.aborted) return;
      waiting.delete(key);
      if (services.templates.byKey(key) !== undefined) continue;
      try {
        await buildOnce(key, kind, { signal: closed.signal, progress: () => undefined });
      } catch (error) {
        services.log.warn({ image: kind.image.name, err: error }, 'template not built');
      }
    }
  }

  async function drop(id: string): Promise<void> {
    services.templates.remove(id);
    await collect(services);
  }

  return {
    enabled,
    setEnabled: (on) => services.settings.set('templates', on ? 'on' : 'off'),
    async find(kind) {
      if (!enabled()) return undefined;
      const found = services.templates.byKey(await keyOf(kind));
      if (found !== undefined) used.set(found.id, (used.get(found.id) ?? 0) + 1);
      return found;
    },
    wanted(kind) {
      if (!enabled() || closed.signal.aborted) return;
      void keyOf(kind).then((key) => {
        // What failed once fails again, and building is not free.
        if (failed.has(key) || building.has(key)) return;
        waiting.set(key, kind);
        clearTimeout(timer);
        timer = setTimeout(() => void buildWaiting(), quietMs);
        timer.unref();
      });
    },
    async prepare(kind, { rebuild, ...options }) {
      if (!enabled()) {
        throw new CoppiceError({
          code: 'wrong_state',
          message: 'Templates are turned off.',
          next: 'Turn them on: coppice pool set --templates on.',
        });
      }
      const key = await keyOf(kind);
      const ready = services.templates.byKey(key);
      if (ready !== undefined && !rebuild) return info(ready);
      const record = await buildOnce(key, kind, options);
      if (ready !== undefined && ready.id !== record.id) await collect(services);
      return info(record);
    },
    list() {
      const going = [...building.values()].map(({ kind }) => unready(kind, 'building', null));
      return [...services.templates.all().map(info), ...going, ...failed.values()];
    },
    storageOf: (template) => requireLayer(services, template.layerId).storage,
    drop,
    async tidy() {
      for (const record of services.templates.all()) {
        const { imageName: name, imageDigest: digest, vcpus, memoryMb, diskGb } = record;
        const image = { name, digest, path: '', virtualBytes: 0 };
        const key = await keyOf({ image, vcpus, memoryMb, diskGb }).catch(() => undefined);
        const known = services.images.hasFile(digest);
        if (key === record.key && known) continue;
        services.log.info({ template: record.id }, 'template is of another version, dropping it');
        await drop(record.id);
      }
    },
    async close() {
      clearTimeout(timer);
      closed.abort();
      await Promise.allSettled([...building.values()].map(({ build }) => build));
    },
  };
}

/**
 * Boots a machine that nobody will ever be, freezes it when its agent is ready, and lets the machine go: the
 * layer and the memory stay.
 */
async function buildTemplate(
  services: WorkspaceServices,
  key: string,
  kind: MachineKind,
  options: BootOptions,
): Promise<TemplateRecord> {
  requireMemory(services, kind.memoryMb);
  await requireDisk(services.paths.state);
  const id = randomUUID();
  const { image, vcpus, memoryMb, diskGb } = kind;
  try {
    const machine = await bringUp(
      services,
      {
        role: 'template',
        name: `template-${id}`,
        imageName: image.name,
        imageDigest: image.digest,
        vcpus,
        memoryMb,
        diskGb,
        init: 'agent',
        storage: services.storages.default().name,
        baseLayer: null,
      },
      { ...options, as: 'nobody' },
      id,
    );
    options.progress('Warming up');
    await warm(services, id);
    options.progress('Freezing the machine');
    return await services.locks.run(id, async () => {
      let template: TemplateRecord | undefined;
      await freezeWorkspace(services, machine, {
        memory: 'file',
        stayPaused: true,
        progress: options.progress,
        publish: ({ layer, memoryRecord }) => {
          if (memoryRecord === undefined) throw new Error('a template without memory');
          template = {
            id,
            key,
            imageName: image.name,
            imageDigest: image.digest,
            vcpus,
            memoryMb,
            diskGb,
            layerId: layer.id,
            memoryId: memoryRecord.id,
            createdAt: services.now().toISOString(),
          };
          services.templates.put(template);
        },
      });
      if (template === undefined) throw new Error('the template was not stored');
      return template;
    });
  } finally {
    await destroyWorkspace(services, id, ['template']).catch(() => undefined);
  }
}

/** A template that could not be warmed up is still one. */
async function warm(services: WorkspaceServices, id: string): Promise<void> {
  try {
    const clients = await services.machines.get(id)?.link.clients();
    const record = services.store.byId(id);
    // The name server is the same for all: copies need not write it down.
    if (record !== undefined) {
      await clients?.system.configure({ network: guestNetwork(services, record) });
    }
    await clients?.process.exec({ spec: { command: warmUp, timeoutMs: BigInt(warmUpMs) } });
  } catch (error) {
    services.log.warn({ template: id, err: error }, 'template not warmed up');
  }
}
