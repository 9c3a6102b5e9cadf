import { describe, expect, it } from 'vitest';
import { renderPrepared, renderStatus } from '../../../helper-daemon/cli/render/pool.ts';
import {
  renderGc,
  renderStatus as renderStorage,
} from '../../../helper-daemon/cli/render/storage.ts';
import { renderConfigured } from '../../../helper-daemon/cli/render/workspace.ts';
import type { OutputOf } from '../../../protocol/operations.ts';
import type { TemplateInfo } from '../../../protocol/operations/pool.ts';
import { idOf, machine, rendering } from './sampleOutputs.ts';

const mebibyte = 1024 * 1024;

function template(base_image: string, facts: Partial<TemplateInfo> = {}): TemplateInfo {
  return {
    template_id: idOf(base_image),
    base_image,
    vcpus: 2,
    memory_mb: 512,
    disk_gb: 10,
    state: 'ready',
    detail: null,
    memory_bytes: 60 * mebibyte,
    loaded: true,
    used: 12,
    created_at: '2026-01-01T22:00:00Z',
    ...facts,
  };
}

describe('the pool', () => {
  const pool: OutputOf<'pool_status'> = {
    templates: true,
    size: 2,
    ready: 1,
    memory_budget_mb: 4096,
    memory_used_mb: 700,
    template_list: [],
  };

  it('shows templates in a table and why one failed below it', () => {
    const broken = { state: 'failed', detail: 'It did not boot.', memory_bytes: 0 } as const;
    const template_list = [template('debian-dev'), template('odd', { ...broken, used: 0 })];
    expect(renderStatus({ ...pool, template_list }, rendering())).toBe(
      [
        'Templates   on: new machines continue from one',
        'Kept ready  1 of 2 machines',
        'Memory      700 MiB of 4 GiB',
        '',
        'TEMPLATE    SIZE                         STATE   MEMORY  USED  AGE',
        'debian-dev  2 CPU, 512 MiB, 10 GiB disk  loaded  60 MiB    12  2 h',
        'odd         2 CPU, 512 MiB, 10 GiB disk  failed     0 B     0  2 h',
        'odd: It did not boot.',
      ].join('\n'),
    );
  });

  it('says when nothing is kept ready and every machine boots', () => {
    expect(renderStatus({ ...pool, templates: false, size: 0, ready: 0 }, rendering())).toBe(
      [
        'Templates   off: every machine boots',
        'Kept ready  none',
        'Memory      700 MiB of 4 GiB',
      ].join('\n'),
    );
  });

  it('tells a prepared template from a failed one', () => {
    expect(renderPrepared(template('debian-dev'), rendering())).toBe(
      'The template of debian-dev (2 CPU, 512 MiB, 10 GiB disk) is ready: 60 MiB of memory.',
    );
    expect(renderPrepared(template('odd', { state: 'failed', detail: 'No.' }), rendering())).toBe(
      'The template of odd (2 CPU, 512 MiB, 10 GiB disk) failed: No.',
    );
  });
});

describe('storage', () => {
  it('says what takes how much and what could be freed', () => {
    const text = renderStorage(
      {
        backend: 'reflink',
        location: '/var/lib/coppice',
        free_bytes: 10 * 1024 ** 3,
        total_bytes: 100 * 1024 ** 3,
        heads: { count: 1, bytes: mebibyte },
        layers: { count: 2, bytes: 3 * mebibyte },
        memories: { count: 0, bytes: 0 },
        images: { count: 1, bytes: 900 * mebibyte },
        deepest_chain: 3,
        reclaimable_bytes: 5 * mebibyte,
      },
      rendering(),
    );
    expect(text.split('\n')).toEqual([
      'Disks live in  files that share blocks (reflink)',
      'Location       /var/lib/coppice',
      'Free           10 GiB of 100 GiB',
      'Disks          1 MiB in 1 disk',
      'Snapshots      3 MiB in 2 layers',
      'Memory         0 B in 0 files',
      'Images         900 MiB in 1 image',
      'Deepest chain  3 layers',
      'Reclaimable    5 MiB coppice storage gc',
    ]);
  });

  it('gc does not claim to have done what it only looked at', () => {
    const found = { removed: ['layer 12'], merged: 1, freed_bytes: 2 * mebibyte };
    expect(renderGc(found, rendering({ input: { dry_run: true } }))).toBe(
      'would go: layer 12\n1 layer would be folded together.\n2 MiB would be free.',
    );
    expect(renderGc(found, rendering())).toBe(
      'gone: layer 12\n1 layer folded together.\n2 MiB freed.',
    );
    expect(renderGc({ removed: [], merged: 0, freed_bytes: 0 }, rendering())).toBe(
      'There is nothing to free.',
    );
  });
});

describe('the life of a machine', () => {
  it('is told as it is after a change', () => {
    const limited = machine('demo', { expires_at: '2026-01-02T02:00:00Z' });
    expect(renderConfigured(limited, rendering({ input: { idle_suspend_secs: 600 } }))).toMatch(
      /^demo is destroyed at .* \(in 2 h\)\.\nIt is suspended after 10 min without use\.$/,
    );
    expect(renderConfigured(machine('demo'), rendering({ input: { idle_suspend_secs: 0 } }))).toBe(
      'demo is kept until somebody destroys it.\nIt is not suspended when nobody uses it.',
    );
  });
});
