/** The roles of a team that is to be made, however they were written. */
import { CoppiceError } from '../../protocol/errors.ts';
import { describeIssues } from '../../protocol/issues.ts';
import { teamRole, type TeamRole } from '../../protocol/operations/team.ts';

/** @throws CoppiceError `invalid_input` when there are none, or two of one name */
export function rolesOf(input: {
  readonly roles?: readonly TeamRole[] | undefined;
  readonly role?: readonly string[] | undefined;
}): TeamRole[] {
  const roles = [...(input.roles ?? []), ...(input.role ?? []).map(parseRole)];
  if (roles.length === 0) {
    throw new CoppiceError({
      code: 'invalid_input',
      message: 'A team needs at least one role.',
      next: 'Give roles as [{"name": "coder", "role": "developer"}]; on the command line --role coder=developer.',
    });
  }
  const names = new Set<string>();
  for (const { name } of roles) {
    if (!names.has(name)) names.add(name);
    else throw twice(name);
  }
  return roles;
}

function parseRole(text: string): TeamRole {
  const parsed = teamRole.safeParse(text.startsWith('{') ? fromJson(text) : fromPair(text));
  if (parsed.success) return parsed.data;
  throw invalid(text, describeIssues(parsed.error));
}

function fromPair(text: string): unknown {
  const [name, ...role] = text.split('=');
  return { name, role: role.length === 0 ? name : role.join('=') };
}

function fromJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw invalid(text, error instanceof Error ? error.message : String(error));
  }
}

function invalid(text: string, why: string): CoppiceError {
  return new CoppiceError({
    code: 'invalid_input',
    message: `The role ${JSON.stringify(text.slice(0, 100))} is not valid: ${why}`,
    next: 'Write name=role, or JSON with name, role, skills and description.',
  });
}

function twice(name: string): CoppiceError {
  return new CoppiceError({
    code: 'invalid_input',
    message: `Two roles are named ${name}; every member needs a name of its own.`,
    next: `Name them ${name}-1 and ${name}-2, say.`,
    details: { name },
  });
}
