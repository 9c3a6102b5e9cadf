/** The catalogue: every operation there is, by name. */
import type * as z from 'zod';
import { daemonDoctor, daemonStatus, daemonStop } from './operations/daemon.ts';
import * as file from './operations/file.ts';
import { imageBuild, imageImport, imageList, imageRemove } from './operations/image.ts';
import * as process from './operations/process.ts';
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
  exec: process.exec,
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
  image_list: imageList,
  image_build: imageBuild,
  image_import: imageImport,
  image_remove: imageRemove,
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
