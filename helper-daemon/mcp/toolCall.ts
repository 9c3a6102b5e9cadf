/** tools/call: runs a tool through the daemon and says what came of it. */
import type { CallToolResult, ServerContext } from '@modelcontextprotocol/server';
import { asCoppiceError } from '../../protocol/errors.ts';
import { runTool, ToolError, type FailureKind, type Tool } from '../../protocol/tool.ts';
import type { DaemonLink } from './daemonLink.ts';
import { startProgress } from './progress.ts';

/** What the kinds of failure are called in JSON-RPC. */
const jsonRpcCodes: Readonly<Record<FailureKind, number>> = {
  invalid_request: -32_600,
  invalid_params: -32_602,
  internal_error: -32_603,
};

/** A tool that fails is a result a model can read, never a broken call. */
export async function callTool(
  tool: Tool,
  input: Readonly<Record<string, unknown>>,
  link: DaemonLink,
  context: ServerContext,
): Promise<CallToolResult> {
  const progress = startProgress(context, tool.name);
  try {
    const reply = await runTool(tool, input, (name, operationInput, idempotencyKey) =>
      link.call(name, operationInput, {
        signal: context.mcpReq.signal,
        ...(progress === undefined ? {} : { onProgress: progress.report }),
        ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
      }),
    );
    return {
      content: [{ type: 'text', text: reply.text }],
      structuredContent: { ...reply.structured },
    };
  } catch (error) {
    return failure(error);
  } finally {
    progress?.stop();
  }
}

function failure(error: unknown): CallToolResult {
  const body = asCoppiceError(error).toBody();
  const kind = error instanceof ToolError ? error.kind : 'internal_error';
  const next = body.next === undefined ? '' : `\nNext: ${body.next}`;
  return {
    isError: true,
    content: [{ type: 'text', text: `${body.message}${next}\n(${kind}: ${body.code})` }],
    structuredContent: { error: { kind, jsonrpc_code: jsonRpcCodes[kind], ...body } },
  };
}
