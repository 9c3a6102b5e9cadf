import type { OutputOf } from '../../../protocol/operations.ts';
import { printable } from '../text/printable.ts';
import { renderPairs } from '../text/table.ts';
import type { RenderContext } from './renderContext.ts';

export function renderSession(
  { uid, agent, workspaces, quota }: OutputOf<'session_info'>,
  { style }: RenderContext,
): string {
  const use = ({ current, limit }: (typeof quota)['vcpus'], unit = ''): string =>
    `${String(current)}${limit === null ? '' : ` of ${String(limit)}`}${unit}${limit === null ? style.dim(' (no limit)') : ''}`;
  return renderPairs(
    [
      ['Account', `uid ${String(uid)}`],
      ['Agent', agent === null ? style.dim('none: the person') : printable(agent)],
      ['Machines', use(quota.workspaces)],
      ['CPUs', use(quota.vcpus)],
      ['Memory', use(quota.memory_mb, ' MiB')],
      ['Disk', use(quota.disk_gb, ' GiB')],
      [
        'Owns',
        workspaces.length === 0 ? style.dim('nothing') : workspaces.map(printable).join(', '),
      ],
    ],
    style,
  );
}

export function renderAdopted(
  { adopted, errors }: OutputOf<'workspace_adopt'>,
  { style }: RenderContext,
): string {
  const lines = [
    ...adopted.map(
      ({ name, forced }) =>
        `${style.bold(printable(name))} is yours now${forced ? '; it belonged to another' : ''}.`,
    ),
    ...errors.map(({ error }) => style.warn(printable(error))),
  ];
  return lines.length === 0 ? 'There was nothing to adopt.' : lines.join('\n');
}
