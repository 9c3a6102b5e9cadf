/** Why a bridge cannot work on this host. */
import { access, constants, readFile } from 'node:fs/promises';
import * as z from 'zod';
import { parseIpv4 } from '../../../protocol/networkTarget.ts';
import { run } from '../../system/run.ts';
import type { AddressPlan } from '../addressPlan.ts';
import { inRange } from '../policy.ts';
import { hostAddresses } from './bridgeDevice.ts';
import { tunDevice } from './tap.ts';

/** What is wrong, and what to do about it. */
export interface Problem {
  readonly what: string;
  readonly fix: string;
}

/** The programs that are called; undefined: they can be. */
export async function programProblem(): Promise<Problem | undefined> {
  const missing = await Promise.all(
    (
      [
        ['nft', ['--version'], 'nftables'],
        ['ip', ['-V'], 'iproute2'],
      ] as const
    ).map(async ([program, args, name]) => {
      const works = await run(program, args, { timeout: 10_000 }).then(
        () => true,
        () => false,
      );
      return works ? [] : [{ program, name }];
    }),
  );
  const all = missing.flat();
  if (all.length === 0) return undefined;
  return {
    what: `${all.map(({ program }) => program).join(' and ')} cannot be run`,
    fix: `apt-get install ${all.map(({ name }) => name).join(' ')}`,
  };
}

const netAdmin = 12n;

/** Rights and devices. */
export async function rightsProblem(): Promise<Problem | undefined> {
  const status = await readFile('/proc/self/status', 'utf8');
  const capabilities = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  if (((capabilities >> netAdmin) & 1n) === 0n) {
    return {
      what: 'the daemon may not change the network of this host (CAP_NET_ADMIN)',
      fix: 'Run the daemon as root, outside of containers that lack NET_ADMIN, or set COPPICE_NETWORK=user',
    };
  }
  try {
    await access(tunDevice, constants.R_OK | constants.W_OK);
    return undefined;
  } catch {
    return { what: `${tunDevice} is missing or closed to the daemon`, fix: 'modprobe tun' };
  }
}

const routes = z.array(
  z.object({ dst: z.string(), dev: z.string().optional(), type: z.string().optional() }),
);

/** Another interface or route of this host that has a part of the machines' subnet. */
export async function subnetProblem(
  plan: AddressPlan,
  bridge: string,
): Promise<Problem | undefined> {
  const overlap = (address: string, prefixLength: number): boolean =>
    plan.contains(address) || inRange(plan.gateway, { address, prefixLength });
  const addresses = (await hostAddresses())
    .filter(({ device, address, prefixLength }) => {
      return device !== bridge && overlap(networkOf(address, prefixLength), prefixLength);
    })
    .map(({ device, address, prefixLength }) => {
      return `${device} has ${address}/${String(prefixLength)}`;
    });
  const { stdout } = await run('ip', ['-j', '-4', 'route', 'show'], { timeout: 10_000 });
  const taken = routes
    .parse(JSON.parse(stdout || '[]'))
    .filter(({ dst, dev }) => dst !== 'default' && dev !== bridge)
    .filter(({ dst }) => {
      const [address = '', bits = '32'] = dst.split('/');
      return overlap(address, Number(bits));
    })
    .map(({ dst, dev }) => `${dst} is routed ${dev === undefined ? 'elsewhere' : `to ${dev}`}`);
  const found = [...addresses, ...taken];
  if (found.length === 0) return undefined;
  return {
    what: `${plan.subnet} is in use on this host: ${found.join(', ')}`,
    fix: 'Set COPPICE_SUBNET to a private network that is free, such as 10.99.0.0/16, and restart the daemon',
  };
}

function networkOf(address: string, prefixLength: number): string {
  const value = parseIpv4(address) ?? 0;
  const size = 2 ** (32 - prefixLength);
  const base = value - (value % size);
  return [24, 16, 8, 0].map((shift) => String((base >>> shift) & 0xff)).join('.');
}
