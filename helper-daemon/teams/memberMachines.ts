/** The workspaces of members, made and destroyed as everybody's are. */
import { CoppiceError, isErrorCode } from '../../protocol/errors.ts';
import { limits } from '../../protocol/limits.ts';
import { forkWorkspace } from '../snapshots/fork.ts';
import type { WorkspaceRecord } from '../store/workspaceStore.ts';
import { callerKey } from '../workspaces/callers.ts';
import { createWorkspace } from '../workspaces/create.ts';
import { destroyWorkspace } from '../workspaces/destroy.ts';
import { reachableAddress } from '../workspaces/network.ts';
import { changePolicy } from '../workspaces/policies.ts';
import type { Pool } from '../workspaces/pool.ts';
import { resolveWorkspace } from '../workspaces/resolve.ts';
import type { WorkspaceServices } from '../workspaces/services.ts';
import type { Templates } from '../workspaces/templates.ts';
import type { MemberMachine, MemberMachines, MemberPlan, NewMember } from './teamServices.ts';

type Copies = Extract<MemberPlan, { kind: 'copies' }>;
type New = Extract<MemberPlan, { kind: 'new' }>;

export function memberMachines(
  services: WorkspaceServices,
  ready: { readonly templates: Templates; readonly pool: Pool },
): MemberMachines {
  async function destroy(workspaceId: string): Promise<void> {
    if (services.store.byId(workspaceId) === undefined) return;
    await destroyWorkspace(services, workspaceId);
  }

  async function copy(plan: Copies, { name, owner, signal }: NewMember): Promise<string> {
    const { workers, failures } = await forkWorkspace(
      services,
      { workspace_id: plan.workspaceId, snapshot_name: plan.snapshot, new_name: name },
      { owner: callerKey(owner), signal, progress: () => undefined, made: () => undefined },
    );
    const [made] = workers;
    if (made !== undefined) return made.workspace_id;
    const [failure] = failures;
    throw new CoppiceError({
      code: isErrorCode(failure?.code) ? failure.code : 'internal',
      message: failure?.error ?? 'No copy was made.',
    });
  }

  async function createNew(plan: New, { name, owner, signal }: NewMember): Promise<string> {
    const { record } = await createWorkspace(
      services,
      ready,
      {
        name,
        base_image: plan.baseImage,
        vcpus: plan.vcpus,
        memory_mb: plan.memoryMb,
        disk_gb: plan.diskGb,
      },
      { owner: callerKey(owner), signal, progress: () => undefined },
    );
    return record.id;
  }

  function view(record: WorkspaceRecord | undefined): MemberMachine | undefined {
    if (record?.role !== 'user') return undefined;
    const { id, name, state, owner, createdAt } = record;
    return {
      workspaceId: id,
      name,
      state,
      ip: reachableAddress(services, record),
      owner,
      createdAt,
    };
  }

  return {
    resolve: (reference) => resolveWorkspace(services.store, reference).id,
    require(plan, owner, count) {
      const size =
        plan.kind === 'copies'
          ? resolveWorkspace(services.store, plan.workspaceId)
          : {
              vcpus: plan.vcpus ?? limits.vcpus.default,
              memoryMb: plan.memoryMb ?? limits.memoryMb.default,
              diskGb: plan.diskGb ?? limits.diskGb.default,
            };
      services.quotas.require({ ...size, owner: callerKey(owner), role: 'user' }, count);
    },
    async create(plan, member) {
      const id = plan.kind === 'copies' ? await copy(plan, member) : await createNew(plan, member);
      try {
        await changePolicy(services, { workspace_id: id, team: member.network });
        return id;
      } catch (error) {
        await destroy(id);
        throw error;
      }
    },
    find: (workspaceId) => view(services.store.byId(workspaceId)),
    named: (name) => view(services.store.byName(name)),
    destroy,
    async release(workspaceId) {
      await changePolicy(services, { workspace_id: workspaceId, team: '' });
    },
  };
}
