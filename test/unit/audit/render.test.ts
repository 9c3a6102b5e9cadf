import { stripVTControlCharacters } from 'node:util';
import { describe, expect, test } from 'vitest';
import {
  renderAudit,
  renderAuditLine,
  renderAuditVerified,
} from '../../../helper-daemon/cli/render/audit.ts';
import type { RenderContext } from '../../../helper-daemon/cli/render/renderContext.ts';
import { glyphsFor } from '../../../helper-daemon/cli/text/glyphs.ts';
import { plainStyle } from '../../../helper-daemon/cli/text/style.ts';
import type { AuditRow } from '../../../protocol/operations/audit.ts';

const context: RenderContext = {
  style: plainStyle,
  glyphs: glyphsFor({}),
  now: 0,
  input: {},
};

function row(more: Partial<AuditRow> = {}): AuditRow {
  return {
    seq: 1,
    at: '2026-01-02T03:04:05.000Z',
    uid: 1000,
    agent: 'coder',
    client: 'test',
    operation: 'exec',
    workspaces: [{ id: '11111111-1111-4111-8111-111111111111', name: 'demo' }],
    target: '{}',
    outcome: 'ok',
    code: null,
    times: 1,
    duration_ms: 12,
    hash: '0'.repeat(64),
    ...more,
  };
}

describe('a list', () => {
  test('stands in the order of time, whichever came first from the daemon', () => {
    const rows = [row({ seq: 9, operation: 'later' }), row({ seq: 8, operation: 'earlier' })];
    const text = renderAudit({ rows, last_seq: 9, more: true }, context);
    expect(text.indexOf('earlier')).toBeLessThan(text.indexOf('later'));
    expect(text).toContain('--before-seq 8');
  });

  test('read forwards goes on after its last row', () => {
    const rows = [row({ seq: 8 }), row({ seq: 9 })];
    const forwards = { ...context, input: { after_seq: 7 } };
    expect(renderAudit({ rows, last_seq: 20, more: true }, forwards)).toContain('--after-seq 9');
  });

  test('shows people by account, refusals by their code and how often they came', () => {
    const rows = [row({ agent: null, outcome: 'denied', code: 'rate_limited', times: 40 })];
    const text = renderAudit({ rows, last_seq: 1, more: false }, context);
    expect(text).toMatch(/uid 1000 .* rate_limited ×40 /);
  });

  test('cannot be used to drive the terminal of its reader', () => {
    const evil = '\u001b[2Jx\n';
    const rows = [row({ agent: evil, target: evil, workspaces: [{ id: null, name: evil }] })];
    const text = renderAudit({ rows, last_seq: 1, more: false }, context);
    expect(stripVTControlCharacters(text)).toBe(text);
    expect(text.split('\n')).toHaveLength(2);
  });
});

test('a line that follows is cut to the terminal', () => {
  const line = renderAuditLine(row({ target: 'x'.repeat(500) }), { style: plainStyle, width: 140 });
  expect(line).toHaveLength(140);
});

test('a broken chain says where, and how much of it is whole', () => {
  const problem = { seq: 5, what: 'row 5 is missing' };
  const text = renderAuditVerified({ ok: false, rows: 4, head: '4:ab', problem }, context);
  expect(text).toContain('row 5 is missing');
  expect(text).toContain('The 4 rows before that are whole');
});
