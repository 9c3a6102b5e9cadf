/** `coppice tool`: the agents' tools, called by hand or by a script. */
import { open } from 'node:fs/promises';
import { limits } from '../../../protocol/limits.ts';
import { CoppiceError } from '../../../protocol/errors.ts';
import type { Tool, ToolError } from '../../../protocol/tool.ts';
import { connectDaemon } from '../../client/startDaemon.ts';
import { chosenAgent } from '../../mcp/identity.ts';
import { version } from '../../system/version.ts';
import { text, type CommandSpec, type Invocation } from '../commandSpec.ts';
import type { CliContext } from '../context.ts';
import { exitCodes } from '../exitCodes.ts';
import { reportFailure, UsageError } from '../failure.ts';

export const toolSpec: CommandSpec = {
  words: 'tool',
  summary: 'Call a tool as coding agents do',
  description: 'Prints the text that an agent would read.',
  positionals: [
    { key: 'name', label: 'name', required: false, description: 'Name of the tool' },
    {
      key: 'input',
      label: 'input',
      required: false,
      description: 'Parameters as a JSON object, @file or - for standard input; default {}',
    },
  ],
  flags: [
    {
      key: 'structured',
      spelling: '--structured',
      kind: 'switch',
      description: 'Print the structured result instead, as JSON; also of a failure',
    },
    { key: 'list', spelling: '--list', kind: 'switch', description: 'List the tools' },
    {
      key: 'schema',
      spelling: '--schema',
      kind: 'switch',
      description: 'Print the JSON Schemas of its parameters and its result',
    },
    {
      key: 'session',
      spelling: '--session <name>',
      kind: 'text',
      description: 'Act for this agent; default: COPPICE_SESSION, else for you',
    },
  ],
  notes: 'Exit code: 0, or 1 when the tool failed; why is on standard error.',
  examples: [
    ['coppice tool --list', 'What there is.'],
    [
      `coppice tool exec --json '{"workspace_id": "demo", "command": "uname -a"}'`,
      'Before its parameters --json may be left out.',
    ],
    ['coppice tool workspace_list --structured', 'JSON, for jq.'],
  ],
  run: runToolCommand,
};

async function runToolCommand(invocation: Invocation, context: CliContext): Promise<number> {
  const { flags } = invocation;
  const { tools } = await import('../../../protocol/tools.ts');
  if (flags['list'] === true) {
    await printList(tools, context);
    return exitCodes.ok;
  }
  const name = text(invocation, 'name');
  const tool = tools.find((candidate) => candidate.name === name);
  if (tool === undefined) {
    throw new UsageError(
      name === '' ? 'Say which tool.' : `There is no tool named ${JSON.stringify(name)}.`,
      'coppice tool --list shows them.',
    );
  }
  if (flags['schema'] === true) {
    const { describeTool } = await import('../../mcp/toolList.ts');
    const { inputSchema, outputSchema } = describeTool(tool);
    context.print(JSON.stringify({ input: inputSchema, output: outputSchema }, undefined, 2));
    return exitCodes.ok;
  }
  const session = flags['session'];
  const agent = chosenAgent(typeof session === 'string' ? session : undefined, process.env);
  const input = await readInput(text(invocation, 'input'));
  return await call(tool, input, agent, flags['structured'] === true, context);
}

async function call(
  tool: Tool,
  input: Readonly<Record<string, unknown>>,
  agent: string | undefined,
  structured: boolean,
  context: CliContext,
): Promise<number> {
  const { runTool, ToolError } = await import('../../../protocol/tool.ts');
  const progress = context.progress(tool.name);
  const client = await connectDaemon({
    name: 'coppice-cli',
    version,
    ...(agent === undefined ? {} : { agent }),
  }).finally(() => progress.stop());
  try {
    const reply = await runTool(tool, input, (name, operationInput, idempotencyKey) =>
      client.call(name, operationInput, {
        signal: context.signal,
        ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
      }),
    );
    if (structured) context.printJson(reply.structured);
    else context.print(reply.text);
    return exitCodes.ok;
  } catch (error) {
    if (!(error instanceof ToolError)) throw error;
    report(error, structured, context);
    return exitCodes.negative;
  } finally {
    client.close();
  }
}

function report(error: ToolError, structured: boolean, context: CliContext): void {
  if (structured) {
    context.printJson({ error: { kind: error.kind, ...error.toBody() } });
    return;
  }
  // Standard output has what the tool says; --json may only stand before the parameters.
  reportFailure(error, false);
  process.stderr.write(`(${error.kind}: ${error.code})\n`);
}

async function printList(tools: readonly Tool[], context: CliContext): Promise<void> {
  if (context.json) {
    const { describeTool } = await import('../../mcp/toolList.ts');
    context.printJson(tools.map(describeTool));
    return;
  }
  const width = Math.max(...tools.map(({ name }) => name.length));
  for (const { name, description } of tools) {
    const [first = ''] = description.split(/(?<=\.)\s|\n/);
    context.print(`${name.padEnd(width)}  ${first}`);
  }
}

const longestInput = limits.rpcFrameBytes;

async function readInput(given: string): Promise<Readonly<Record<string, unknown>>> {
  const source = given === '' ? '{}' : given;
  const json =
    source === '-'
      ? await readAll(process.stdin)
      : source.startsWith('@')
        ? await readFile(source.slice(1))
        : source;
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw notAnObject(error instanceof Error ? error.message : String(error));
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw notAnObject(`got ${Array.isArray(value) ? 'an array' : String(value)}`);
  }
  return value as Readonly<Record<string, unknown>>;
}

async function readFile(path: string): Promise<string> {
  const handle = await open(path).catch((error: unknown) => {
    throw new CoppiceError({
      code: 'file_error',
      message: `${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      next: 'Check the path after @.',
    });
  });
  return await readAll(handle.createReadStream());
}

async function readAll(stream: AsyncIterable<unknown>): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream) {
    chunks.push(chunk as Buffer);
    length += (chunk as Buffer).length;
    if (length > longestInput) {
      throw notAnObject(`there are more than ${String(longestInput)} bytes`);
    }
  }
  return Buffer.concat(chunks).toString('utf8');
}

function notAnObject(why: string): UsageError {
  return new UsageError(
    `The parameters must be one JSON object: ${why}.`,
    `For example: coppice tool exec '{"workspace_id": "demo", "command": "true"}'`,
  );
}
