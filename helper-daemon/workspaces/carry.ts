/** Connections from this host into a machine. */
import { runTunnel } from '../guest/tunnel.ts';
import { awake } from './awake.ts';
import type { Carry } from './forwardListeners.ts';
import type { WorkspaceServices } from './services.ts';

/** Wakes a suspended machine; the workspace counts as used until the connection ends. */
export function carryInto(services: WorkspaceServices): Carry {
  return async (id, target, end, signal) => {
    const over = services.activity.begin(id);
    try {
      const live = await awake(services, id);
      const { network } = await live.link.clients();
      await runTunnel(network, target, end, signal);
    } finally {
      over();
    }
  };
}
