import type { OutputOf } from '../../../protocol/operations.ts';
import type { TemplateInfo } from '../../../protocol/operations/pool.ts';
import { printableLines } from '../text/printable.ts';
import type { Style } from '../text/style.ts';
import { renderPairs, renderTable } from '../text/table.ts';
import { formatBytes, formatRoundAge } from '../text/units.ts';
import type { RenderContext } from './renderContext.ts';

const mebibyte = 1024 * 1024;

function stateText({ state, loaded }: TemplateInfo, style: Style): string {
  switch (state) {
    case 'ready':
      return style.good(loaded ? 'loaded' : 'ready');
    case 'failed':
      return style.bad('failed');
    case 'building':
      return style.warn('building');
  }
}

function sizeText({ vcpus, memory_mb, disk_gb }: TemplateInfo): string {
  return `${String(vcpus)} CPU, ${formatBytes(memory_mb * mebibyte)}, ${String(disk_gb)} GiB disk`;
}

export function renderStatus(pool: OutputOf<'pool_status'>, context: RenderContext): string {
  const { style } = context;
  const memory = `${formatBytes(pool.memory_used_mb * mebibyte)} of ${formatBytes(pool.memory_budget_mb * mebibyte)}`;
  const facts = renderPairs(
    [
      [
        'Templates',
        pool.templates
          ? 'on: new machines continue from one'
          : style.warn('off: every machine boots'),
      ],
      [
        'Kept ready',
        pool.size === 0 ? 'none' : `${String(pool.ready)} of ${String(pool.size)} machines`,
      ],
      ['Memory', memory],
    ],
    style,
  );
  if (pool.template_list.length === 0) return facts;
  const table = templateTable(pool.template_list, context);
  return [facts, '', table, ...failures(pool.template_list, style)].join('\n');
}

function templateTable(templates: readonly TemplateInfo[], { style, now }: RenderContext): string {
  return renderTable(
    [
      { title: 'TEMPLATE' },
      { title: 'SIZE' },
      { title: 'STATE' },
      { title: 'MEMORY', align: 'right' },
      { title: 'USED', align: 'right' },
      { title: 'AGE' },
    ],
    templates.map((template) => [
      style.bold(template.base_image),
      sizeText(template),
      stateText(template, style),
      formatBytes(template.memory_bytes),
      String(template.used),
      formatRoundAge(template.created_at, now),
    ]),
    style,
  );
}

/** Reasons are long: they stand below the table. */
function failures(templates: readonly TemplateInfo[], style: Style): readonly string[] {
  return templates.flatMap(({ base_image, detail }) =>
    detail === null ? [] : [`${style.bad(base_image)}: ${printableLines(detail)}`],
  );
}

export function renderPrepared(
  template: OutputOf<'pool_prepare'>,
  { style }: RenderContext,
): string {
  const what = `The template of ${style.bold(template.base_image)} (${sizeText(template)})`;
  if (template.state === 'failed') {
    return `${what} ${style.bad('failed')}: ${printableLines(template.detail ?? 'no reason given')}`;
  }
  return template.state === 'building'
    ? `${what} is being built.`
    : `${what} is ready: ${formatBytes(template.memory_bytes)} of memory.`;
}
