/**
 * The names and numbers of the JSON-RPC contract (wire.ts), apart from its schemas: a client that only
 * talks need not load a schema library to do so.
 */

/** The wire contract's version. The lower side wins; below `oldest` a peer is refused. */
export const wireVersion = { current: 1, oldest: 1 } as const;

export const method = {
  initialize: 'initialize',
  subscribe: 'events/subscribe',
  event: 'events/event',
  progress: 'progress',
} as const;

/** JSON-RPC error codes; `data` is an ErrorBody for `operationFailed`. */
export const rpcErrorCode = { operationFailed: -32000, notInitialized: -32002 } as const;
