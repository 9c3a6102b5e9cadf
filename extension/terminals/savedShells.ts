/** Shells that outlive a reload of the window, remembered per VS Code workspace. */
import type * as vscode from 'vscode';

export interface SavedShell {
  readonly workspaceId: string;
  readonly name: string;
  readonly jobId: number;
}

export interface SavedShells {
  list(): readonly SavedShell[];
  add(shell: SavedShell): void;
  remove(workspaceId: string, jobId: number): void;
}

const key = 'shells';

export function savedShells(memory: vscode.Memento): SavedShells {
  const list = (): readonly SavedShell[] => memory.get<readonly SavedShell[]>(key, []);
  const without = (workspaceId: string, jobId: number): readonly SavedShell[] =>
    list().filter((shell) => shell.workspaceId !== workspaceId || shell.jobId !== jobId);

  return {
    list,
    add(shell) {
      void memory.update(key, [...without(shell.workspaceId, shell.jobId), shell]);
    },
    remove(workspaceId, jobId) {
      void memory.update(key, without(workspaceId, jobId));
    },
  };
}
