/** `coppice status`: the daemon's numbers, and below them the machines. */
import type { CommandSpec } from '../commandSpec.ts';
import { exitCodes } from '../exitCodes.ts';
import { renderStatus } from '../render/daemon.ts';
import { renderList } from '../render/workspace.ts';

export function withMachines(projected: CommandSpec): CommandSpec {
  return {
    ...projected,
    async run(invocation, context) {
      if (context.json) return await projected.run(invocation, context);
      const client = await context.connect();
      try {
        const status = await client.call('daemon_status', {});
        const machines = await client.call('workspace_list', {});
        const rendering = { ...context.rendering(), input: {} };
        context.print(`${renderStatus(status, rendering)}\n\n${renderList(machines, rendering)}`);
        return exitCodes.ok;
      } finally {
        client.close();
      }
    },
  };
}
