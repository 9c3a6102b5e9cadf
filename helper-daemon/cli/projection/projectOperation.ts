/** A command from an operation: flags from its schema, the call, its output by its renderer. */
import path from 'node:path';
import type { CliSpelling, Operation } from '../../../protocol/operation.ts';
import type { OperationName } from '../../../protocol/operations.ts';
import { asShellCommand } from '../argv/shellQuote.ts';
import type {
  CommandSpec,
  FlagSpec,
  Invocation,
  PositionalSpec,
  RestSpec,
} from '../commandSpec.ts';
import type { CliContext } from '../context.ts';
import { renderOutput } from '../render/renderers.ts';
import { examplesFor, notesFor } from './examples.ts';
import { explainDaemonError, usageErrorFor } from './explainInput.ts';
import { fieldsOf, labelOf, type Field } from './fields.ts';
import { outcomeOf } from './outcomes.ts';
import { treeBefore } from './treeBefore.ts';

export function projectOperation(operation: Operation, cli: CliSpelling): CommandSpec {
  const fields = fieldsOf(operation);
  const taken = new Set([...(cli.positionals ?? []), ...(cli.hidden ?? []), cli.rest ?? '']);
  const spec: CommandSpec = {
    words: cli.command,
    ...(cli.aliases === undefined ? {} : { aliases: cli.aliases }),
    summary: operation.summary,
    ...(operation.description === undefined ? {} : { description: operation.description }),
    positionals: (cli.positionals ?? []).map((name) =>
      positional(fieldNamed(fields, operation, name)),
    ),
    flags: [
      ...fields.filter(({ name }) => !taken.has(name)).map((field) => flag(field, cli)),
      ...(mayRepeat(operation) ? [keyFlag] : []),
    ],
    ...(cli.rest === undefined ? {} : { rest: restOf(fieldNamed(fields, operation, cli.rest)) }),
    ...notesFor(operation.name),
    ...examplesFor(operation.name),
    run: (invocation, context) => runOperation(operation, cli, spec, invocation, context),
  };
  return spec;
}

/** Not an input of the operation, but of the call. */
const keyFlag: FlagSpec = {
  key: 'idempotencyKey',
  spelling: '--idempotency-key',
  kind: 'text',
  description: 'Repeating the command with the same key returns the first result and does nothing',
};

function mayRepeat({ risk, stream }: Operation): boolean {
  return risk !== 'read' && stream === undefined;
}

function fieldNamed(fields: readonly Field[], operation: Operation, name: string): Field {
  const field = fields.find((candidate) => candidate.name === name);
  if (field === undefined) throw new Error(`${operation.name} has no field ${name}.`);
  return field;
}

function positional(field: Field): PositionalSpec {
  return {
    key: field.name,
    label: labelOf(field.name),
    required: field.required,
    // A list takes what is left of the line.
    ...(field.kind === 'list' ? { variadic: true } : {}),
    description: field.description,
    ...(field.choices === undefined ? {} : { choices: field.choices }),
  };
}

function restOf(field: Field): RestSpec {
  return { label: labelOf(field.name), required: field.required };
}

/** The flag of a field, also for commands that are more than one operation. */
function flag(field: Field, cli: Pick<CliSpelling, 'flags' | 'onOff'>): FlagSpec {
  return {
    key: field.name,
    spelling: cli.flags?.[field.name] ?? `--${field.name.replaceAll('_', '-')}`,
    kind: cli.onOff?.includes(field.name) === true ? 'onOff' : field.kind,
    description: field.description,
    required: field.required,
    ...(field.choices === undefined ? {} : { choices: field.choices }),
  };
}

async function runOperation(
  operation: Operation,
  cli: CliSpelling,
  spec: CommandSpec,
  invocation: Invocation,
  context: CliContext,
): Promise<number> {
  const input = inputOf(operation, cli, invocation);
  const checked = operation.input.safeParse(input);
  if (!checked.success) throw usageErrorFor(spec, checked.error.issues, input);
  const key = invocation.flags[keyFlag.key];
  const client = await context.connect();
  const progress =
    operation.risk === 'read' && operation.progress !== true
      ? undefined
      : context.progress(`${operation.summary.split(/[;,]/)[0] ?? ''}…`);
  try {
    const name = operation.name as OperationName;
    const before = context.json ? {} : await treeBefore(name, input, client);
    const output: unknown = await client.call(name, input, {
      signal: context.signal,
      ...(typeof key === 'string' ? { idempotencyKey: key } : {}),
      ...(operation.progress === true && progress !== undefined
        ? { onProgress: ({ message, fraction }) => progress.update(message, fraction) }
        : {}),
    });
    progress?.stop();
    if (context.json) context.printJson(output);
    else context.print(renderOutput(name, output, { ...context.rendering(), input, ...before }));
    const { exitCode, complaint } = outcomeOf(name, output);
    if (complaint !== undefined) context.complain(complaint);
    return exitCode;
  } catch (error) {
    throw await explainDaemonError(error, spec, operation.name as OperationName, input);
  } finally {
    progress?.stop();
    client.close();
  }
}

function inputOf(
  operation: Operation,
  cli: CliSpelling,
  invocation: Invocation,
): Record<string, unknown> {
  const input: Record<string, unknown> = Object.fromEntries(
    Object.entries(invocation.flags).filter(([name]) => name !== keyFlag.key),
  );
  const fields = fieldsOf(operation);
  for (const name of cli.positionals ?? []) {
    const value = invocation.positionals[name];
    if (value === undefined) continue;
    input[name] = positionalValue(fieldNamed(fields, operation, name), value);
  }
  if (cli.rest !== undefined && invocation.rest.length > 0) {
    input[cli.rest] = asShellCommand(invocation.rest);
  }
  // The daemon has another working directory: a path on the host is made absolute where it was typed.
  if (operation.name === 'image_import' && typeof input['source'] === 'string') {
    input['source'] = path.resolve(input['source']);
  }
  return input;
}

/** Text that is no number stays text: the schema then says what is wrong with it. */
function positionalValue(field: Field, value: string | readonly string[]): unknown {
  if (typeof value !== 'string' || (field.kind !== 'integer' && field.kind !== 'number')) {
    return value;
  }
  const number = Number(value);
  return value.trim() === '' || Number.isNaN(number) ? value : number;
}
