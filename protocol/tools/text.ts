/** What the replies of several tools have in common. */
import { CoppiceError, type ErrorCode } from '../errors.ts';
import { ToolError, type ToolFailure } from '../tool.ts';

/** The contract's times: RFC 3339 in UTC, with the offset written out. */
export function contractTime(time: string): string {
  return new Date(time).toISOString().replace('Z', '+00:00');
}

/** @throws ToolError `invalid_params` */
export function missingField(tool: string, action: string, field: string): never {
  throw new ToolError('invalid_params', missing(tool, action, field));
}

export function missing(tool: string, action: string, field: string): Omit<ToolFailure, 'kind'> {
  return {
    code: 'invalid_input',
    message: `${tool}: action "${action}" needs ${field}.`,
    next: `Call it again with ${field}.`,
  };
}

/** Refusals that say something about the request, not about the work. */
const refusals: ReadonlySet<ErrorCode> = new Set([
  'not_owned',
  'rate_limited',
  'quota_exceeded',
  'idempotency_conflict',
]);

/**
 * Awaits what a tool that fails with `internal_error` does. Who was refused, or named a workspace that is not
 * there, has asked for the wrong thing all the same.
 */
export async function refusedAsRequest<T>(
  work: Promise<T>,
  isToo: (error: CoppiceError) => boolean = () => false,
): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof CoppiceError) || error instanceof ToolError) throw error;
    if (isRefusal(error) || isToo(error)) {
      throw new ToolError('invalid_request', error.toBody());
    }
    throw error;
  }
}

function isRefusal({ code, details = {} }: CoppiceError): boolean {
  if (code !== 'not_found') return refusals.has(code);
  // With a name it is something of a workspace that is not there.
  return details['workspace_id'] !== undefined && details['name'] === undefined;
}
