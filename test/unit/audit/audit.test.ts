import { describe, expect, test, vi } from 'vitest';
import { openAudit, type Audit, type AuditEntry } from '../../../helper-daemon/audit/audit.ts';
import { auditStore } from '../../../helper-daemon/store/auditStore.ts';
import { CoppiceError } from '../../../protocol/errors.ts';
import { temporaryDatabase } from '../store/temporaryDatabase.ts';

const made = temporaryDatabase();
const demo = { id: '11111111-1111-4111-8111-111111111111', name: 'demo' };

function entry(more: Partial<AuditEntry> = {}): AuditEntry {
  return {
    caller: { uid: 1000, agent: 'coder' },
    client: 'test',
    operation: 'exec',
    input: { workspace_id: 'demo', command: 'make' },
    workspaces: [demo],
    ...more,
  };
}

function open(options: Parameters<typeof openAudit>[2] = {}): Audit {
  return openAudit(auditStore(made.db), () => new Date('2026-01-02T03:04:05.000Z'), options);
}

function all(audit: Audit): ReturnType<Audit['list']> {
  return audit.list({ afterSeq: 0, limit: 1000 });
}

describe('what is recorded', () => {
  test('a mutation that ended well is one row with who, what, where and how long', () => {
    const audit = open();
    audit.begin(entry()).end('ok');
    expect(all(audit)).toEqual([
      {
        seq: 1,
        at: '2026-01-02T03:04:05.000Z',
        uid: 1000,
        agent: 'coder',
        client: 'test',
        operation: 'exec',
        workspaces: [demo],
        target: '{"workspace_id":"demo","command":"make"}',
        outcome: 'ok',
        code: null,
        times: 1,
        durationMs: expect.any(Number),
        hash: expect.stringMatching(/^[0-9a-f]{64}$/),
      },
    ]);
  });

  test('what failed has its error code, and what the quota refused counts as denied', () => {
    const audit = open();
    audit.begin(entry()).end('guest_unreachable');
    audit.begin(entry({ operation: 'workspace_create' })).end('quota_exceeded');
    expect(all(audit).map(({ outcome, code }) => [outcome, code])).toEqual([
      ['failed', 'guest_unreachable'],
      ['denied', 'quota_exceeded'],
    ]);
  });

  test('a ticket that is ended twice is one row', () => {
    const audit = open();
    const ticket = audit.begin(entry());
    ticket.end('ok');
    ticket.end('internal');
    expect(all(audit).map(({ outcome }) => outcome)).toEqual(['ok']);
  });

  test('workspaces that came of it are found by name and by id, also after they are gone', () => {
    const audit = open();
    audit.begin(entry({ workspaces: [] })).end('ok', [demo]);
    audit.begin(entry({ workspaces: [{ id: null, name: 'other' }] })).end('ok');
    const seqs = (workspace: string): number[] =>
      audit.list({ workspace, limit: 10 }).map(({ seq }) => seq);
    expect([seqs('demo'), seqs(demo.id), seqs('other'), seqs('third')]).toEqual([
      [1],
      [1],
      [2],
      [],
    ]);
  });

  test('a name that is the workspace just made is not listed twice', () => {
    const audit = open();
    audit.begin(entry({ workspaces: [{ id: null, name: 'demo' }] })).end('ok', [demo]);
    expect(all(audit)[0]?.workspaces).toEqual([demo]);
  });
});

