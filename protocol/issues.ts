/** What zod found wrong, in words a person can act on. */
import type * as z from 'zod';

/** The first few problems: `field: what is wrong; …`. */
export function describeIssues(error: z.ZodError): string {
  return error.issues
    .slice(0, 5)
    .map((issue) => {
      const field = issue.path.map(String).join('.');
      return field === '' ? issue.message : `${field}: ${issue.message}`;
    })
    .join('; ');
}
