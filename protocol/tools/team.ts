/** Teams of machines. */
import * as z from 'zod';
import { CoppiceError } from '../errors.ts';
import {
  teamCreate,
  teamDestroy,
  teamList,
  teamMessage,
  teamReceive,
  teamStatus,
} from '../operations/team.ts';
import { defineTool } from '../tool.ts';
import { contractTime } from './text.ts';

const action = z.enum(['create', 'destroy', 'status', 'list', 'message', 'receive']);

/** Which of them an action needs is said by `needs`; roles in one word are for command lines. */
const fields = teamCreate.input
  .omit({ role: true })
  .extend(teamDestroy.input.shape)
  .extend(teamMessage.input.shape)
  .extend(teamReceive.input.shape)
  .extend({
    agent: teamReceive.input.shape.agent.describe(
      'Member that sends (message), or whose mailbox it is (receive)',
    ),
  })
  .partial();

const input = z.object({ action, ...fields.shape });
type Input = z.output<typeof input>;

const needs: Readonly<Record<Input['action'], readonly (keyof Input)[]>> = {
  create: ['name', 'roles'],
  destroy: ['name'],
  status: ['name'],
  list: [],
  message: ['name', 'agent', 'to', 'content'],
  receive: ['name', 'agent'],
};

/** @throws CoppiceError `invalid_input` that names what is missing */
function checked(given: Input): Input & Record<'name' | 'agent' | 'to' | 'content', string> {
  const missing = needs[given.action].filter((field) => given[field] === undefined);
  if (missing.length > 0) {
    throw new CoppiceError({
      code: 'invalid_input',
      message: `team: action ${given.action} needs ${missing.join(', ')}.`,
      next: `Call it again with ${needs[given.action].join(', ')}.`,
    });
  }
  return given as ReturnType<typeof checked>;
}

export const teamTool = defineTool({
  name: 'team',
  title: 'Teams of machines',
  description: `Let several agents work together, each in a machine of its own.
create (name, roles; golden_workspace, base_snapshot to copy a prepared machine; max_vms; parent_team): one machine for each role. They reach each other over the network and nothing else, are yours, and can be named "team.member" wherever a workspace is asked for.
status (name), list: members with workspace ids, addresses and states.
message (name, agent = sender, to = a member or "*" for all others, content; message_type): waits until it is received. message_type task_assignment with content {"task_id", "command", "workdir"?, "env"?, "timeout_secs"?} runs the command in the recipient's machine, at most 4 at a time.
receive (name, agent; limit, peek, ack): messages of that member, and in daemon_results what its tasks came to; both are removed unless peek is set. daemon_pending_tasks says how many still run or wait.
destroy (name; purge): all of its machines.`,
  input,
  output: z.object({
    action,
    ...teamCreate.output.partial().shape,
    ...teamDestroy.output.partial().shape,
    ...teamStatus.output.partial().shape,
    members: z.union([teamStatus.output.shape.members, teamCreate.output.shape.members]).optional(),
    ...teamList.output.partial().shape,
    ...teamMessage.output.partial().shape,
    ...teamReceive.output.partial().shape,
  }),
  toolset: 'full',
  risk: 'destructive',
  retry: 'unsafe',
  failure: 'internal_error',
  failureOf: ({ action }) =>
    action === 'message' || action === 'receive' ? 'invalid_request' : 'internal_error',
  async run(raw, { call }) {
    const { action, ...given } = checked(raw);
    switch (action) {
      case 'create':
        return { action, ...(await call('team_create', given)) };
      case 'destroy':
        return { action, ...(await call('team_destroy', given)) };
      case 'status': {
        const status = await call('team_status', { name: given.name });
        return { action, ...status, created_at: contractTime(status.created_at) };
      }
      case 'list': {
        const { teams, ...rest } = await call('team_list', {});
        const listed = teams.map((team) => ({
          ...team,
          created_at: contractTime(team.created_at),
        }));
        return { action, teams: listed, ...rest };
      }
      case 'message':
        return { action, ...(await call('team_message', given)) };
      case 'receive': {
        const { messages, ...rest } = await call('team_receive', given);
        const received = messages.map((message) => ({
          ...message,
          timestamp: contractTime(message.timestamp),
        }));
        return { action, messages: received, ...rest };
      }
    }
  },
});
