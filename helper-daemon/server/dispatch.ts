/** What happens around every operation: who may call it, how often, once or again, and who is told. */
import { asCoppiceError, CoppiceError, type ErrorCode } from '../../protocol/errors.ts';
import type { Operation } from '../../protocol/operation.ts';
import { operations, type OperationName } from '../../protocol/operations.ts';
import { callerKey, mayUse, type Caller } from '../workspaces/callers.ts';
import { adopt, requireOwned } from '../workspaces/ownership.ts';
import { resolveWorkspace } from '../workspaces/resolve.ts';
import type { WorkspaceServices } from '../workspaces/services.ts';
import type { CallContext, Handlers } from './handlerTypes.ts';
import type { KeyedCalls } from './idempotency.ts';
import type { RateLimits } from './rateLimits.ts';

/** A call as those see it who write it down. */
export interface ObservedCall {
  readonly operation: Operation;
  /** As validated; may hold secrets and file contents. */
  readonly input: Readonly<Record<string, unknown>>;
  readonly caller: Caller;
  readonly clientName: string;
}

/** `result` is what it answered where it succeeded. */
export type CallEnd = (outcome: 'ok' | ErrorCode, durationMs: number, result?: unknown) => void;

export interface CallObserver {
  /** Before it acts; what is returned is called when it has ended. Throwing keeps it from acting. */
  begin(call: ObservedCall): CallEnd;
  /** It was refused for who called or how often; it did not begin. */
  denied(call: ObservedCall, code: ErrorCode): void;
}

export interface DispatchServices {
  readonly handlers: Handlers;
  readonly workspaces: WorkspaceServices;
  readonly rates: RateLimits;
  readonly keyed: KeyedCalls;
  readonly observers: readonly CallObserver[];
}

export type Dispatch = (
  name: OperationName,
  input: Readonly<Record<string, unknown>>,
  context: CallContext,
  idempotencyKey?: string,
) => Promise<unknown>;

export function dispatcher(services: DispatchServices): Dispatch {
  return async (name, input, context, idempotencyKey) => {
    const operation: Operation = operations[name];
    const { caller, session } = context;
    services.workspaces.callers.heard(caller);
    const call: ObservedCall = { operation, input, caller, clientName: session.clientName };
    const handle = services.handlers[name] as (
      input: unknown,
      context: CallContext,
    ) => Promise<unknown>;
    const act = async (): Promise<unknown> => {
      try {
        chargeRate(services.rates, operation, input, caller);
        requireAccess(services.workspaces, operation, input, caller);
      } catch (error) {
        const { code } = asCoppiceError(error);
        for (const observer of services.observers) observer.denied(call, code);
        throw error;
      }
      const ended = services.observers.map((observer) => observer.begin(call));
      const started = performance.now();
      const tell = (outcome: 'ok' | ErrorCode, result?: unknown): void => {
        for (const end of ended) end(outcome, performance.now() - started, result);
      };
      try {
        const result = await handle(input, context);
        tell('ok', result);
        return result;
      } catch (error) {
        tell(asCoppiceError(error).code);
        throw error;
      }
    };
    if (idempotencyKey === undefined || operation.risk === 'read') return await act();
    if (operation.stream !== undefined) throw noKeysForStreams(name);
    return await services.keyed.once(
      { caller: callerKey(caller), key: idempotencyKey, operation: name, input },
      act,
    );
  };
}

function chargeRate(
  rates: RateLimits,
  { access, risk }: Operation,
  input: Readonly<Record<string, unknown>>,
  caller: Caller,
): void {
  const category = access?.rate ?? (risk === 'read' ? undefined : 'default');
  if (category === undefined) return;
  rates.charge(caller, category, access?.cost?.(input));
}

/** Every workspace the input names, and that must be the caller's, is. */
function requireAccess(
  services: WorkspaceServices,
  operation: Operation,
  input: Readonly<Record<string, unknown>>,
  caller: Caller,
): void {
  const fields = operation.access?.owns ?? ['workspace_id'];
  for (const reference of fields.flatMap((field) => references(input[field]))) {
    if (operation.access?.adopts === true) {
      const record = resolveWorkspace(services.store, reference);
      if (!mayUse(caller, record.owner)) adopt(services, caller, record.id, true);
      continue;
    }
    requireOwned(services, caller, reference);
  }
}

function references(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (Array.isArray(value)) return value.flatMap(references);
  return [];
}

function noKeysForStreams(name: string): CoppiceError {
  return new CoppiceError({
    code: 'invalid_input',
    message: `${name} opens a byte stream, which cannot be repeated under an idempotency key.`,
    next: 'Call it without a key.',
  });
}
