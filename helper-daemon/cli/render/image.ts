import type { OutputOf } from '../../../protocol/operations.ts';
import { renderTable } from '../text/table.ts';
import { formatAge, formatBytes } from '../text/units.ts';
import type { RenderContext } from './renderContext.ts';

export function renderList(
  { images, recipes }: OutputOf<'image_list'>,
  { style, now }: RenderContext,
): string {
  const parts: string[] = [];
  if (images.length > 0) {
    parts.push(
      renderTable(
        [
          { title: 'IMAGE' },
          { title: 'SIZE', align: 'right' },
          { title: 'DISK', align: 'right' },
          { title: 'MACHINES', align: 'right' },
          { title: 'AGE' },
          { title: 'DIGEST' },
        ],
        images.map((image) => [
          style.bold(image.name) + (image.is_default ? style.dim(' (default)') : ''),
          formatBytes(image.size_bytes),
          formatBytes(image.virtual_bytes),
          String(image.workspaces),
          formatAge(image.created_at, now),
          style.dim(image.digest.slice(0, 19)),
        ]),
        style,
      ),
    );
  } else {
    parts.push('There are no images yet.');
  }
  if (recipes.length > 0) {
    const width = Math.max(...recipes.map(({ name }) => name.length));
    const lines = recipes.map(
      ({ name, description }) => `  ${name.padEnd(width)}  ${style.dim(description)}`,
    );
    parts.push(`\nCan be built with coppice image build:\n${lines.join('\n')}`);
  }
  return parts.join('\n');
}

export function renderReady(image: OutputOf<'image_build'>, { style }: RenderContext): string {
  return [
    `Image ${style.bold(image.name)} is ready: ${formatBytes(image.size_bytes)}, ${image.digest.slice(0, 19)}.`,
    style.dim(`coppice create demo${image.is_default ? '' : ` --image ${image.name}`}`),
  ].join('\n');
}

export function renderRemoved(
  { name }: OutputOf<'image_remove'>,
  { style }: RenderContext,
): string {
  return `Image ${style.bold(name)} is gone.`;
}
