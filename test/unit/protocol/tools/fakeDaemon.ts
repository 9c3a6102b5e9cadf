/** Runs a tool on operations that answer what a test says. */
import { CoppiceError } from '../../../../protocol/errors.ts';
import type { InputOf, OperationName } from '../../../../protocol/operations.ts';
import { runTool, ToolError, type Tool, type ToolReply } from '../../../../protocol/tool.ts';

export type Answers = {
  readonly [N in OperationName]?: (input: InputOf<N>) => unknown;
};

export interface Called {
  readonly name: string;
  readonly input: unknown;
  readonly key: string | undefined;
}

export async function use(
  tool: Tool,
  input: Readonly<Record<string, unknown>>,
  answers: Answers,
  calls: Called[] = [],
): Promise<ToolReply> {
  return await runTool(tool, input, (name, operationInput, key) => {
    calls.push({ name, input: operationInput, key });
    const answer = answers[name] as ((given: unknown) => unknown) | undefined;
    if (answer === undefined) throw new Error(`${name} was not expected`);
    return Promise.resolve().then(() => answer(operationInput)) as never;
  });
}

/** The error of a tool that must fail. */
export async function failing(
  tool: Tool,
  input: Readonly<Record<string, unknown>>,
  answers: Answers = {},
): Promise<ToolError> {
  try {
    await use(tool, input, answers);
  } catch (error) {
    if (error instanceof ToolError) return error;
    throw error;
  }
  throw new Error(`${tool.name} should have failed`);
}

export function fails(
  code: CoppiceError['code'],
  details: Readonly<Record<string, unknown>> = {},
): () => never {
  return () => {
    throw new CoppiceError({ code, message: `${code} it is`, details });
  };
}
