/**
 * JSON-RPC between clients and coppiced: what is said besides the operations themselves. Each operation
 * is a request of its own name with `OperationParams`; cancellation is `$/cancelRequest`.
 */
import * as z from 'zod';
import { agentName } from './names.ts';

export { method, rpcErrorCode, wireVersion } from './rpcMethods.ts';

export const initializeParams = z.object({
  protocol: z.int().min(1),
  client: z.object({ name: z.string().min(1).max(64), version: z.string().max(64) }),
  /**
   * Set by clients that act for a coding agent: its stable name, which owns what it makes. Without it the client
   * acts for the person whose account it runs as, who may use everything that account owns.
   */
  agent: agentName.optional(),
});

export interface InitializeResult {
  readonly protocol: number;
  readonly server: { readonly name: 'coppiced'; readonly version: string; readonly pid: number };
  readonly mode: 'user' | 'system';
  /** Names of the operations this daemon answers. */
  readonly capabilities: readonly string[];
}

export const operationParams = z.object({
  input: z.record(z.string(), z.unknown()),
  /** Ask for progress notifications that carry this token. */
  progress_token: z.union([z.string().max(64), z.int()]).optional(),
  /** A second call with the same key and input gets the first one's outcome; it does not act again. */
  idempotency_key: z
    .string()
    .min(1)
    .max(160)
    .regex(/^[\x21-\x7e]+$/, 'use printable ASCII without spaces')
    .optional(),
});

export const subscribeParams = z.object({ cursor: z.string().max(128).optional() });

export interface ProgressParams {
  readonly token: string | number;
  readonly message: string;
  /** 0 to 1 where it is known. */
  readonly fraction?: number;
}
