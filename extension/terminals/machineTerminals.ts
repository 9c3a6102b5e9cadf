/** The terminals of this window: opened, brought back after a reload, and ended with their shells. */
import * as vscode from 'vscode';
import type { DaemonConnection } from '../helper/connection.ts';
import { machinePty } from './machinePty.ts';
import type { SavedShells } from './savedShells.ts';

export interface MachineTerminals {
  open(workspaceId: string, name: string): vscode.Terminal;
  /** For the terminal profile: VS Code itself makes the terminal. */
  optionsFor(workspaceId: string, name: string): vscode.ExtensionTerminalOptions;
  /** Attaches to the shells that were open before the window was reloaded and still run. */
  restore(): Promise<void>;
  dispose(): void;
}

interface OpenShell {
  readonly workspaceId: string;
  jobId: number | undefined;
}

const hangUp = 1;

export function machineTerminals(
  daemon: DaemonConnection,
  saved: SavedShells,
  log: vscode.LogOutputChannel,
): MachineTerminals {
  const shells = new Map<vscode.Pseudoterminal, OpenShell>();

  function optionsFor(
    workspaceId: string,
    name: string,
    jobId?: number,
  ): vscode.ExtensionTerminalOptions {
    const shell: OpenShell = { workspaceId, jobId };
    const pty = machinePty({
      daemon,
      workspaceId,
      ...(jobId === undefined ? {} : { jobId }),
      onStarted(started) {
        shell.jobId = started;
        saved.add({ workspaceId, name, jobId: started });
      },
      onEnded(ended) {
        if (ended !== undefined) forget(workspaceId, ended);
        shell.jobId = undefined;
      },
    });
    shells.set(pty, shell);
    return { name, pty, iconPath: new vscode.ThemeIcon('vm') };
  }

  /** The shell has ended: nobody will ask for its kept output any more. */
  function forget(workspaceId: string, jobId: number): void {
    saved.remove(workspaceId, jobId);
    void best(async () => {
      const client = await daemon.whenConnected();
      await client.call('process_remove', { workspace_id: workspaceId, job_id: jobId });
    });
  }

  /** The user closed the terminal: its shell and what it started get the hang-up a terminal gives. */
  async function end(workspaceId: string, jobId: number): Promise<void> {
    saved.remove(workspaceId, jobId);
    const job = { workspace_id: workspaceId, job_id: jobId };
    await best(async () => {
      const client = await daemon.whenConnected();
      await client.call('process_signal', { ...job, signal: hangUp });
      await client.call('process_get', { ...job, wait_secs: 5 });
      await client.call('process_remove', job);
    });
  }

  async function best(work: () => Promise<void>): Promise<void> {
    await work().catch((error: unknown) => log.debug('A finished shell was not removed.', error));
  }

  const closing = vscode.window.onDidCloseTerminal((terminal) => {
    const creation = terminal.creationOptions;
    if (!('pty' in creation)) return;
    const shell = shells.get(creation.pty);
    shells.delete(creation.pty);
    // A window that reloads closes its terminals too; those shells are kept for it.
    const reloads = terminal.exitStatus?.reason === vscode.TerminalExitReason.Shutdown;
    if (shell?.jobId !== undefined && !reloads) void end(shell.workspaceId, shell.jobId);
  });

  return {
    optionsFor,
    open(workspaceId, name) {
      const terminal = vscode.window.createTerminal(optionsFor(workspaceId, name));
      terminal.show();
      return terminal;
    },
    async restore() {
      const before = saved.list();
      if (before.length === 0) return;
      const client = await daemon.whenConnected();
      for (const { workspaceId, name, jobId } of before) {
        const jobs = await client
          .call('process_list', { workspace_id: workspaceId })
          .catch(() => []);
        const alive = jobs.some((job) => job.job_id === jobId && job.running && job.terminal);
        // As VS Code does with its own terminals: visible again, without taking the focus.
        if (alive) vscode.window.createTerminal(optionsFor(workspaceId, name, jobId)).show(true);
        else saved.remove(workspaceId, jobId);
      }
    },
    dispose: () => void closing.dispose(),
  };
}
