/** Tools that run commands. */
import * as z from 'zod';
import { exec } from '../operations/process.ts';
import { defineTool } from '../tool.ts';

const { workspace_id, command, timeout_secs, workdir, env, max_output_bytes } = exec.input.shape;

export const execTool = defineTool({
  name: 'exec',
  title: 'Run a command',
  description:
    'Run a shell command in a workspace and return its exit code and output. For what takes longer than timeout_secs use exec_background.',
  input: z.object({ workspace_id, command, timeout_secs, workdir, env, max_output_bytes }),
  output: exec.output,
  toolset: 'core',
  risk: 'write',
  retry: 'unsafe',
  failure: 'invalid_request',
  run: (input, { call }) => call('exec', input),
});
