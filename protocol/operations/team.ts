/** Teams: machines that work together, the messages between them, and the tasks that run in them. */
import * as z from 'zod';
import { imageName, workspaceRef } from '../names.ts';
import { defineOperation } from '../operation.ts';
import { exec } from './process.ts';
import { diskGb, memoryMb, vcpus, workspaceState } from './workspaceModel.ts';

/** Bounds of teams, their mailboxes and their tasks. */
export const teamLimits = {
  members: 100,
  /** Teams below a team below a team below the first. */
  depth: 3,
  messageBytes: 256 * 1024,
  /** Messages, and likewise tasks, that one member has not received or finished. */
  unread: 1000,
  tasksAtOnce: 4,
  taskStdoutBytes: 4096,
  taskStderrBytes: 2048,
} as const;

const label = z
  .string()
  .max(64)
  .regex(
    /^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$/,
    'use only letters, digits and "-", and no "-" at either end',
  );

const teamName = label.describe('Name of the team');
const memberName = label.describe('Name of a member, unique in its team');

export const teamRole = z.object({
  name: memberName,
  role: z.string().min(1).max(128).describe('What it is there for'),
  skills: z.array(z.string().max(128)).max(64).optional(),
  description: z.string().max(4096).optional(),
});
export type TeamRole = z.infer<typeof teamRole>;

/** `coder=developer`, or a role as JSON: what fits into one word of a command line. */
const roleText = z.string().min(1).max(16_384);

const snapshotName = z
  .string()
  .min(1)
  .max(128)
  .regex(/^[A-Za-z0-9._-]+$/, 'use only letters, digits, ".", "_" and "-"');

const teamState = z.enum(['Creating', 'Ready', 'Destroying']);
const agentStatus = z.enum(['Initializing', 'Ready', 'Failed', 'Removed']);
const time = z.iso.datetime({ offset: true });

export const teamCreate = defineOperation({
  name: 'team_create',
  summary: 'Create a team: a machine for each role, which reach each other and nothing else',
  description:
    'The members are copies of golden_workspace where that is given, else new machines. All come into being, or none. They belong to whoever creates the team; `team.member` names one wherever a workspace is asked for.',
  input: z.object({
    name: teamName,
    roles: z.array(teamRole).max(teamLimits.members).optional().describe('The members'),
    role: z
      .array(roleText)
      .max(teamLimits.members)
      .optional()
      .describe('A member as name=role, or as JSON with name, role, skills and description'),
    max_vms: z
      .int()
      .min(1)
      .max(teamLimits.members)
      .optional()
      .describe('Most machines of it and of all teams below it; default 10'),
    golden_workspace: workspaceRef.optional().describe('Make the members copies of this machine'),
    base_snapshot: snapshotName
      .optional()
      .describe('Snapshot of golden_workspace to copy; default golden'),
    parent_team: teamName.optional().describe('Team it is a part of; shares its budget'),
    base_image: imageName.optional().describe('Image of members that are no copies'),
    vcpus: vcpus.optional().describe('Virtual CPUs of members that are no copies'),
    memory_mb: memoryMb.optional().describe('Memory in MiB of members that are no copies'),
    disk_gb: diskGb.optional().describe('Disk in GiB of members that are no copies'),
  }),
  output: z.object({
    name: z.string(),
    state: teamState,
    member_count: z.int(),
    member_workspace_ids: z.array(z.uuid()).describe('In the order of the roles'),
    max_vms: z.int(),
    members: z.array(
      z.object({ name: z.string(), workspace_id: z.uuid(), workspace_name: z.string() }),
    ),
  }),
  risk: 'write',
  retry: 'unsafe',
  errors: [
    'name_taken',
    'not_found',
    'not_owned',
    'limit_exceeded',
    'quota_exceeded',
    'wrong_state',
    'no_space',
    'no_memory',
    'image_missing',
    'boot_failed',
    'boot_timeout',
  ],
  access: { owns: ['golden_workspace'], rate: 'create' },
  progress: true,
  cli: {
    command: 'team create',
    positionals: ['name'],
    flags: {
      role: '-r, --role',
      golden_workspace: '-g, --golden',
      base_snapshot: '-s, --snapshot',
      parent_team: '--parent',
      base_image: '-i, --image',
      vcpus: '-c, --vcpus',
      memory_mb: '-m, --memory-mb',
      disk_gb: '-d, --disk-gb',
    },
    hidden: ['roles'],
  },
});

export const teamDestroy = defineOperation({
  name: 'team_destroy',
  summary: 'Destroy a team with its machines, its mailboxes and the teams below it',
  description:
    'Machines that somebody else has adopted meanwhile stay. When a machine cannot be destroyed the team stays, too: call it again.',
  input: z.object({
    name: teamName,
    purge: z.boolean().optional().describe('Also delete its folder in the vault'),
  }),
  output: z.object({
    name: z.string(),
    success: z.literal(true),
    destroyed: z.int().describe('Machines'),
    left: z.array(z.string()).describe('Machines that belong to somebody else by now'),
  }),
  risk: 'destructive',
  retry: 'safe',
  errors: ['not_found', 'not_owned', 'busy'],
  cli: { command: 'team destroy', aliases: ['team rm'], positionals: ['name'] },
});

