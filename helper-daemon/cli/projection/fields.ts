/** The fields of an operation's input, as the command line sees them. Everything comes from the schema. */
import * as z from 'zod';
import type { Operation } from '../../../protocol/operation.ts';
import type { FlagKind } from '../commandSpec.ts';

export interface Field {
  readonly name: string;
  readonly kind: FlagKind;
  readonly required: boolean;
  readonly description: string;
  readonly choices?: readonly string[];
}

interface JsonSchema {
  readonly type?: string;
  readonly description?: string;
  readonly enum?: readonly string[];
  readonly anyOf?: readonly JsonSchema[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly items?: JsonSchema;
  readonly additionalProperties?: JsonSchema | boolean;
}

export function fieldsOf(operation: Operation): readonly Field[] {
  const schema = z.toJSONSchema(operation.input, {
    io: 'input',
    unrepresentable: 'any',
  }) as JsonSchema;
  const required = new Set(schema.required);
  return Object.entries(schema.properties ?? {}).map(([name, property]) => ({
    name,
    // What the command line does not offer needs no form on it.
    kind:
      operation.cli?.hidden?.includes(name) === true
        ? 'text'
        : kindOf(operation.name, name, property),
    required: required.has(name),
    description: property.description ?? '',
    ...(property.enum === undefined ? {} : { choices: property.enum }),
  }));
}

function kindOf(operation: string, name: string, schema: JsonSchema): FlagKind {
  switch (schema.type) {
    case 'boolean':
      return 'switch';
    case 'string':
      return 'text';
    case 'integer':
    case 'number':
      return name.endsWith('_secs') ? 'duration' : schema.type;
    case 'array':
      if (schema.items?.type === 'string') return 'list';
      if (schema.items?.type === 'integer') return 'numbers';
      break;
    case 'object':
      if (schema.properties === undefined) return 'pairs';
      break;
    default:
      // A name or a URL, say, or one text instead of a list: what is typed is text.
      if (schema.anyOf?.[0]?.type === 'string') return 'text';
  }
  throw new Error(`${operation}.${name} has no form on the command line: hide it in its cli part.`);
}

/** `memory_mb` → `memory-mb`; references lose their `_id`: people give names. */
export function labelOf(field: string): string {
  return field.replace(/_id$/, '').replaceAll('_', '-');
}
