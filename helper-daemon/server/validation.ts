/** Turns what zod says into one sentence a person can act on. */
import type * as z from 'zod';
import { CoppiceError } from '../../protocol/errors.ts';

export function describeInvalidInput(operation: string, error: z.ZodError): CoppiceError {
  const problems = error.issues.slice(0, 5).map((issue) => {
    const field = issue.path.map(String).join('.');
    return field === '' ? issue.message : `${field}: ${issue.message}`;
  });
  return new CoppiceError({
    code: 'invalid_input',
    message: `Bad input for ${operation}: ${problems.join('; ')}.`,
    details: {
      issues: error.issues.slice(0, 20).map((issue) => ({
        path: issue.path.map(String),
        message: issue.message,
      })),
    },
  });
}
