/** Turns what zod says into one sentence a person can act on. */
import type * as z from 'zod';
import { CoppiceError } from '../../protocol/errors.ts';
import { describeIssues } from '../../protocol/issues.ts';

export function describeInvalidInput(operation: string, error: z.ZodError): CoppiceError {
  return new CoppiceError({
    code: 'invalid_input',
    message: `Bad input for ${operation}: ${describeIssues(error)}.`,
    details: {
      issues: error.issues.slice(0, 20).map((issue) => ({
        path: issue.path.map(String),
        message: issue.message,
      })),
    },
  });
}
