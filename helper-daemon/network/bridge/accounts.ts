/** What the kernel has counted for a machine. */
import os from 'node:os';
import type { AddressPlan } from '../addressPlan.ts';
import type { Card, Denial, Traffic } from '../network.ts';
import { isPrivate, nameServicePorts } from '../policy.ts';
import { listSets } from './nft.ts';
import type { ListedElement } from './nftOutput.ts';

export const noTraffic: Traffic = {
  sentBytes: 0,
  sentPackets: 0,
  receivedBytes: 0,
  receivedPackets: 0,
  deniedPackets: 0,
};

/** @throws CoppiceError `command_failed` */
export async function trafficOf(address: string): Promise<Traffic> {
  const sets = await listSets(['sent', 'received', 'refused']);
  const entry = (name: string): ListedElement | undefined =>
    sets.get(name)?.find(({ key }) => key[0] === address);
  const [sent, received, refused] = [entry('sent'), entry('received'), entry('refused')];
  return {
    sentBytes: sent?.bytes ?? 0,
    sentPackets: sent?.packets ?? 0,
    receivedBytes: received?.bytes ?? 0,
    receivedPackets: received?.packets ?? 0,
    deniedPackets: refused?.packets ?? 0,
  };
}

/** Seconds that the kernel remembers a destination after the last packet to it: as in the skeleton. */
const keptSeconds = 3600;

const protocolNames: Readonly<Record<string, string>> = { '1': 'icmp', '6': 'tcp', '17': 'udp' };

/**
 * Connections that were refused to the machine, in no order; those before `since` (milliseconds since the epoch)
 * belong to an earlier machine of this address.
 * @throws CoppiceError `command_failed`
 */
export async function refusedConnections(
  card: Card,
  plan: AddressPlan,
  since: number,
): Promise<Denial[]> {
  const sets = await listSets(['denied', 'denied_other']);
  const hostAddresses = new Set(
    Object.values(os.networkInterfaces()).flatMap((all) =>
      (all ?? []).map(({ address }) => address),
    ),
  );
  const now = Date.now();
  return [...sets.values()].flat().flatMap((element): Denial[] => {
    const [address, destination = '', protocol = '', portText] = element.key;
    const lastAt = now - (keptSeconds - (element.expires ?? 0)) * 1000;
    if (address !== card.address || lastAt < since) return [];
    const port = portText === undefined ? undefined : Number(portText);
    const denied = {
      destination,
      port,
      protocol: protocolNames[protocol] ?? protocol,
    };
    return [
      {
        ...denied,
        lastAt,
        kind: 'connection',
        // A destination known already is counted by the look-up and by the update.
        count: Math.ceil((element.packets + 1) / 2),
        reason: reasonOf(card, plan, hostAddresses, denied),
      },
    ];
  });
}

/** As far as it can be told from where the packets were going. */
export function reasonOf(
  { policy }: Pick<Card, 'policy'>,
  plan: Pick<AddressPlan, 'gateway' | 'contains'>,
  hostAddresses: ReadonlySet<string>,
  { destination, port, protocol }: Pick<Denial, 'destination' | 'port' | 'protocol'>,
): string {
  const isLocal = hostAddresses.has(destination) || destination.startsWith('127.');
  if (isLocal || destination === plan.gateway) return 'an address of the host';
  if (plan.contains(destination)) return 'another machine';
  if (port !== undefined && nameServicePorts.includes(port)) {
    return 'names are asked of the gateway only';
  }
  if (policy.internet === 'off') return 'the policy allows no internet';
  if (!['tcp', 'udp', 'icmp'].includes(protocol)) return 'a protocol that is never passed on';
  if (isPrivate(destination)) return 'a private address that no CIDR of the policy names';
  return 'not in the list of what the policy allows';
}
