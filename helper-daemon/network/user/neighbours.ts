/** Which machine may send what to which: stateless, so that there is nothing to lose or to fill. */
import type { Card } from '../network.ts';
import { arePeers } from '../policy.ts';
import { ipProtocol, isBareSyn, type Packet } from './packet.ts';

/** Whether `from` may open at least some connection to `to`. */
export function mayOpen(from: Card, to: Card): boolean {
  return (
    from.workspaceId === to.workspaceId ||
    arePeers(from.policy, to.policy) ||
    to.policy.allowedPorts.length > 0
  );
}

const betweenPeers: readonly number[] = [ipProtocol.icmp, ipProtocol.tcp, ipProtocol.udp];

/**
 * Peers exchange TCP, UDP and ICMP, whole or in fragments. Others connect to allowed ports, and those answer:
 * with anything but the segment that would open a connection.
 */
export function mayCross(from: Card, to: Card, packet: Packet): boolean {
  if (arePeers(from.policy, to.policy)) return betweenPeers.includes(packet.protocol);
  if (packet.protocol !== ipProtocol.tcp || packet.fragment !== 'none') return false;
  return (
    to.policy.allowedPorts.includes(packet.destinationPort) ||
    (from.policy.allowedPorts.includes(packet.sourcePort) && !isBareSyn(packet))
  );
}
