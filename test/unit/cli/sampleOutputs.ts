/** Outputs of operations as a daemon would give them, for tests of how they look. */
import type { RenderContext } from '../../../helper-daemon/cli/render/renderContext.ts';
import { unicodeGlyphs } from '../../../helper-daemon/cli/text/glyphs.ts';
import { plainStyle } from '../../../helper-daemon/cli/text/style.ts';
import type { OutputOf } from '../../../protocol/operations.ts';
import type { SnapshotInfo } from '../../../protocol/operations/snapshotModel.ts';
import type { WorkspaceSummary } from '../../../protocol/operations/workspaceModel.ts';

const mebibyte = 1024 * 1024;
const now = Date.parse('2026-01-02T00:00:00Z');

export function rendering(more: Partial<RenderContext> = {}): RenderContext {
  return { style: plainStyle, glyphs: unicodeGlyphs, now, input: {}, ...more };
}

/** The id a sample has; any name. */
export function idOf(name: string): string {
  const hex = Buffer.from(name).toString('hex').padEnd(12, '0').slice(-12);
  return `00000000-0000-4000-8000-${hex}`;
}

export function snapshot(
  name: string,
  parent: string | null,
  facts: Partial<SnapshotInfo> & { readonly forks?: readonly string[] } = {},
): SnapshotInfo {
  const { forks = [], ...rest } = facts;
  return {
    snapshot_id: idOf(name),
    name,
    workspace_id: idOf('demo'),
    description: '',
    parent: parent === null ? null : idOf(parent),
    current: false,
    has_memory: false,
    implicit: false,
    created_at: new Date(now - 3_600_000).toISOString(),
    used_bytes: 2 * mebibyte,
    total_bytes: 900 * mebibyte,
    dependents: forks.map((fork) => ({ workspace_id: idOf(fork), name: fork })),
    ...rest,
  };
}

export function tree(
  snapshots: readonly SnapshotInfo[],
  current: string | null,
  facts: Partial<OutputOf<'snapshot_list'>> = {},
): OutputOf<'snapshot_list'> {
  return {
    workspace_id: idOf('demo'),
    name: 'demo',
    current: current === null ? null : idOf(current),
    forked_from: null,
    head_bytes: 3.2 * mebibyte,
    snapshots: snapshots.map((one) => ({ ...one, current: one.name === current })),
    ...facts,
  };
}

export function machine(name: string, facts: Partial<WorkspaceSummary> = {}): WorkspaceSummary {
  return {
    workspace_id: idOf(name),
    name,
    state: 'running',
    ip: null,
    base_image: 'debian-dev',
    resources: { vcpus: 2, memory_mb: 512, disk_gb: 10 },
    created_at: new Date(now - 60_000).toISOString(),
    owner: null,
    ephemeral: false,
    snapshot: null,
    forked_from: null,
    expires_at: null,
    problem: null,
    ...facts,
  };
}

export function fork(
  made: readonly string[],
  failed: readonly string[] = [],
  facts: Partial<OutputOf<'workspace_fork'>> = {},
): OutputOf<'workspace_fork'> {
  return {
    source_workspace_id: idOf('web'),
    source_workspace_name: 'web',
    snapshot_id: idOf('f'),
    snapshot_name: 'fork-1',
    live: true,
    requested_count: made.length + failed.length,
    success_count: made.length,
    failure_count: failed.length,
    pause_ms: 35.4,
    workers: made.map((name, index) => ({
      ...machine(name),
      index: index + 1,
      ready_ms: 120 + index,
    })),
    failures: failed.map((name, index) => ({
      index: made.length + index + 1,
      name,
      code: 'no_memory',
      error: 'There are only 120 MiB left.',
    })),
    ...facts,
  };
}
