/** What ssh starts instead of a network connection: an SSH server on standard input and output. */
import { CoppiceError } from '../../../protocol/errors.ts';
import type { CoppiceClient } from '../../client/client.ts';
import { text, type CommandSpec, type Invocation } from '../commandSpec.ts';
import type { CliContext } from '../context.ts';
import { exitCodes } from '../exitCodes.ts';
import { reportFailure } from '../failure.ts';
import { sshFolder } from '../ssh/folder.ts';
import { workspaceOf } from '../ssh/hostNames.ts';
import type { Named } from '../ssh/identity.ts';

/** What ssh itself ends with when there is no connection. */
export const sshFailed = 255;

export const sshProxySpec: CommandSpec = {
  words: 'ssh-proxy',
  summary: 'Speak SSH on standard input and output; for ProxyCommand',
  positionals: [
    {
      key: 'workspace_id',
      label: 'host',
      required: true,
      description: 'Workspace name or id, also with .coppice behind it',
    },
  ],
  flags: [
    { key: 'start', spelling: '--start', kind: 'switch', description: 'Start a stopped machine' },
  ],
  hidden: true,
  run: runProxy,
};

async function runProxy(invocation: Invocation, context: CliContext): Promise<number> {
  const code = await serve(invocation, context);
  if (!process.stdout.isTTY) leaveAtOnce();
  return code;
}

/**
 * Node 24 can deadlock in an orderly exit (a compiler thread waits for a garbage collection of the main thread, which
 * waits for the thread), about once in 300 connections, and ssh waits for us without a limit. Nothing is left to write
 * here, and nobody looks at our exit code.
 */
function leaveAtOnce(): void {
  process.kill(process.pid, 'SIGKILL');
}

async function serve(invocation: Invocation, context: CliContext): Promise<number> {
  // Ctrl-C is for ssh, and whoever uses it (sftp) may want to go on; what ends us is ssh's end.
  const stop = new AbortController();
  const release = context.signals.take((name) => {
    if (name !== 'SIGINT') stop.abort();
  });
  try {
    const client = await context.connect();
    try {
      const host = text(invocation, 'workspace_id');
      const workspace = await wokenWorkspace(client, host, invocation.flags['start'] === true);
      const { identityOf } = await import('../ssh/identity.ts');
      const { serveSsh } = await import('../ssh/server.ts');
      const { stdioPipe } = await import('../ssh/stdioPipe.ts');
      const identity = await identityOf(sshFolder(), workspace);
      const pipe = stdioPipe();
      stop.signal.addEventListener('abort', () => pipe.destroy(), { once: true });
      if (stop.signal.aborted) pipe.destroy();
      let lost = false;
      client.onClose(() => {
        lost = true;
        pipe.destroy();
      });
      await serveSsh(pipe, { ...identity, client, workspaceId: workspace.id });
      if (lost) throw daemonLost();
      return exitCodes.ok;
    } finally {
      client.close();
    }
  } catch (error) {
    // Standard output is ssh's; it passes our standard error on.
    reportFailure(error, false);
    return sshFailed;
  } finally {
    release();
  }
}

function daemonLost(): CoppiceError {
  return new CoppiceError({
    code: 'outcome_unknown',
    message: 'The connection to the Coppice daemon ended, and all that went through it.',
    next: 'The daemon may have been restarted: connect again.',
  });
}

/**
 * The workspace that can be used now or goes on by itself.
 * @param start whether to start it when it is stopped
 * @throws CoppiceError `not_found`, `wrong_state`, and what starting throws
 */
export async function wokenWorkspace(
  client: CoppiceClient,
  host: string,
  start: boolean,
): Promise<Named> {
  const { workspace_id, name, state } = await client.call('workspace_info', {
    workspace_id: workspaceOf(host),
  });
  if (state === 'stopped') {
    if (!start) {
      throw new CoppiceError({
        code: 'wrong_state',
        message: `The machine ${name} is stopped.`,
        next: `Start it: coppice start ${name}`,
        details: { workspace_id, state },
      });
    }
    await client.call('workspace_start', { workspace_id });
  }
  return { id: workspace_id, name };
}
