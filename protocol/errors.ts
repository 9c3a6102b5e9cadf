/**
 * The one error type that crosses the wire. `code` is stable and machine-readable; `message` says what
 * happened and why; `next` says what to do about it. Every code is made by one factory.
 */
export const errorCodes = [
  'invalid_input',
  'not_found',
  'name_taken',
  'wrong_state',
  'busy',
  'port_taken',
  'limit_exceeded',
  'no_space',
  'no_memory',
  'image_missing',
  'image_corrupt',
  'image_in_use',
  'image_invalid',
  'has_dependents',
  'snapshot_incompatible',
  'layer_missing',
  'layer_corrupt',
  'memory_missing',
  'memory_corrupt',
  'archive_invalid',
  'boot_assets_missing',
  'prerequisite_missing',
  'boot_failed',
  'boot_timeout',
  'guest_unreachable',
  'guest_error',
  'file_not_found',
  'file_exists',
  'file_error',
  'not_started',
  'outcome_unknown',
  'timeout',
  'cancelled',
  'command_failed',
  'permission_denied',
  'not_owned',
  'quota_exceeded',
  'rate_limited',
  'idempotency_conflict',
  'vault_error',
  'git_error',
  'merge_conflict',
  'daemon_unavailable',
  'daemon_conflict',
  'protocol_mismatch',
  'internal',
] as const;

export type ErrorCode = (typeof errorCodes)[number];

/** The plain form that travels in the `data` field of a JSON-RPC error. */
export interface ErrorBody {
  readonly code: ErrorCode;
  readonly message: string;
  /** What the reader can do now. */
  readonly next?: string;
  /** Facts for programs: names, paths, limits. JSON values only. */
  readonly details?: Readonly<Record<string, unknown>>;
}

export class CoppiceError extends Error implements ErrorBody {
  override readonly name = 'CoppiceError';
  readonly code: ErrorCode;
  readonly next?: string;
  readonly details?: Readonly<Record<string, unknown>>;

  constructor(body: ErrorBody, options?: { cause?: unknown }) {
    super(body.message, options);
    this.code = body.code;
    if (body.next !== undefined) this.next = body.next;
    if (body.details !== undefined) this.details = body.details;
  }

  toBody(): ErrorBody {
    return {
      code: this.code,
      message: this.message,
      ...(this.next === undefined ? {} : { next: this.next }),
      ...(this.details === undefined ? {} : { details: this.details }),
    };
  }
}

/** Any thrown value as a CoppiceError; what is not one of ours becomes `internal`. */
export function asCoppiceError(error: unknown): CoppiceError {
  if (error instanceof CoppiceError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new CoppiceError(
    {
      code: 'internal',
      message: `Unexpected failure: ${message}`,
      next: 'Look at the daemon log (coppice status names it) and report this as a bug.',
    },
    { cause: error },
  );
}

export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && (errorCodes as readonly string[]).includes(value);
}