const teamFacts = {
  name: z.string(),
  state: teamState,
  created_at: time,
  max_vms: z.int(),
  parent_team: z.string().nullable(),
  owner: z.string().describe('Account it belongs to, and agent after a slash'),
};

export const teamStatus = defineOperation({
  name: 'team_status',
  summary: 'Show the members of a team, their machines and what waits for them',
  input: z.object({ name: teamName }),
  output: z.object({
    ...teamFacts,
    members: z.array(
      z.object({
        name: z.string(),
        workspace_id: z.uuid().nullable().describe('null: not made yet'),
        ip: z.string().nullable(),
        workspace_state: z.union([workspaceState, z.literal('destroyed')]),
        agent_status: agentStatus,
        workspace_name: z.string(),
        role: z.string(),
        skills: z.array(z.string()),
        description: z.string(),
        unread_messages: z.int(),
        pending_tasks: z.int().describe('Queued or running'),
        running_tasks: z.int(),
        unread_results: z.int(),
      }),
    ),
    problem: z.string().nullable().describe('Why it could not be destroyed, or null'),
  }),
  risk: 'read',
  retry: 'safe',
  errors: ['not_found'],
  cli: { command: 'team status', positionals: ['name'] },
});

export const teamList = defineOperation({
  name: 'team_list',
  summary: 'List all teams',
  input: z.object({}),
  output: z.object({
    teams: z.array(z.object({ ...teamFacts, member_count: z.int() })),
    count: z.int(),
  }),
  risk: 'read',
  retry: 'safe',
  errors: [],
  cli: { command: 'team list', aliases: ['team ls'] },
});

const { command, timeout_secs, env, workdir } = exec.input.shape;

/** The content of a `task_assignment`. */
export const taskAssignment = z.object({
  task_id: z.string().min(1).max(256),
  command,
  workdir: workdir.describe('Default: /workspace'),
  env,
  timeout_secs: timeout_secs.describe('Kills everything the task started; default 300'),
});
export type TaskAssignment = z.infer<typeof taskAssignment>;

export const teamMessage = defineOperation({
  name: 'team_message',
  summary: 'Send a message from one member of a team to another, or to all others',
  description:
    'Messages wait in order, on disk, until they are received. One of the type task_assignment, whose content is JSON {task_id, command, workdir?, env?, timeout_secs?}, is run in the machine of the recipient instead; its result comes with team_receive.',
  input: z.object({
    name: teamName,
    agent: memberName.describe('Member that sends it'),
    to: z
      .string()
      .max(64)
      .regex(/^(\*|[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)$/, 'neither the name of a member nor *')
      .describe('Member that gets it; * is all others'),
    content: z.string().describe('Text of at most 256 KiB'),
    message_type: z
      .string()
      .min(1)
      .max(128)
      .optional()
      .describe('text (default), task_update, request, response, task_assignment or any other'),
  }),
  output: z.object({
    message_id: z.uuid(),
    status: z.literal('delivered'),
    from: z.string(),
    to: z.string(),
    recipients: z.array(z.string()),
    note: z.string().optional().describe('What keeps a task from running at once'),
  }),
  risk: 'write',
  retry: 'unsafe',
  errors: ['not_found', 'not_owned', 'limit_exceeded', 'wrong_state'],
  access: { rate: 'team_message' },
  cli: {
    command: 'team message',
    positionals: ['name', 'agent', 'to', 'content'],
    flags: { message_type: '-t, --type' },
  },
});

export const teamReceive = defineOperation({
  name: 'team_receive',
  summary: 'Take what waits for a member: messages, and results of its tasks',
  description:
    'What is returned counts as received and is removed. To lose nothing when a reply gets lost, peek, and acknowledge with the next call what has been dealt with.',
  input: z.object({
    name: teamName,
    agent: memberName.describe('Member whose mailbox it is'),
    limit: z.int().min(0).max(teamLimits.unread).optional().describe('Most messages; default 10'),
    peek: z.boolean().optional().describe('Only look: nothing is removed'),
    ack: z
      .array(z.string().max(64))
      .max(2 * teamLimits.unread)
      .optional()
      .describe('Remove these first: message ids, and source_message_id of results'),
  }),
  output: z.object({
    agent: z.string(),
    messages: z.array(
      z.object({
        message_id: z.uuid(),
        from: z.string(),
        to: z.string(),
        content: z.string(),
        message_type: z.string(),
        timestamp: time,
      }),
    ),
    count: z.int().describe('Messages in this reply'),
    remaining: z.int().describe('Messages and results that wait beyond these'),
    daemon_results: z.array(
      z.object({
        task_id: z.string(),
        success: z.boolean(),
        exit_code: z
          .int()
          .describe('-1: killed, or it did not run to its end; -2: no valid assignment'),
        stdout: z.string(),
        stderr: z.string(),
        elapsed_secs: z.int(),
        source_message_id: z.uuid(),
        timed_out: z.boolean(),
      }),
    ),
    daemon_pending_tasks: z.int().describe('Tasks that are queued or run'),
  }),
  risk: 'write',
  retry: 'unsafe',
  errors: ['not_found', 'not_owned'],
  cli: {
    command: 'team receive',
    positionals: ['name', 'agent'],
    flags: { limit: '-n, --limit' },
  },
});
