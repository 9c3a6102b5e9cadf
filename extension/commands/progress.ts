/** Long calls with a progress notification that can cancel them. */
import * as vscode from 'vscode';
import type { CallOptions } from '../../helper-daemon/client/client.ts';
import { CoppiceError } from '../../protocol/errors.ts';

/** Runs a call under a notification; undefined when the user cancelled it. */
export async function withProgress<T>(
  title: string,
  work: (options: Required<Pick<CallOptions, 'signal' | 'onProgress'>>) => Promise<T>,
): Promise<T | undefined> {
  const settings = { location: vscode.ProgressLocation.Notification, title, cancellable: true };
  return await vscode.window.withProgress(settings, async (progress, token) => {
    const cancelling = new AbortController();
    const listener = token.onCancellationRequested(() => cancelling.abort());
    let reached = 0;
    try {
      return await work({
        signal: cancelling.signal,
        onProgress({ message, fraction }) {
          const percent = Math.round((fraction ?? 0) * 100);
          progress.report({ message, increment: Math.max(0, percent - reached) });
          reached = Math.max(reached, percent);
        },
      });
    } catch (error) {
      if (error instanceof CoppiceError && error.code === 'cancelled') return undefined;
      throw error;
    } finally {
      listener.dispose();
    }
  });
}

/** Runs a short call with the view's own progress bar. */
export async function withViewProgress<T>(viewId: string, work: () => Promise<T>): Promise<T> {
  return await vscode.window.withProgress({ location: { viewId } }, work);
}
