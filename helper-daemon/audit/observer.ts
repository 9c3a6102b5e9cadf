/** The audit as the dispatcher's observer: it sees every call begin and end, and those that are refused. */
import type { ErrorCode } from '../../protocol/errors.ts';
import type { Operation } from '../../protocol/operation.ts';
import type { AuditWorkspace } from '../store/auditStore.ts';
import { isDenial, type Audit, type AuditEntry } from './audit.ts';
import { workspacesIn } from './workspacesIn.ts';

export interface AuditedCall {
  readonly operation: Operation;
  readonly input: Readonly<Record<string, unknown>>;
  readonly caller: AuditEntry['caller'];
  readonly clientName: string;
}

export interface AuditObserver {
  begin(
    call: AuditedCall,
  ): (outcome: 'ok' | ErrorCode, durationMs: number, result?: unknown) => void;
  denied(call: AuditedCall, code: ErrorCode): void;
}

/** @param find the workspace a reference means now; throws where there is none */
export function auditObserver(
  audit: Audit,
  find: (reference: string) => { readonly id: string; readonly name: string },
): AuditObserver {
  const named = (reference: string): AuditWorkspace => {
    try {
      const { id, name } = find(reference);
      return { id, name };
    } catch {
      return { id: null, name: reference };
    }
  };
  const entryOf = ({ operation, input, caller, clientName }: AuditedCall): AuditEntry => ({
    caller,
    client: clientName,
    operation: operation.name,
    input,
    workspaces: namedIn(operation, input).map(named),
    frees: operation.risk === 'destructive',
  });
  const denied = (call: AuditedCall, code: ErrorCode): void => {
    // That there is nothing to read is no event.
    if (call.operation.risk !== 'read' || isDenial(code)) audit.denied(entryOf(call), code);
  };
  return {
    begin(call) {
      if (call.operation.risk === 'read') {
        return (outcome) => {
          if (outcome !== 'ok') denied(call, outcome);
        };
      }
      const ticket = audit.begin(entryOf(call));
      return (outcome, _, result) => ticket.end(outcome, workspacesIn(result));
    },
    denied,
  };
}

/** References in the fields that name workspaces. */
function namedIn(
  { access, input: { shape } }: Operation,
  input: Readonly<Record<string, unknown>>,
): readonly string[] {
  const usual = 'workspace_id' in shape ? ['workspace_id'] : [];
  return [...new Set([...usual, ...(access?.owns ?? [])])].flatMap((field) =>
    strings(input[field]),
  );
}

function strings(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value];
  return Array.isArray(value) ? value.flatMap(strings) : [];
}
