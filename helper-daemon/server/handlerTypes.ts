/** What the server needs to answer an operation. The handler map must be complete to compile. */
import type { OperationName, OutputOf, ParsedInputOf } from '../../protocol/operations.ts';
import type { Caller } from '../workspaces/callers.ts';
import type { StreamHandler } from './tickets.ts';

export interface CallContext {
  /** Aborted when the caller cancels or goes away. */
  readonly signal: AbortSignal;
  /** Whom the call is for; owns what it makes. */
  readonly caller: Caller;
  /** The connection the call came in on. */
  readonly session: SessionHandle;
  progress(message: string, fraction?: number): void;
}

export interface SessionHandle {
  readonly id: string;
  readonly clientName: string;
  /** Uid of the user of a system daemon; undefined for the daemon's own account. */
  readonly peerUid: number | undefined;
  /** Issues a ticket for a byte stream; `expired` when it is not redeemed. */
  openStream(handler: StreamHandler, expired: () => void): string;
  /** Runs when the connection has ended. */
  onClose(listener: () => void): void;
}

export type Handler<N extends OperationName> = (
  input: ParsedInputOf<N>,
  context: CallContext,
) => Promise<OutputOf<N>>;

export type Handlers = { readonly [N in OperationName]: Handler<N> };
