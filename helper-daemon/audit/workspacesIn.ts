/** The workspaces in an operation's reply: itself, and what is listed in it (copies, results). */
import type { AuditWorkspace } from '../store/auditStore.ts';

const listLimit = 128;

export function workspacesIn(reply: unknown): readonly AuditWorkspace[] {
  if (typeof reply !== 'object' || reply === null) return [];
  const listed = Object.values(reply).filter((value) => Array.isArray(value)) as unknown[][];
  return [reply, ...listed.flat()].flatMap(workspaceIn).slice(0, listLimit);
}

function workspaceIn(value: unknown): AuditWorkspace[] {
  if (typeof value !== 'object' || value === null) return [];
  const { workspace_id: id, name } = value as Record<string, unknown>;
  if (typeof id !== 'string') return [];
  return [{ id, name: typeof name === 'string' ? name : null }];
}
