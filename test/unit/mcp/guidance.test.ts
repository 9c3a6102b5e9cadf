/** What agents are told in words must be about tools and parameters that exist. */
import * as z from 'zod';
import { describe, expect, it } from 'vitest';
import { instructions } from '../../../helper-daemon/mcp/instructions.ts';
import { prompts } from '../../../helper-daemon/mcp/prompts/catalogue.ts';
import { toolInput } from '../../../protocol/tool.ts';
import { tools } from '../../../protocol/tools.ts';

const known = new Set<string>();
for (const tool of tools) {
  known.add(tool.name);
  collectNames(z.toJSONSchema(toolInput(tool), { io: 'input', unrepresentable: 'any' }));
  collectNames(z.toJSONSchema(tool.output, { unrepresentable: 'any' }));
}

/** Properties, and values of enumerations, at any depth. */
function collectNames(schema: unknown): void {
  if (typeof schema !== 'object' || schema === null) return;
  for (const [key, value] of Object.entries(schema)) {
    if (key === 'properties') for (const name of Object.keys(value as object)) known.add(name);
    if (key === 'enum') for (const name of value as unknown[]) known.add(String(name));
    if (key === 'const') known.add(String(value));
    collectNames(value);
  }
}

/** Fields of task notes in the vault, which no schema has, and types of messages. */
const ofNotes = ['assigned_to', 'depends_on', 'task_assignment'];

function unknownNames(text: string): string[] {
  const names = text.match(/\b[a-z]+(?:_[a-z]+)+\b/g) ?? [];
  return names.filter((name) => !known.has(name) && !ofNotes.includes(name));
}

describe('the instructions', () => {
  it('are short', () => {
    expect(instructions.length).toBeLessThanOrEqual(1500);
  });

  it('name only what exists', () => {
    expect(unknownNames(instructions)).toEqual([]);
  });
});

describe.each(prompts.map((prompt) => [prompt.name, prompt] as const))('prompt %s', (_, prompt) => {
  const given = Object.fromEntries(prompt.arguments.map(({ name }) => [name, `<${name}>`]));

  it('uses every argument', () => {
    const text = prompt.text(given);
    for (const { name } of prompt.arguments) {
      const without = prompt.text({ ...given, [name]: 'something else' });
      const yes = prompt.text({ ...given, [name]: 'yes' });
      expect(new Set([text, without, yes]).size, name).toBeGreaterThan(1);
    }
  });

  it('reads well with the required ones only', () => {
    const required = prompt.arguments.filter((argument) => argument.required === true);
    const text = prompt.text(Object.fromEntries(required.map(({ name }) => [name, `<${name}>`])));
    expect(text).not.toMatch(/undefined|null| {2}\S|NaN/);
  });

  it('names only tools and parameters that exist', () => {
    expect(unknownNames(prompt.text(given).replaceAll(/<\w+>/g, ''))).toEqual([]);
  });
});

describe('prompts', () => {
  it('have names of their own', () => {
    const names = prompts.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });
});
