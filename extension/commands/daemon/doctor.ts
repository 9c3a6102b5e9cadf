/** `coppice.doctor`: what machines need on this computer, what is there and how to get the rest. */
import * as vscode from 'vscode';
import type { OutputOf } from '../../../protocol/operations.ts';
import type { Services } from '../../services.ts';
import { withProgress } from '../progress.ts';

const marks = { ok: '✓', warning: '!', failed: '✗' } as const;

export async function runDoctor(services: Services): Promise<void> {
  const client = await services.daemon.client();
  const report = await withProgress('Checking this computer', (options) =>
    client.call('daemon_doctor', {}, options),
  );
  if (report === undefined) return;
  const document = await vscode.workspace.openTextDocument({ content: reportText(report) });
  await vscode.window.showTextDocument(document, { preview: true });
}

export function reportText(report: OutputOf<'daemon_doctor'>): string {
  const failed = report.checks.filter(({ status }) => status === 'failed').length;
  const head = report.ok
    ? 'This computer can run Coppice machines.'
    : `${failed} of ${report.checks.length} checks failed.`;
  const lines = report.checks.flatMap(({ title, status, detail, fix }) => [
    `${marks[status]} ${title}: ${detail}`,
    ...(fix === null ? [] : [`    → ${fix}`]),
  ]);
  return [head, '', ...lines, ''].join('\n');
}
