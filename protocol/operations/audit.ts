import * as z from 'zod';
import { errorCodes } from '../errors.ts';
import { limits } from '../limits.ts';
import { defineOperation } from '../operation.ts';

const outcomes = ['ok', 'failed', 'denied', 'interrupted'] as const;
export type AuditOutcome = (typeof outcomes)[number];

export const auditRow = z.object({
  seq: z.int().describe('1, 2, 3, … without gaps'),
  at: z.iso.datetime({ offset: true }).describe('When it began'),
  uid: z.int().describe('Account on the host'),
  agent: z.string().nullable().describe('Null: a person'),
  client: z.string().describe('Program it came from'),
  operation: z.string(),
  workspaces: z
    .array(z.object({ id: z.string().nullable(), name: z.string().nullable() }))
    .describe('Those it named and those it made; their names at that time'),
  target: z.string().describe('Its input as JSON, without secrets and contents'),
  outcome: z.enum(outcomes),
  code: z.string().nullable().describe('Error code of what failed or was denied'),
  times: z.int().describe('How often the same was denied within some seconds'),
  duration_ms: z.number().nullable().describe('Null: it is not known when it ended'),
  hash: z.string().describe('sha256 over this row and the hash of the row before it'),
});
export type AuditRow = z.infer<typeof auditRow>;

const seq = z.int().min(0);

export const auditList = defineOperation({
  name: 'audit_list',
  summary: 'Show who changed what, and what was refused',
  description:
    'Every change and every refusal has a row; reading has none. The newest come first; after after_seq the oldest. Accounts other than root see what they did themselves.',
  input: z.object({
    workspace_id: z
      .string()
      .min(1)
      .max(limits.nameLength)
      .optional()
      .describe('Only about this machine (name or id), also when it is gone'),
    agent: z.string().max(limits.nameLength).optional().describe('Only what this agent did'),
    operation: z.string().max(64).optional().describe('Only this operation, e.g. exec'),
    outcome: z
      .enum([...outcomes, ...errorCodes])
      .optional()
      .describe('Only with this outcome or error code'),
    after_seq: seq.optional().describe('Only rows after this one, the oldest first'),
    before_seq: seq.optional().describe('Only rows before this one'),
    limit: z.int().min(1).max(1000).optional().describe('Rows at most; default 50'),
  }),
  output: z.object({
    rows: z.array(auditRow),
    last_seq: z.int().describe('Newest row there is; 0 where there is none'),
    more: z.boolean().describe('There are more in this direction'),
  }),
  risk: 'read',
  retry: 'safe',
  errors: [],
  access: { owns: [] },
  cli: {
    command: 'audit',
    aliases: ['audit list'],
    flags: { workspace_id: '-w, --workspace', limit: '-n, --limit', outcome: '--outcome' },
  },
});

export const auditVerify = defineOperation({
  name: 'audit_verify',
  summary: 'Check that no row of the audit was changed, removed or put in',
  description:
    'Keep the head it prints somewhere else: given again with --expect it proves that everything up to there is as it was.',
  input: z.object({
    expect: z
      .string()
      .regex(/^\d{1,15}:[0-9a-f]{64}$/, 'must be <seq>:<hash> as this command printed it')
      .optional()
      .describe('A head printed earlier, <seq>:<hash>'),
  }),
  output: z.object({
    ok: z.boolean(),
    rows: z.int().describe('Rows that are whole, from the first on'),
    head: z.string().describe('Where they end, <seq>:<hash>'),
    problem: z.object({ seq: z.int().describe('First bad row'), what: z.string() }).nullable(),
  }),
  risk: 'read',
  retry: 'safe',
  errors: [],
  cli: { command: 'audit verify' },
});
