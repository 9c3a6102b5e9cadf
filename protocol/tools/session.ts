/** The tool that takes over workspaces. */
import * as z from 'zod';
import { workspaceAdopt } from '../operations/session.ts';
import { defineTool } from '../tool.ts';

const { workspace_id, force } = workspaceAdopt.input.shape;
const { adopted, errors } = workspaceAdopt.output.shape;
const one = adopted.element.shape;

export const workspaceAdoptTool = defineTool({
  name: 'workspace_adopt',
  title: 'Take over workspaces',
  description:
    'Take over a workspace so that you may use it: one that belongs to nobody, or, with force, to an agent that has been idle for 60 s. Without workspace_id: all of those.',
  input: z.object({ workspace_id, force }),
  output: z.object({
    workspace_id: one.workspace_id.optional(),
    name: one.name.optional(),
    state: one.state.optional(),
    ip: one.ip.optional(),
    forced: one.forced.optional(),
    adopted: z
      .union([
        z.literal(true),
        z.array(z.object({ workspace_id: one.workspace_id, name: one.name, state: one.state })),
      ])
      .describe('true for a single one'),
    adopted_count: z.int().optional(),
    error_count: z.int().optional(),
    errors: errors.optional(),
  }),
  toolset: 'full',
  risk: 'write',
  retry: 'safe',
  failure: 'invalid_request',
  async run(input, { call }) {
    const reply = await call('workspace_adopt', input);
    const [first] = reply.adopted;
    if (input.workspace_id !== undefined && first !== undefined) {
      return { ...first, adopted: true as const };
    }
    return {
      adopted: reply.adopted,
      adopted_count: reply.adopted.length,
      errors: reply.errors,
      error_count: reply.errors.length,
    };
  },
});
