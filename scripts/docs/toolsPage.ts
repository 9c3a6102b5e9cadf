/** docs/tools.md: what agents are offered, from the tools' own schemas. */
import { toolInput, type Tool } from '../../protocol/tool.ts';
import { tools } from '../../protocol/tools.ts';
import { cell, fieldsOf, table } from './schemaText.ts';

const failures = {
  invalid_request: 'invalid_request (-32600)',
  invalid_params: 'invalid_params (-32602)',
  internal_error: 'internal_error (-32603)',
} as const;

export function toolsPage(): string {
  const sorted = tools.toSorted((a, b) => a.name.localeCompare(b.name));
  return [
    '# Tools for agents',
    "What `coppice mcp` offers, and `coppice tool <name> --json '{…}'` calls. Generated from `protocol/tools.ts` by `npm run generate`.",
    'Unknown parameters are ignored and `null` means "not given". Every tool that changes something takes `idempotency_key`: a retry with the same key returns the first result instead of acting again. Replies may carry more fields than are listed here.',
    table(
      ['Tool', 'Does', 'Set'],
      sorted.map((tool) => [
        `[${tool.name}](#${tool.name})`,
        cell(firstSentence(tool.description)),
        tool.toolset,
      ]),
    ),
    ...sorted.map(toolText),
  ].join('\n\n');
}

function toolText(tool: Tool): string {
  const input = fieldsOf(toolInput(tool), 'input').filter(({ name }) => name !== 'idempotency_key');
  const output = fieldsOf(tool.output, 'output');
  const facts = [
    { read: 'reads only', write: 'changes something', destructive: 'can destroy something' }[
      tool.risk
    ],
    tool.retry === 'safe' ? 'safe to repeat' : 'not to be repeated blindly',
    ...(tool.openWorld === true ? ['reaches beyond this host'] : []),
    `fails with ${failures[tool.failure]}`,
  ];
  return [
    `## ${tool.name}`,
    tool.description,
    `${tool.title}: ${facts.join(', ')}.`,
    input.length === 0
      ? 'No parameters.'
      : table(
          ['Parameter', 'Type', 'Meaning'],
          input.map(({ name, type, required, description }) => [
            `\`${name}\`${required ? ' (required)' : ''}`,
            cell(type),
            cell(description),
          ]),
        ),
    ...(output.length === 0
      ? []
      : [
          table(
            ['Result', 'Type', 'Meaning'],
            output.map(({ name, type, description }) => [
              `\`${name}\``,
              cell(type),
              cell(description),
            ]),
          ),
        ]),
  ].join('\n\n');
}

function firstSentence(text: string): string {
  return /^.*?[.](?=\s|$)/s.exec(text)?.[0] ?? text;
}
