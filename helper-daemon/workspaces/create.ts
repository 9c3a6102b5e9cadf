import { randomUUID } from 'node:crypto';
import { CoppiceError } from '../../protocol/errors.ts';
import { limits } from '../../protocol/limits.ts';
import type { ParsedInputOf } from '../../protocol/operations.ts';
import type { WorkspaceRecord } from '../store/workspaceStore.ts';
import { requireDisk } from './admission.ts';
import type { BootOptions } from './boot.ts';
import { bringUp, expiry, type Draft } from './bringUp.ts';
import { policyFrom } from './policies.ts';
import type { Pool } from './pool.ts';
import type { WorkspaceServices } from './services.ts';
import type { MachineKind, Templates } from './templates.ts';

export interface Created {
  readonly record: WorkspaceRecord;
  readonly fromPool: boolean;
  readonly fromTemplate: boolean;
}

/**
 * Makes a workspace and starts it: a machine that was kept ready, or one that continues from a template, or one
 * that boots; whichever it is, it has what was asked for.
 * @throws CoppiceError see workspace_create in protocol/
 */
export async function createWorkspace(
  services: WorkspaceServices,
  ready: { readonly templates: Templates; readonly pool: Pool },
  input: ParsedInputOf<'workspace_create'>,
  options: BootOptions & { readonly owner: string | null },
): Promise<Created> {
  const image = await services.images.require(input.base_image);
  const kind: MachineKind = {
    image,
    vcpus: input.vcpus ?? limits.vcpus.default,
    memoryMb: input.memory_mb ?? limits.memoryMb.default,
    diskGb: input.disk_gb ?? limits.diskGb.default,
  };
  await requireDisk(services.paths.workspaces);
  const id = randomUUID();
  const draft: Draft = {
    role: 'user',
    name: input.name ?? `ws-${id.slice(0, 8)}`,
    imageName: image.name,
    imageDigest: image.digest,
    vcpus: kind.vcpus,
    memoryMb: kind.memoryMb,
    diskGb: kind.diskGb,
    init: input.init ?? 'agent',
    storage: services.storages.default().name,
    baseLayer: null,
    ephemeral: input.ephemeral ?? false,
    idleSuspendSecs: input.idle_suspend_secs ?? 0,
    expiresAt: expiry(services, input.ttl_secs),
    network: await policyFrom(services, undefined, input),
    owner: options.owner,
  };
  services.quotas.require(draft);
  // The image's own init is somebody from its first moment on: it boots.
  if (draft.init === 'agent') {
    const pooled = await ready.pool.claim(kind, draft, options);
    if (pooled !== undefined) return { record: pooled, fromPool: true, fromTemplate: true };
    const continued = await fromTemplate(services, ready.templates, kind, draft, id, options);
    if (continued !== undefined) return { record: continued, fromPool: false, fromTemplate: true };
  }
  options.progress('Preparing the disk');
  const record = await bringUp(services, draft, options, id);
  if (draft.init === 'agent') ready.templates.wanted(kind);
  return { record, fromPool: false, fromTemplate: false };
}

async function fromTemplate(
  services: WorkspaceServices,
  templates: Templates,
  kind: MachineKind,
  draft: Draft,
  id: string,
  options: BootOptions,
): Promise<WorkspaceRecord | undefined> {
  const template = await templates.find(kind);
  if (template === undefined) return undefined;
  try {
    return await services.memories.use(template.memoryId, (from) =>
      bringUp(
        services,
        { ...draft, storage: templates.storageOf(template), baseLayer: template.layerId },
        { ...options, from, ...(kind.diskGb > template.diskGb ? { grow: 'disk' } : {}) },
        id,
      ),
    );
  } catch (error) {
    if (options.signal.aborted || isCallersFault(error)) throw error;
    // Whatever is wrong with it, booting does not need it.
    services.log.warn(
      { template: template.id, err: error },
      'template not usable, booting instead',
    );
    await templates.drop(template.id);
    return undefined;
  }
}

function isCallersFault(error: unknown): boolean {
  const codes = [
    'name_taken',
    'no_memory',
    'no_space',
    'cancelled',
    'limit_exceeded',
    'quota_exceeded',
  ];
  return error instanceof CoppiceError && codes.includes(error.code);
}
