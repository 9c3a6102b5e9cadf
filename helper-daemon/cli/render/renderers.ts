/** One human form per operation. Programs use --json. */
import type { OperationName, OutputOf } from '../../../protocol/operations.ts';
import * as audit from './audit.ts';
import * as daemon from './daemon.ts';
import { renderParallel } from './execParallel.ts';
import * as file from './file.ts';
import { renderForked } from './fork.ts';
import * as git from './git.ts';
import * as image from './image.ts';
import * as job from './job.ts';
import * as network from './network.ts';
import * as pool from './pool.ts';
import type { RenderContext } from './renderContext.ts';
import * as session from './session.ts';
import * as snapshot from './snapshot.ts';
import { renderDiff } from './snapshotDiff.ts';
import { renderTree } from './snapshotTree.ts';
import * as storage from './storage.ts';
import * as swarm from './swarm.ts';
import * as team from './team.ts';
import * as vault from './vault.ts';
import * as workspace from './workspace.ts';

export type Renderer<N extends OperationName> = (
  output: OutputOf<N>,
  context: RenderContext,
) => string;

/** Operations that open a stream or are no commands of their own have none. */
type Renderers = { readonly [N in OperationName]?: Renderer<N> };

export const renderers: Renderers = {
  workspace_create: workspace.renderCreated,
  workspace_list: workspace.renderList,
  workspace_info: workspace.renderInfo,
  workspace_start: workspace.renderState,
  workspace_stop: workspace.renderState,
  workspace_destroy: workspace.renderDestroyed,
  workspace_logs: workspace.renderLogs,
  workspace_stats: workspace.renderStats,
  workspace_pause: workspace.renderPaused,
  workspace_suspend: workspace.renderSuspended,
  workspace_resume: workspace.renderState,
  workspace_configure: workspace.renderConfigured,
  workspace_fork: renderForked,
  workspace_prepare: swarm.renderPrepared,
  swarm_status: swarm.renderSwarmStatus,
  swarm_results: swarm.renderSwarmResults,
  swarm_cancel: swarm.renderSwarmCancelled,
  swarm_list: swarm.renderSwarmList,
  snapshot_create: snapshot.renderCreated,
  snapshot_list: renderTree,
  snapshot_info: snapshot.renderInfo,
  snapshot_restore: snapshot.renderRestored,
  snapshot_delete: snapshot.renderDeleted,
  snapshot_rename: snapshot.renderRenamed,
  snapshot_diff: renderDiff,
  snapshot_file_list: file.renderList,
  process_start: job.renderStarted,
  process_list: job.renderList,
  process_get: job.renderJob,
  process_signal: job.renderSignalled,
  process_remove: job.renderRemoved,
  set_env: job.renderEnvSet,
  file_stat: file.renderStat,
  file_list: file.renderList,
  file_edit: file.renderEdited,
  file_make_directory: file.renderDone,
  file_remove: file.renderDone,
  file_rename: file.renderDone,
  file_copy: file.renderDone,
  file_search: file.renderMatches,
  git_clone: git.renderCloned,
  git_status: git.renderStatus,
  git_commit: git.renderCommitted,
  git_push: git.renderPushed,
  git_diff: git.renderDiff,
  workspace_adopt: session.renderAdopted,
  session_info: session.renderSession,
  exec_parallel: renderParallel,
  workspace_merge: git.renderMerged,
  image_list: image.renderList,
  image_build: image.renderReady,
  image_import: image.renderReady,
  image_remove: image.renderRemoved,
  network_policy: network.renderPolicyChanged,
  network_info: network.renderInfo,
  network_log: network.renderLog,
  port_forward_add: network.renderForwardAdded,
  port_forward_remove: network.renderForwardRemoved,
  port_forward_list: network.renderPorts,
  pool_status: pool.renderStatus,
  pool_set: pool.renderStatus,
  pool_prepare: pool.renderPrepared,
  storage_status: storage.renderStatus,
  storage_gc: storage.renderGc,
  storage_verify: storage.renderVerified,
  storage_init: storage.renderInit,
  team_create: team.renderCreated,
  team_destroy: team.renderDestroyed,
  team_status: team.renderStatus,
  team_list: team.renderList,
  team_message: team.renderSent,
  team_receive: team.renderReceived,
  audit_list: audit.renderAudit,
  audit_verify: audit.renderAuditVerified,
  daemon_metrics: ({ text }) => text,
  vault_read: vault.renderNote,
  vault_write: vault.renderWritten,
  vault_search: vault.renderResults,
  vault_list: vault.renderEntries,
  vault_delete: vault.renderDeleted,
  vault_frontmatter: vault.renderFrontMatter,
  vault_tags: vault.renderTags,
  vault_replace: vault.renderReplaced,
  vault_move: vault.renderMoved,
  vault_stats: vault.renderStats,
  vault_links: vault.renderLinks,
  vault_history: vault.renderHistory,
  vault_restore: vault.renderRestored,
  daemon_status: daemon.renderStatus,
  daemon_doctor: daemon.renderDoctor,
  daemon_stop: daemon.renderStopped,
};

export function renderOutput(name: OperationName, output: unknown, context: RenderContext): string {
  const renderer = renderers[name] as Renderer<OperationName> | undefined;
  if (renderer === undefined) return JSON.stringify(output, undefined, 2);
  return renderer(output as OutputOf<OperationName>, context);
}
