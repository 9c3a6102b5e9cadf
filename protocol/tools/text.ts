/** What the replies of several tools have in common. */
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
