/** Notices that a daemon came back, by the operating system telling of its socket. */
import { watch, type FSWatcher } from 'node:fs';
import path from 'node:path';

export function watchSocket(socketPath: string, onChange: () => void): () => void {
  let watcher: FSWatcher | undefined;
  try {
    watcher = watch(path.dirname(socketPath), (_event, file) => {
      if (file === path.basename(socketPath)) onChange();
    });
    watcher.on('error', () => watcher?.close());
  } catch {
    // No such directory yet: the user's next action connects.
  }
  return () => watcher?.close();
}
