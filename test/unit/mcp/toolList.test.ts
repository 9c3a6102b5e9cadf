/** What clients are told of the tools: correct for every one of them. */
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/client/validators/ajv';
import * as z from 'zod';
import { describe, expect, it } from 'vitest';
import { describeTool, jsonSchemaOf, toolsOf } from '../../../helper-daemon/mcp/toolList.ts';
import { defineTool } from '../../../protocol/tool.ts';
import { tools } from '../../../protocol/tools.ts';

const validator = new AjvJsonSchemaValidator();
const failure = {
  error: { kind: 'internal_error', jsonrpc_code: -32603, code: 'internal', message: 'no' },
};

describe.each(tools.map((tool) => [tool.name, tool] as const))('%s', (_, tool) => {
  const { inputSchema, outputSchema, description, annotations } = describeTool(tool);

  it('has schemas that a validator takes and that are objects', () => {
    expect(inputSchema.type).toBe('object');
    expect(outputSchema?.type).toBe('object');
    expect(() => validator.getValidator(inputSchema as never)).not.toThrow();
    expect(JSON.stringify([inputSchema, outputSchema])).not.toContain('$ref');
  });

  it('may fail within its schema: clients check that, too', () => {
    const check = validator.getValidator(outputSchema as never);
    expect(check(failure)).toMatchObject({ valid: true });
  });

  it('lets results have further fields', () => {
    expect(outputSchema).not.toHaveProperty('additionalProperties', false);
  });

  it('takes an idempotency key exactly where it changes something', () => {
    const has = Object.hasOwn(inputSchema.properties ?? {}, 'idempotency_key');
    expect(has).toBe(annotations?.readOnlyHint === false);
  });

  it('says what it does', () => {
    expect(description?.length).toBeGreaterThan(20);
  });
});

describe('toolsets', () => {
  it('have the core within the full one', () => {
    const core = toolsOf(tools, 'core');
    expect(toolsOf(tools, 'full')).toEqual(tools);
    expect(core.length).toBeGreaterThan(0);
    expect(core.length).toBeLessThan(tools.length);
    expect(core.every(({ toolset }) => toolset === 'core')).toBe(true);
  });
});

describe('schemas', () => {
  it('leave out what only costs context', () => {
    const schema = jsonSchemaOf(z.object({ id: z.uuid(), n: z.int(), m: z.int().min(1) }), 'input');
    expect(schema).toEqual({
      type: 'object',
      properties: {
        id: { type: 'string', format: 'uuid' },
        n: { type: 'integer' },
        m: { type: 'integer', minimum: 1 },
      },
      required: ['id', 'n', 'm'],
    });
  });

  it('keep a field named error that a result has of its own', () => {
    const tool = defineTool({
      name: 'sample',
      title: 'Sample',
      description: 'A tool with an error of its own.',
      input: z.object({}),
      output: z.object({ error: z.string() }),
      toolset: 'full',
      risk: 'read',
      retry: 'safe',
      failure: 'internal_error',
      run: async () => ({ error: 'not_a_git_repository' }),
    });
    const check = validator.getValidator(describeTool(tool).outputSchema as never);
    expect(check({ error: 'not_a_git_repository' })).toMatchObject({ valid: true });
    expect(check(failure)).toMatchObject({ valid: true });
    expect(check({ error: 5 })).toMatchObject({ valid: false });
  });
});
