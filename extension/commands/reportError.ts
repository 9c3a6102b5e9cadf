/** Failures as the user sees them: what happened, what to do, and where more is written. */
import * as vscode from 'vscode';
import { asCoppiceError, type ErrorCode } from '../../protocol/errors.ts';
import type { CommandId } from '../manifest/commands.ts';

interface Remedy {
  readonly label: string;
  readonly command: CommandId;
}

const remedies: Partial<Record<ErrorCode, Remedy>> = {
  prerequisite_missing: { label: 'Check This Computer', command: 'coppice.doctor' },
  boot_assets_missing: { label: 'Check This Computer', command: 'coppice.doctor' },
  daemon_unavailable: { label: 'Try Again', command: 'coppice.daemon.retry' },
};

const showLog: Remedy = { label: 'Show Log', command: 'coppice.daemon.showLog' };

/** Shows an error without waiting for the user to close it. Cancelling is no error. */
export function reportError(title: string, thrown: unknown, log: vscode.LogOutputChannel): void {
  const error = asCoppiceError(thrown);
  if (error.code === 'cancelled') return;
  log.error(`${title}: ${error.code}: ${error.message}`, error.details ?? '');
  if (error.code === 'internal' && error.cause instanceof Error) log.error(error.cause);
  const remedy = remedies[error.code];
  const offers = remedy === undefined ? [showLog] : [remedy, showLog];
  const text = [firstLine(error.message), error.next].filter(Boolean).join(' ');
  void vscode.window
    .showErrorMessage(`${title}: ${text}`, ...offers.map(({ label }) => label))
    .then((choice) => {
      const chosen = offers.find(({ label }) => label === choice);
      if (chosen !== undefined) void vscode.commands.executeCommand(chosen.command);
    });
}

/** A console tail belongs in the log, not in a notification. */
function firstLine(message: string): string {
  const [line = message] = message.split('\n');
  return line.replace(/:$/, '.');
}
