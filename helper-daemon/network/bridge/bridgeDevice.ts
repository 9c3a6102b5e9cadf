/** The bridge itself. It outlives the daemon, as the machines on it do. */
import { readFile, writeFile } from 'node:fs/promises';
import * as z from 'zod';
import { run } from '../../system/run.ts';
import type { AddressPlan } from '../addressPlan.ts';
import { disableIpv6 } from './tap.ts';

/**
 * Where a machine is connected is learned from its first frame and ends with its port: until then nothing may forget
 * it, for frames are not sent to all ports to find out. In hundredths of a second.
 */
const ageing = 1_000_000_000;

const timeout = 60_000;

/**
 * Makes the bridge, or corrects the one of this name.
 * @throws CoppiceError `command_failed` also where the name belongs to something that is no bridge
 */
export async function ensureBridge(bridge: string, plan: AddressPlan): Promise<void> {
  const exists = await deviceExists(bridge);
  const set = `type bridge stp_state 0 forward_delay 0 mcast_snooping 0 ageing_time ${String(ageing)}`;
  const address = `${plan.gateway}/${String(plan.prefixLength)}`;
  const lines = [
    ...(exists ? [] : [`link add name ${bridge} address ${plan.gatewayMac} type bridge`]),
    `link set dev ${bridge} ${set}`,
    `link set dev ${bridge} address ${plan.gatewayMac}`,
    `link set dev ${bridge} addrgenmode none`,
    ...(await otherAddresses(bridge, address)).map((other) => `address del ${other} dev ${bridge}`),
    `address replace ${address} dev ${bridge}`,
  ];
  await run('ip', ['-batch', '-'], { input: `${lines.join('\n')}\n`, timeout });
  await disableIpv6(bridge);
  const settings = `/proc/sys/net/ipv4/conf/${bridge}`;
  // Forwards of 127.0.0.1 lead over the bridge.
  await writeFile(`${settings}/route_localnet`, '1');
  // The host's other addresses are nothing that machines could ask for.
  await writeFile(`${settings}/arp_ignore`, '1');
  await run('ip', ['link', 'set', 'dev', bridge, 'up'], { timeout });
  await enableForwarding();
}

const forwardingFile = '/proc/sys/net/ipv4/ip_forward';

async function enableForwarding(): Promise<void> {
  // Writing resets settings of every interface, also where it changes nothing.
  if (!(await forwardingIsOn())) await writeFile(forwardingFile, '1');
}

export async function forwardingIsOn(): Promise<boolean> {
  return (await readFile(forwardingFile, 'utf8')).trim() !== '0';
}

const links = z.array(
  z.object({
    ifname: z.string(),
    addr_info: z.array(z.object({ family: z.string(), local: z.string(), prefixlen: z.int() })),
  }),
);

/** IPv4 addresses of the host, with the device that has them. */
export async function hostAddresses(): Promise<
  { readonly device: string; readonly address: string; readonly prefixLength: number }[]
> {
  const { stdout } = await run('ip', ['-j', '-4', 'address', 'show'], { timeout });
  // Links without an address of the family are printed as empty objects.
  const listed = (JSON.parse(stdout || '[]') as object[]).filter((link) => 'ifname' in link);
  return links.parse(listed).flatMap(({ ifname, addr_info }) =>
    addr_info.map(({ local, prefixlen }) => ({
      device: ifname,
      address: local,
      prefixLength: prefixlen,
    })),
  );
}

async function deviceExists(name: string): Promise<boolean> {
  const devices = await readFile('/proc/net/dev', 'utf8');
  return devices.split('\n').some((line) => line.trim().startsWith(`${name}:`));
}

async function otherAddresses(device: string, wanted: string): Promise<string[]> {
  return (await hostAddresses())
    .filter((entry) => entry.device === device)
    .map(({ address, prefixLength }) => `${address}/${String(prefixLength)}`)
    .filter((address) => address !== wanted);
}
