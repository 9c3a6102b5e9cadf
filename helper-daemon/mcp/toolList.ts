/** tools/list: the catalogue as MCP describes tools. */
import type { Tool as McpTool } from '@modelcontextprotocol/server';
import * as z from 'zod';
import { toolInput, type Tool } from '../../protocol/tool.ts';

export type Toolset = 'core' | 'full';

export function toolsOf(all: readonly Tool[], toolset: Toolset): readonly Tool[] {
  return toolset === 'full' ? all : all.filter((tool) => tool.toolset === 'core');
}

export function describeTool(tool: Tool): McpTool {
  return {
    name: tool.name,
    title: tool.title,
    description: tool.description,
    inputSchema: { ...jsonSchemaOf(toolInput(tool), 'input'), type: 'object' },
    outputSchema: orError(jsonSchemaOf(tool.output, 'output')),
    annotations: {
      title: tool.title,
      readOnlyHint: tool.risk === 'read',
      destructiveHint: tool.risk === 'destructive',
      idempotentHint: tool.retry === 'safe',
      openWorldHint: tool.openWorld === true,
    },
  };
}

/** Plain JSON Schema (2020-12) of what callers send or get, without what only costs an agent's context. */
export function jsonSchemaOf(schema: z.ZodType, io: 'input' | 'output'): Record<string, unknown> {
  const described: Record<string, unknown> = z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    override: ({ jsonSchema }) => {
      // Results may get further fields at any time, and unknown parameters are ignored.
      if (jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
      // Beside its format, the pattern of a uuid or a time only repeats it.
      if (jsonSchema.format !== undefined) delete jsonSchema.pattern;
    },
  });
  delete described['$schema'];
  return described;
}

/** Widely used clients check failed results against the schema, too, and drop those that do not match. */
function orError(schema: Record<string, unknown>): Record<string, unknown> {
  const { required, properties, ...rest } = schema;
  const fields = properties as Record<string, unknown> | undefined;
  const failure = { type: 'object', description: 'Only where isError is set: what failed and why' };
  return {
    ...rest,
    properties: {
      ...fields,
      error: fields?.['error'] === undefined ? failure : { anyOf: [fields['error'], failure] },
    },
    ...(required === undefined ? {} : { anyOf: [{ required }, { required: ['error'] }] }),
  };
}
