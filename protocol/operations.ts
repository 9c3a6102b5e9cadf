/** The catalogue: every operation there is, by name. */
import type * as z from 'zod';
import { workspaceExport, workspaceImport } from './operations/archive.ts';
import { auditList, auditVerify } from './operations/audit.ts';
import { daemonDoctor, daemonStatus, daemonStop } from './operations/daemon.ts';
import { execParallel } from './operations/execParallel.ts';
import * as file from './operations/file.ts';
import * as git from './operations/git.ts';
import { imageBuild, imageImport, imageList, imageRemove } from './operations/image.ts';
import { daemonMetrics } from './operations/metrics.ts';
import { workspaceMerge } from './operations/merge.ts';
import * as network from './operations/network.ts';
import { poolPrepare, poolSet, poolStatusOperation } from './operations/pool.ts';
import { workspacePrepare } from './operations/prepare.ts';
import * as process from './operations/process.ts';
import { sessionInfo, workspaceAdopt } from './operations/session.ts';
import * as snapshot from './operations/snapshot.ts';
import * as storage from './operations/storage.ts';
import * as swarm from './operations/swarm.ts';
import { fileTransfer } from './operations/transfer.ts';
import * as team from './operations/team.ts';
import * as vault from './operations/vault.ts';
import * as workspace from './operations/workspace.ts';

export const operations = {
  workspace_create: workspace.workspaceCreate,
  workspace_list: workspace.workspaceList,
  workspace_info: workspace.workspaceInfo,
  workspace_start: workspace.workspaceStart,
  workspace_stop: workspace.workspaceStop,
  workspace_destroy: workspace.workspaceDestroy,
  workspace_logs: workspace.workspaceLogs,
  workspace_stats: workspace.workspaceStats,
  workspace_pause: workspace.workspacePause,
  workspace_suspend: workspace.workspaceSuspend,
  workspace_resume: workspace.workspaceResume,
  workspace_configure: workspace.workspaceConfigure,
  workspace_adopt: workspaceAdopt,
  session_info: sessionInfo,
  workspace_fork: snapshot.workspaceFork,
  workspace_prepare: workspacePrepare,
  swarm_start: swarm.swarmStart,
  swarm_status: swarm.swarmStatus,
  swarm_results: swarm.swarmResults,
  swarm_cancel: swarm.swarmCancel,
  swarm_list: swarm.swarmList,
  workspace_export: workspaceExport,
  workspace_import: workspaceImport,
  snapshot_create: snapshot.snapshotCreate,
  snapshot_list: snapshot.snapshotList,
  snapshot_info: snapshot.snapshotInfoOperation,
  snapshot_restore: snapshot.snapshotRestore,
  snapshot_delete: snapshot.snapshotDelete,
  snapshot_rename: snapshot.snapshotRename,
  snapshot_diff: snapshot.snapshotDiff,
  snapshot_file_list: snapshot.snapshotFileList,
  snapshot_file_download: snapshot.snapshotFileDownload,
  exec: process.exec,
  exec_parallel: execParallel,
  set_env: process.setEnv,
  process_open: process.processOpen,
  process_start: process.processStart,
  process_list: process.processList,
  process_get: process.processGet,
  process_signal: process.processSignal,
  process_remove: process.processRemove,
  file_stat: file.fileStat,
  file_list: file.fileList,
  file_read: file.fileRead,
  file_write: file.fileWrite,
  file_edit: file.fileEdit,
  file_make_directory: file.fileMakeDirectory,
  file_remove: file.fileRemove,
  file_rename: file.fileRename,
  file_copy: file.fileCopy,
  file_search: file.fileSearch,
  file_download: file.fileDownload,
  file_upload: file.fileUpload,
  file_archive: file.fileArchive,
  file_extract: file.fileExtract,
  file_transfer: fileTransfer,
  git_clone: git.gitClone,
  git_status: git.gitStatus,
  git_commit: git.gitCommit,
  git_push: git.gitPush,
  git_diff: git.gitDiff,
  workspace_merge: workspaceMerge,
  image_list: imageList,
  image_build: imageBuild,
  image_import: imageImport,
  image_remove: imageRemove,
  network_policy: network.networkPolicyOperation,
  network_info: network.networkInfo,
  network_log: network.networkLog,
  port_forward_add: network.portForwardAdd,
  port_forward_remove: network.portForwardRemove,
  port_forward_list: network.portForwardList,
  tunnel_open: network.tunnelOpen,
  pool_status: poolStatusOperation,
  pool_set: poolSet,
  pool_prepare: poolPrepare,
  storage_status: storage.storageStatus,
  storage_gc: storage.storageGc,
  storage_verify: storage.storageVerify,
  storage_init: storage.storageInit,
  audit_list: auditList,
  audit_verify: auditVerify,
  daemon_metrics: daemonMetrics,
  team_create: team.teamCreate,
  team_destroy: team.teamDestroy,
  team_status: team.teamStatus,
  team_list: team.teamList,
  team_message: team.teamMessage,
  team_receive: team.teamReceive,
  vault_read: vault.vaultRead,
  vault_write: vault.vaultWrite,
  vault_search: vault.vaultSearch,
  vault_list: vault.vaultList,
  vault_delete: vault.vaultDelete,
  vault_frontmatter: vault.vaultFrontmatter,
  vault_tags: vault.vaultTags,
  vault_replace: vault.vaultReplace,
  vault_move: vault.vaultMove,
  vault_batch_read: vault.vaultBatchRead,
  vault_stats: vault.vaultStats,
  vault_links: vault.vaultLinks,
  vault_history: vault.vaultHistory,
  vault_restore: vault.vaultRestore,
  daemon_status: daemonStatus,
  daemon_doctor: daemonDoctor,
  daemon_stop: daemonStop,
} as const;

export type Operations = typeof operations;
export type OperationName = keyof Operations;
/** What a caller gives. */
export type InputOf<N extends OperationName> = z.input<Operations[N]['input']>;
/** What a handler receives after validation. */
export type ParsedInputOf<N extends OperationName> = z.output<Operations[N]['input']>;
export type OutputOf<N extends OperationName> = z.output<Operations[N]['output']>;

export function isOperationName(name: string): name is OperationName {
  return Object.hasOwn(operations, name);
}
