/** Names and references as they come from outside. */
import * as z from 'zod';
import { limits } from './limits.ts';

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export function isUuid(text: string): boolean {
  return uuidPattern.test(text);
}

export const workspaceName = z
  .string()
  .min(1)
  .max(limits.nameLength)
  .regex(/^[A-Za-z0-9._-]+$/, 'use only letters, digits, ".", "_" and "-"')
  .refine((name) => !isUuid(name), 'a name must not look like a workspace id');

export const workspaceRef = z
  .string()
  .min(1)
  .max(limits.nameLength)
  .regex(/^[A-Za-z0-9._-]+$/, 'not a workspace name or id')
  .describe('Workspace name or id');

export const imageName = z
  .string()
  .min(1)
  .max(limits.nameLength)
  .regex(/^[A-Za-z0-9._-]+$/, 'use only letters, digits, ".", "_" and "-"')
  .refine((name) => !name.includes('..'), 'must not contain ".."');

/** Name under which an agent owns what it makes. */
export const agentName = z
  .string()
  .min(1)
  .max(64)
  .regex(/^[A-Za-z0-9._@-]+$/, 'use only letters, digits, ".", "_", "@" and "-"');

/** A path inside a machine. */
export const guestPath = z
  .string()
  .min(1)
  .refine((path) => !path.includes('\0'), 'must not contain NUL')
  .refine((path) => Buffer.byteLength(path) <= limits.pathBytes, 'is longer than 4096 bytes')
  .refine(
    (path) => path.startsWith('/'),
    'must be absolute (start with "/"); "~" is not expanded inside a machine',
  );

/** These decide what a command means or which code it loads, before it has begun. */
const reservedEnvName = /^(?:PATH|IFS|ENV|BASH_ENV|LD_.*)$/;

/** Why a variable of this name cannot be set in a machine; undefined where it can. */
export function envNameProblem(name: string): string | undefined {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return 'is not a variable name';
  if (!reservedEnvName.test(name)) return undefined;
  return `must not be set from outside; set it in the command itself (${name}=… command)`;
}

export const envVars = z
  .record(
    z.string(),
    z.string().refine((value) => !value.includes('\0'), 'must not contain NUL'),
  )
  .superRefine((vars, context) => {
    for (const name of Object.keys(vars)) {
      const problem = envNameProblem(name);
      if (problem === undefined) continue;
      context.addIssue({
        code: 'custom',
        path: [name.slice(0, limits.nameLength)],
        message: problem,
      });
    }
  })
  .refine((vars) => Object.keys(vars).length <= limits.envEntries, 'too many variables');

/** Octal permission bits as people write them: 644, 0644, 0o644. */
export const fileMode = z
  .string()
  .regex(/^(0o?)?[0-7]{3,4}$/, 'give octal permission bits such as 0644');

export function parseFileMode(text: string): number {
  return Number.parseInt(text.replace(/^0o?/, ''), 8);
}

/**
 * An RFC 1123 host name for any workspace name: other characters become "-", and a name that had to be
 * changed or cut gets the first characters of the id, so that two of them never collide.
 */
export function hostnameFor(name: string, id: string): string {
  const plain = name
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, '-')
    .replace(/^-+|-+$/g, '');
  if (plain === name.toLowerCase() && plain.length <= 63) return plain;
  const suffix = id.slice(0, 8);
  const head = plain.slice(0, 63 - suffix.length - 1).replace(/-+$/, '');
  return head === '' ? `ws-${suffix}` : `${head}-${suffix}`;
}
