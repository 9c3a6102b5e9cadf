import { expect, test } from 'vitest';
import { openAudit, type Audit } from '../../../helper-daemon/audit/audit.ts';
import { auditObserver, type AuditedCall } from '../../../helper-daemon/audit/observer.ts';
import { auditStore } from '../../../helper-daemon/store/auditStore.ts';
import type { Operation } from '../../../protocol/operation.ts';
import { operations, type OperationName } from '../../../protocol/operations.ts';
import { temporaryDatabase } from '../store/temporaryDatabase.ts';

const made = temporaryDatabase();
const id = '11111111-1111-4111-8111-111111111111';

function scene(): { audit: Audit; observer: ReturnType<typeof auditObserver> } {
  const audit = openAudit(auditStore(made.db));
  const observer = auditObserver(audit, (reference) => {
    if (reference !== 'demo') throw new Error('no such workspace');
    return { id, name: 'demo' };
  });
  return { audit, observer };
}

function call(name: OperationName, input: Record<string, unknown>): AuditedCall {
  const operation: Operation = operations[name];
  return { operation, input, caller: { uid: 1000, agent: null }, clientName: 'test' };
}

test('reading leaves no row, changing does, with the workspace as it was called then', () => {
  const { audit, observer } = scene();
  observer.begin(call('file_read', { workspace_id: 'demo', path: '/x' }))('ok', 1);
  observer.begin(call('file_remove', { workspace_id: 'demo', path: '/x' }))('ok', 1);
  expect(
    audit.list({ limit: 10 }).map(({ operation, workspaces }) => [operation, workspaces]),
  ).toEqual([['file_remove', [{ id, name: 'demo' }]]]);
});

test('a refusal to read is recorded, a file that is not there is not', () => {
  const { audit, observer } = scene();
  const read = call('file_read', { workspace_id: 'demo', path: '/x' });
  observer.begin(read)('file_not_found', 1);
  observer.denied(read, 'not_found');
  observer.denied(read, 'not_owned');
  expect(audit.list({ limit: 10 }).map(({ outcome, code }) => [outcome, code])).toEqual([
    ['denied', 'not_owned'],
  ]);
});

test('copies that a fork made are found by their names', () => {
  const { audit, observer } = scene();
  const copy = '22222222-2222-4222-8222-222222222222';
  observer.begin(call('workspace_fork', { workspace_id: 'demo', count: 1 }))('ok', 1, {
    source_workspace_id: id,
    workers: [{ workspace_id: copy, name: 'demo-fork-1' }],
  });
  expect(audit.list({ workspace: 'demo-fork-1', limit: 10 })[0]?.workspaces).toEqual([
    { id, name: 'demo' },
    { id: copy, name: 'demo-fork-1' },
  ]);
});

test('a change of something that is not there is recorded with the name that was given', () => {
  const { audit, observer } = scene();
  observer.denied(call('workspace_destroy', { workspace_id: 'nothing' }), 'not_found');
  expect(audit.list({ workspace: 'nothing', limit: 10 })).toMatchObject([
    { outcome: 'failed', code: 'not_found', workspaces: [{ id: null, name: 'nothing' }] },
  ]);
});
