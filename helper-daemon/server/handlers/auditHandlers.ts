import type { Audit } from '../../audit/audit.ts';
import type { AuditRow } from '../../store/auditStore.ts';
import type { Handlers } from '../handlerTypes.ts';

type AuditHandlers = Pick<Handlers, 'audit_list' | 'audit_verify'>;

const defaultLimit = 50;

export function auditHandlers(audit: Audit): AuditHandlers {
  return {
    async audit_list(input, { caller }) {
      const limit = input.limit ?? defaultLimit;
      // The daemon's own account sees everything: in user mode there is nobody else.
      const all = caller.uid === (process.getuid?.() ?? 0);
      const uid = all ? undefined : caller.uid;
      const rows = audit.list({
        uid,
        workspace: input.workspace_id,
        agent: input.agent,
        operation: input.operation,
        outcome: input.outcome,
        afterSeq: input.after_seq,
        beforeSeq: input.before_seq,
        limit: limit + 1,
      });
      const [newest] = audit.list({ uid, limit: 1 });
      return {
        rows: rows.slice(0, limit).map(view),
        last_seq: newest?.seq ?? 0,
        more: rows.length > limit,
      };
    },
    async audit_verify({ expect }) {
      const [seq, hash] = expect?.split(':') ?? [];
      const noted = hash === undefined ? undefined : { seq: Number(seq), hash };
      const { ok, rows, head, problem } = await audit.verify(noted);
      return { ok, rows, head: `${String(head.seq)}:${head.hash}`, problem };
    },
  };
}

function view({ workspaces, durationMs, ...row }: AuditRow): {
  -readonly [K in keyof Omit<AuditRow, 'workspaces' | 'durationMs'>]: AuditRow[K];
} & { workspaces: { id: string | null; name: string | null }[]; duration_ms: number | null } {
  return {
    ...row,
    workspaces: workspaces.map(({ id, name }) => ({ id, name })),
    duration_ms: durationMs,
  };
}
