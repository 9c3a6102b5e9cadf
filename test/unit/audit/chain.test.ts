import { beforeEach, expect, test } from 'vitest';
import { openAudit, type Audit } from '../../../helper-daemon/audit/audit.ts';
import { auditStore } from '../../../helper-daemon/store/auditStore.ts';
import { temporaryDatabase } from '../store/temporaryDatabase.ts';

const made = temporaryDatabase();
const rows = 1203;
let audit: Audit;

beforeEach(() => {
  audit = openAudit(auditStore(made.db));
  for (let i = 1; i <= rows; i += 1) {
    const operation = `operation ${String(i)}`;
    const caller = { uid: 0, agent: null };
    audit.begin({ caller, client: 'test', operation, input: {}, workspaces: [] }).end('ok');
  }
});

/** What somebody could do who has the file and drops the triggers first. */
function tamper(sql: string): void {
  made.db.exec(
    'DROP TRIGGER IF EXISTS audit_kept; DROP TRIGGER IF EXISTS audit_unchanged; DROP TRIGGER IF EXISTS audit_appended',
  );
  made.db.exec(sql);
}

test('an untouched chain is whole, and its head is the last row', async () => {
  const [last] = audit.list({ limit: 1 });
  expect(await audit.verify()).toEqual({
    ok: true,
    rows,
    head: { seq: rows, hash: last?.hash },
    problem: null,
  });
});

test('the database refuses to change or delete a row', () => {
  expect(() => made.db.exec("UPDATE audit SET outcome = 'ok' WHERE seq = 7")).toThrow(
    /never changed/,
  );
  expect(() => made.db.exec('DELETE FROM audit WHERE seq = 7')).toThrow(/never deleted/);
  expect(() => made.db.exec('INSERT OR REPLACE INTO audit SELECT * FROM audit LIMIT 1')).toThrow(
    /only appended/,
  );
});

test.each([
  ['a changed column', "UPDATE audit SET target = 'nothing' WHERE seq = 700", 700],
  ['a changed outcome', "UPDATE audit SET outcome = 'denied' WHERE seq = 1", 1],
  ['a row that was taken out', 'DELETE FROM audit WHERE seq = 501', 501],
  ['a first row that was taken out', 'DELETE FROM audit WHERE seq = 1', 1],
  [
    'two rows that changed places',
    'UPDATE audit SET seq = -1 WHERE seq = 5; UPDATE audit SET seq = 5 WHERE seq = 6; UPDATE audit SET seq = 6 WHERE seq = -1',
    5,
  ],
  ['an end that was cut off', 'DELETE FROM audit WHERE seq > 1000', 1001],
  ['everything gone', 'DELETE FROM audit', 1],
])('%s is found, and where', async (_, sql, seq) => {
  tamper(sql);
  const verdict = await openAudit(auditStore(made.db)).verify();
  expect(verdict.ok).toBe(false);
  expect(verdict.problem?.seq).toBe(seq);
  expect(verdict.rows).toBe(seq - 1);
});

test('a chain that was written anew is found with a head that was noted before', async () => {
  const { head } = await audit.verify();
  tamper(
    "DELETE FROM audit; DELETE FROM audit_workspace; DELETE FROM setting WHERE key = 'audit_head'",
  );
  const forged = openAudit(auditStore(made.db));
  for (let i = 0; i < rows + 5; i += 1) {
    const caller = { uid: 0, agent: null };
    forged.begin({ caller, client: '', operation: 'x', input: {}, workspaces: [] }).end('ok');
  }
  expect((await forged.verify()).ok).toBe(true);
  expect((await forged.verify(head)).problem?.seq).toBe(rows);
});

test('rows after a cut-off end do not hide it', async () => {
  tamper('DELETE FROM audit WHERE seq > 1000');
  const next = openAudit(auditStore(made.db));
  const caller = { uid: 0, agent: null };
  next.begin({ caller, client: '', operation: 'x', input: {}, workspaces: [] }).end('ok');
  expect((await next.verify()).problem?.seq).toBe(1001);
});
