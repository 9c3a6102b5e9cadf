/** JSON schemas as a reader of tables wants them: one type, one row for each field. */
import * as z from 'zod';

interface Schema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Schema | boolean;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
  readonly format?: string;
}

export interface FieldText {
  /** `tasks[].name` for a field inside another. */
  readonly name: string;
  readonly type: string;
  readonly required: boolean;
  readonly description: string;
}

export function fieldsOf(schema: z.ZodType, io: 'input' | 'output'): readonly FieldText[] {
  return rowsOf(z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as Schema, '', 0);
}

/** Fields inside fields are listed, too, as deep as anybody reads. */
const depth = 2;

function rowsOf(schema: Schema, prefix: string, level: number): readonly FieldText[] {
  const required = new Set(schema.required);
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const row: FieldText = {
      name: prefix + name,
      type: typeOf(field),
      required: required.has(name),
      description: field.description ?? '',
    };
    if (level >= depth) return [row];
    const inner = withoutNull(field);
    const below = inner.type === 'array' ? withoutNull(inner.items ?? {}) : inner;
    const dots = inner.type === 'array' ? '[].' : '.';
    return [row, ...rowsOf(below, `${prefix}${name}${dots}`, level + 1)];
  });
}

function withoutNull(schema: Schema): Schema {
  const rest = (schema.anyOf ?? []).filter(({ type }) => type !== 'null');
  return rest.length === 1 && rest[0] !== undefined ? rest[0] : schema;
}

function typeOf(schema: Schema): string {
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) return [...new Set(choices.map(typeOf))].join(' or ');
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``;
  if (schema.enum !== undefined) return schema.enum.map((one) => `\`${String(one)}\``).join(', ');
  if (schema.type === 'array') return `list of ${typeOf(schema.items ?? {})}`;
  if (schema.type === 'object') {
    return schema.properties === undefined ? 'map' : 'object';
  }
  if (schema.type === 'integer') return `integer${rangeOf(schema)}`;
  if (schema.type === 'number') return `number${rangeOf(schema)}`;
  if (schema.format === 'date-time') return 'time';
  if (schema.format === 'uuid') return 'UUID';
  return typeof schema.type === 'string' ? schema.type : 'any';
}

function rangeOf({ minimum, maximum }: Schema): string {
  const known = (value: number | undefined): value is number =>
    value !== undefined && Math.abs(value) < Number.MAX_SAFE_INTEGER;
  if (known(minimum) && known(maximum)) return ` ${String(minimum)} to ${String(maximum)}`;
  if (known(minimum) && minimum !== 0) return ` from ${String(minimum)}`;
  return known(maximum) ? ` up to ${String(maximum)}` : '';
}

/** A cell of a Markdown table: one line, without what would end it or be read as HTML. */
export function cell(text: string): string {
  return text
    .replace(/\s*\n\s*/g, ' ')
    .replaceAll('|', '\\|')
    .replaceAll('<', '&lt;');
}

export function code(text: string): string {
  return `\`${text.replaceAll('|', '\\|')}\``;
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
