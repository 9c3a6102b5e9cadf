/** What zod (here) or the daemon says about an input, as one sentence that names the flag. */
import { CoppiceError } from '../../../protocol/errors.ts';
import type { OperationName } from '../../../protocol/operations.ts';
import type { CommandSpec } from '../commandSpec.ts';
import { UsageError } from '../failure.ts';
import { longName } from '../program.ts';

export interface InputIssue {
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly code?: string | undefined;
  readonly minimum?: unknown;
  readonly maximum?: unknown;
  readonly inclusive?: boolean | undefined;
  readonly origin?: string | undefined;
  readonly expected?: string | undefined;
  readonly values?: readonly unknown[] | undefined;
}

export function usageErrorFor(
  spec: CommandSpec,
  issues: readonly InputIssue[],
  input: Readonly<Record<string, unknown>>,
): UsageError {
  const [issue] = issues;
  const next = `See coppice ${spec.words} --help.`;
  if (issue === undefined) return new UsageError('The input is not valid.', next);
  const field = String(issue.path[0] ?? '');
  const [, key] = issue.path;
  const named = nameOf(spec, field);
  const value =
    key === undefined ? input[field] : (input[field] as Record<PropertyKey, unknown>)[key];
  const shown = value === undefined ? '' : ` (got ${shorten(JSON.stringify(value))})`;
  const inside = key === undefined ? '' : ` ${String(key)}:`;
  return new UsageError(`${named}${inside} ${ruleOf(issue, value)}${shown}.`, next);
}

/**
 * A daemon's `invalid_input` in the words of the command line; other errors as they are. Commands that
 * start without the schemas learn only here what was wrong.
 */
export async function explainDaemonError(
  error: unknown,
  spec: CommandSpec,
  operation: OperationName,
  input: Readonly<Record<string, unknown>>,
): Promise<unknown> {
  if (!(error instanceof CoppiceError) || error.code !== 'invalid_input') return error;
  const { operations } = await import('../../../protocol/operations.ts');
  const checked = operations[operation].input.safeParse(input);
  if (!checked.success) return usageErrorFor(spec, checked.error.issues, input);
  const issues = error.details?.['issues'];
  return Array.isArray(issues) && issues.length > 0
    ? usageErrorFor(spec, issues as InputIssue[], input)
    : error;
}

function nameOf(spec: CommandSpec, field: string): string {
  const positional = spec.positionals.find(({ key }) => key === field);
  if (positional !== undefined) return `<${positional.label}>`;
  const flag = spec.flags.find(({ key }) => key === field);
  if (flag !== undefined) return longName(flag.spelling);
  if (spec.rest !== undefined) return `The ${spec.rest.label}`;
  return field === '' ? 'The input' : field;
}

function ruleOf(issue: InputIssue, value: unknown): string {
  switch (issue.code) {
    case 'too_small':
      if (issue.origin === 'string') {
        return emptyOr(issue.minimum, 'must have at least', 'characters');
      }
      return `must be ${issue.inclusive === false ? 'more than' : 'at least'} ${String(issue.minimum)}`;
    case 'too_big':
      if (issue.origin === 'string') return `must have at most ${String(issue.maximum)} characters`;
      if (issue.origin === 'array') return `may be given at most ${String(issue.maximum)} times`;
      return `must be at most ${String(issue.maximum)}`;
    case 'invalid_value':
      return `must be one of ${(issue.values ?? []).map(String).join(', ')}`;
    case 'invalid_type':
      return value === undefined
        ? 'is missing'
        : `must be a ${issue.expected === 'int' ? 'whole number' : (issue.expected ?? 'value of another type')}`;
    default:
      return ruleText(issue.message);
  }
}

function emptyOr(minimum: unknown, words: string, unit: string): string {
  return minimum === 1 ? 'must not be empty' : `${words} ${String(minimum)} ${unit}`;
}

/** Messages in the contract are predicates ("must be absolute", "use only …"): make them follow a name. */
function ruleText(message: string): string {
  const trimmed = message.replace(/\.$/, '');
  if (/^(must|is|may|has|should)\b/.test(trimmed)) return trimmed;
  return `is not valid: ${trimmed.charAt(0).toLowerCase()}${trimmed.slice(1)}`;
}

function shorten(text: string): string {
  return text.length > 60 ? `${text.slice(0, 57)}…"` : text;
}