describe('denials', () => {
  test('the same denial in a loop is one row at once and one with the count of the rest', () => {
    const audit = open({ repeatMs: 60_000 });
    for (let i = 0; i < 500; i += 1) audit.denied(entry(), 'rate_limited');
    expect(all(audit).map(({ times }) => times)).toEqual([1]);
    audit.close();
    expect(all(audit).map(({ outcome, code, times }) => [outcome, code, times])).toEqual([
      ['denied', 'rate_limited', 1],
      ['denied', 'rate_limited', 499],
    ]);
  });

  test('denials of different callers are rows of their own', () => {
    const audit = open({ repeatMs: 60_000 });
    audit.denied(entry(), 'not_owned');
    audit.denied(entry({ caller: { uid: 1001, agent: null } }), 'not_owned');
    expect(all(audit).map(({ uid }) => uid)).toEqual([1000, 1001]);
  });

  test('a quota refused over and over leaves no pending rows', () => {
    const audit = open({ repeatMs: 60_000 });
    for (let i = 0; i < 20; i += 1) audit.begin(entry()).end('quota_exceeded');
    expect(all(audit)).toHaveLength(1);
    expect(auditStore(made.db).pending()).toEqual([]);
  });
});

describe('after a crash', () => {
  test('what had begun and not ended becomes interrupted', () => {
    open().begin(entry({ operation: 'workspace_merge' }));
    made.reopen();
    const audit = open();
    expect(audit.recover()).toBe(1);
    expect(all(audit).map(({ operation, outcome }) => [operation, outcome])).toEqual([
      ['workspace_merge', 'interrupted'],
    ]);
    expect(audit.recover()).toBe(0);
  });

  test('the chain goes on where it ended', async () => {
    open().begin(entry()).end('ok');
    made.reopen();
    const audit = open();
    audit.begin(entry()).end('ok');
    expect(await audit.verify()).toMatchObject({ ok: true, rows: 2, problem: null });
  });
});

describe('what cannot be written', () => {
  test('a row that failed is written with the next one, in order', async () => {
    const store = auditStore(made.db);
    let broken = true;
    const failed = vi.fn();
    const audit = openAudit(
      {
        ...store,
        append(...args) {
          if (broken) throw new Error('disk full');
          store.append(...args);
        },
      },
      () => new Date(),
      { failed },
    );
    audit.begin(entry({ operation: 'first' })).end('ok');
    expect(failed).toHaveBeenCalledOnce();
    broken = false;
    audit.begin(entry({ operation: 'second' })).end('ok');
    expect(all(audit).map(({ operation }) => operation)).toEqual(['first', 'second']);
    expect(store.pending()).toEqual([]);
    expect((await audit.verify()).ok).toBe(true);
  });
});

describe('on a full disk', () => {
  const full = (): ReturnType<typeof auditStore> => ({
    ...auditStore(made.db),
    begin() {
      throw new CoppiceError({ code: 'no_space', message: 'full' });
    },
  });

  test('what cannot be recorded does not begin', () => {
    expect(() => openAudit(full()).begin(entry())).toThrow('full');
  });

  test('what makes room begins all the same, and is recorded when it has ended', () => {
    const audit = openAudit(full());
    audit.begin(entry({ operation: 'workspace_destroy', frees: true })).end('ok');
    expect(all(audit).map(({ operation, outcome }) => [operation, outcome])).toEqual([
      ['workspace_destroy', 'ok'],
    ]);
  });
});

describe('who asks', () => {
  test('rows are filtered by account, agent, operation, outcome and error code', () => {
    const audit = open();
    audit.begin(entry()).end('ok');
    audit.begin(entry({ caller: { uid: 1001, agent: null }, operation: 'file_write' })).end('ok');
    audit.begin(entry({ operation: 'file_edit' })).end('file_not_found');
    const seqs = (query: Partial<Parameters<Audit['list']>[0]>): number[] =>
      audit.list({ limit: 10, ...query }).map(({ seq }) => seq);
    expect(seqs({ uid: 1001 })).toEqual([2]);
    expect(seqs({ agent: 'coder' })).toEqual([3, 1]);
    expect(seqs({ operation: 'file_write' })).toEqual([2]);
    expect(seqs({ outcome: 'failed' })).toEqual([3]);
    expect(seqs({ outcome: 'file_not_found' })).toEqual([3]);
    expect(seqs({ afterSeq: 1 })).toEqual([2, 3]);
    expect(seqs({ beforeSeq: 3, limit: 1 })).toEqual([2]);
  });
});
