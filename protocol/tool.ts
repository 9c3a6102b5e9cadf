/**
 * A tool is what an agent sees: one verb of the agent contract, made from one or several operations. Its
 * parameters are the operations' own schemas, put together; MCP, `coppice tool`, VS Code and docs/tools.md are
 * all derived from these values.
 */
import * as z from 'zod';
import { asCoppiceError, CoppiceError, type ErrorBody, type ErrorCode } from './errors.ts';
import { describeIssues } from './issues.ts';
import type { Risk } from './operation.ts';
import type { InputOf, OperationName, OutputOf } from './operations.ts';

/** The three ways a tool fails: JSON-RPC -32600, -32602 and -32603. */
export type FailureKind = 'invalid_request' | 'invalid_params' | 'internal_error';

/** What a tool works with. */
export interface ToolContext {
  /** Calls an operation of the daemon; its progress becomes the tool's. @throws CoppiceError */
  call<N extends OperationName>(name: N, input: InputOf<N>): Promise<OutputOf<N>>;
}

export interface Tool<
  Name extends string = string,
  Input extends z.ZodObject = z.ZodObject,
  Output extends z.ZodObject = z.ZodObject,
> {
  readonly name: Name;
  /** For people: two or three words. */
  readonly title: string;
  /** What it does and when to use it; the first sentence stands alone in lists. */
  readonly description: string;
  /** Fields come from the operations' schemas wherever they mean the same. */
  readonly input: Input;
  /** Structured result; further fields may be added at any time. */
  readonly output: Output;
  /** The text beside it; compact JSON of the result where absent. */
  text?(output: z.output<Output>, input: z.output<Input>): string;
  /** `core`: one of the few that are offered alone with --toolset core. */
  readonly toolset: 'core' | 'full';
  /** The strongest thing any of its actions does. */
  readonly risk: Risk;
  /** Whether calling it again with the same input does no further harm. */
  readonly retry: 'safe' | 'unsafe';
  /** Reaches something outside this host. */
  readonly openWorld?: true;
  /** How it fails when the work itself fails; what is wrong with the parameters is always invalid_params. */
  readonly failure: FailureKind;
  /** Where that depends on the action, or on what went wrong. */
  failureOf?(input: z.output<Input>, error: CoppiceError): FailureKind;
  run(input: z.output<Input>, context: ToolContext): Promise<z.input<Output>>;
}

/** How a tool's failure looks to its caller. */
export interface ToolFailure extends ErrorBody {
  readonly kind: FailureKind;
}

export interface ToolReply {
  readonly text: string;
  readonly structured: Readonly<Record<string, unknown>>;
}

/** Accepted by every tool that changes something. */
const idempotencyKey = z
  .string()
  .min(1)
  .max(128)
  .regex(/^[\x21-\x7e]+$/, 'use printable ASCII without spaces')
  .describe('A retry with the same key returns the first result instead of acting again');

export function defineTool<
  const Name extends string,
  Input extends z.ZodObject,
  Output extends z.ZodObject,
>(tool: Tool<Name, Input, Output>): Tool<Name, Input, Output> {
  return tool;
}

/** A tool's parameters as callers may give them: with idempotency_key where it changes something. */
export function toolInput(tool: Tool): z.ZodObject {
  return tool.risk === 'read'
    ? tool.input
    : tool.input.extend({ idempotency_key: idempotencyKey.optional() });
}

/** How operations are called for a tool. */
export type CallOperation = <N extends OperationName>(
  name: N,
  input: InputOf<N>,
  idempotencyKey?: string,
) => Promise<OutputOf<N>>;

/** A failure that already knows its kind. */
export class ToolError extends CoppiceError {
  readonly kind: FailureKind;
  constructor(kind: FailureKind, body: ErrorBody) {
    super(body);
    this.kind = kind;
  }
}

/**
 * Runs a tool on whatever its caller sent. Null counts as absent, unknown fields are ignored.
 * @throws ToolError
 */
export async function runTool(
  tool: Tool,
  raw: Readonly<Record<string, unknown>>,
  call: CallOperation,
): Promise<ToolReply> {
  const parsed = toolInput(tool).safeParse(withoutNulls(raw));
  if (!parsed.success) {
    throw new ToolError('invalid_params', {
      code: 'invalid_input',
      message: `${tool.name}: ${describeIssues(parsed.error)}`,
      next: `Correct the arguments; docs/tools.md and the tool's schema describe ${tool.name}.`,
    });
  }
  const { idempotency_key: key, ...input } = parsed.data;
  let calls = 0;
  const context: ToolContext = {
    // A tool that makes several calls needs a key for each of them.
    call: (name, operationInput) => {
      calls += 1;
      return call(
        name,
        operationInput,
        typeof key === 'string' ? `${key}/${String(calls)}` : undefined,
      );
    },
  };
  try {
    const structured = tool.output.parse(await tool.run(input, context));
    return { text: tool.text?.(structured, input) ?? JSON.stringify(structured), structured };
  } catch (error) {
    throw toToolError(tool, input, error);
  }
}

function toToolError(tool: Tool, input: Record<string, unknown>, error: unknown): ToolError {
  if (error instanceof ToolError) return error;
  const failure = asCoppiceError(error);
  return new ToolError(kindOf(tool, input, failure), failure.toBody());
}

/** Refusals that say something about the request, not about the work. */
const refusals: ReadonlySet<ErrorCode> = new Set([
  'not_owned',
  'rate_limited',
  'quota_exceeded',
  'idempotency_conflict',
]);

function kindOf(tool: Tool, input: Record<string, unknown>, error: CoppiceError): FailureKind {
  const { code, details = {} } = error;
  if (code === 'invalid_input') return 'invalid_params';
  // With a name it is something of a workspace that is not there.
  const noWorkspace =
    code === 'not_found' && details['workspace_id'] !== undefined && details['name'] === undefined;
  if (refusals.has(code) || noWorkspace) return 'invalid_request';
  return tool.failureOf?.(input, error) ?? tool.failure;
}

/** Clients write null for "not given": as an argument, and in the fields of the things in a list. */
function withoutNulls(fields: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields)
      .filter(([, value]) => value !== null)
      .map(([name, value]: [string, unknown]) => [
        name,
        Array.isArray(value)
          ? value.map((item: unknown) => (isPlain(item) ? withoutNulls(item) : item))
          : value,
      ]),
  );
}

function isPlain(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
