/** One private subnet for all machines: who has which address and which card. */
import { CoppiceError } from '../../protocol/errors.ts';
import { formatIpv4, parseIpv4 } from '../../protocol/networkTarget.ts';
import { inRange, type Range } from './policy.ts';

export interface AddressPlan {
  /** "10.42.0.0/16" */
  readonly subnet: string;
  readonly prefixLength: number;
  /** First address of the subnet: router and name server of every machine. */
  readonly gateway: string;
  /** The same on every host and in every mode, so that a machine which moves need not look for it again. */
  readonly gatewayMac: string;
  /** @throws CoppiceError `limit_exceeded` */
  free(taken: ReadonlySet<string>): string;
  contains(address: string): boolean;
}

export const defaultSubnet = '10.42.0.0/16';

/**
 * Where machines may live. All of it is private in the sense of policy.ts, which keeps machines apart: an address that
 * counts as public would be open to every machine with internet, and to names that resolve to it.
 */
const ranges: readonly Range[] = [
  { address: '10.0.0.0', prefixLength: 8 },
  { address: '100.64.0.0', prefixLength: 10 },
  { address: '172.16.0.0', prefixLength: 12 },
  { address: '192.168.0.0', prefixLength: 16 },
  { address: '198.18.0.0', prefixLength: 15 },
];

/** @throws CoppiceError `invalid_input` */
export function addressPlan(subnet: string): AddressPlan {
  const [, address = '', bits] = /^([\d.]+)\/([89]|[12]\d)$/.exec(subnet) ?? [];
  const network = parseIpv4(address);
  const prefixLength = Number(bits);
  const size = 2 ** (32 - prefixLength);
  const isPrivate = ranges.some(
    (range) => prefixLength >= range.prefixLength && inRange(address, range),
  );
  if (network === undefined || !isPrivate || network % size !== 0) {
    throw new CoppiceError({
      code: 'invalid_input',
      message: `${JSON.stringify(subnet)} is not a subnet for machines.`,
      next: `Set COPPICE_SUBNET to a private network with a prefix of 8 to 29, such as ${defaultSubnet}.`,
    });
  }
  const gateway = formatIpv4(network + 1);
  return {
    subnet,
    prefixLength,
    gateway,
    gatewayMac: macOf(gateway),
    free(taken) {
      for (let host = network + 2; host < network + size - 1; host += 1) {
        const candidate = formatIpv4(host);
        if (!taken.has(candidate)) return candidate;
      }
      throw new CoppiceError({
        code: 'limit_exceeded',
        message: `Every address of ${subnet} belongs to a machine.`,
        next: 'Destroy workspaces that are no longer needed, or give coppiced a larger COPPICE_SUBNET.',
      });
    },
    contains(candidate) {
      const value = parseIpv4(candidate);
      return value !== undefined && value >= network && value < network + size;
    },
  };
}

/** Locally administered and as unique as the address. */
export function macOf(address: string): string {
  const bytes = address.split('.').map((part) => Number(part).toString(16).padStart(2, '0'));
  return ['02', 'c0', ...bytes].join(':');
}
