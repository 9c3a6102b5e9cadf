/**
 * Ports that listen in machines: their agents tell, the daemon remembers. Held in memory; a daemon that starts
 * learns them anew.
 */
import type { ListeningPort } from '../../protocol/operations/networkModel.ts';

export interface Listening {
  /** None where the machine has not told, or does not run. */
  of(workspaceId: string): readonly ListeningPort[];
  set(workspaceId: string, ports: readonly ListeningPort[]): void;
  forget(workspaceId: string): void;
}

export function listening(): Listening {
  const known = new Map<string, readonly ListeningPort[]>();
  return {
    of: (id) => known.get(id) ?? [],
    set(id, ports) {
      known.set(id, ports);
    },
    forget(id) {
      known.delete(id);
    },
  };
}

/** Whether something listens there that is known to be reachable from outside the machine. */
export function listensOutside(ports: readonly ListeningPort[], port: number): boolean {
  return ports.some((one) => one.port === port && !isLoopback(one.address));
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1';
}
