/** The tool catalogue: what agents are offered, by name. */
import type { Tool } from './tool.ts';
import { execParallelTool, execTool, setEnvTool } from './tools/exec.ts';
import { execBackgroundTool } from './tools/execBackground.ts';
import {
  fileEditTool,
  fileListTool,
  fileReadTool,
  fileTransferTool,
  fileWriteTool,
} from './tools/files.ts';
import { workspaceForkTool } from './tools/fork.ts';
import {
  gitCloneTool,
  gitCommitTool,
  gitDiffTool,
  gitPushTool,
  gitStatusTool,
  workspaceMergeTool,
} from './tools/git.ts';
import { networkPolicyTool, portForwardTool } from './tools/network.ts';
import { swarmRunTool, workspacePrepareTool } from './tools/orchestration.ts';
import { workspaceAdoptTool } from './tools/session.ts';
import { snapshotTool } from './tools/snapshots.ts';
import { teamTool } from './tools/team.ts';
import { vaultTool } from './tools/vault.ts';
import {
  workspaceCreateTool,
  workspaceDestroyTool,
  workspaceInfoTool,
  workspaceListTool,
  workspaceLogsTool,
  workspaceStartTool,
  workspaceStopTool,
} from './tools/workspaces.ts';

export const tools: readonly Tool[] = [
  workspaceCreateTool,
  workspaceDestroyTool,
  workspaceListTool,
  workspaceInfoTool,
  workspaceStopTool,
  workspaceStartTool,
  workspaceLogsTool,
  workspaceAdoptTool,
  execTool,
  execBackgroundTool,
  execParallelTool,
  setEnvTool,
  fileWriteTool,
  fileReadTool,
  fileEditTool,
  fileListTool,
  fileTransferTool,
  snapshotTool,
  workspaceForkTool,
  workspacePrepareTool,
  swarmRunTool,
  portForwardTool,
  networkPolicyTool,
  gitCloneTool,
  gitStatusTool,
  gitCommitTool,
  gitPushTool,
  gitDiffTool,
  workspaceMergeTool,
  teamTool,
  vaultTool,
];
