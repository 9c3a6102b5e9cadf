/** The tool catalogue: what agents are offered, by name. */
import type { Tool } from './tool.ts';
import { execTool } from './tools/exec.ts';

export const tools: readonly Tool[] = [execTool];
