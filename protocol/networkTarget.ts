/**
 * One entry of a workspace's allow-list: where it may connect to. Grammar: `<where>[:<port>[-<port>]]`, where
 * `<where>` is an IPv4 address or CIDR, `example.com` (that name alone), `*.example.com` (every name below it),
 * `.example.com` (it and every name below it), or `*` (every public address).
 */
import * as z from 'zod';

/** First and last, both included. */
export type PortRange = readonly [number, number];

export type NetworkTarget =
  | {
      readonly kind: 'cidr';
      /** With the bits beyond the prefix cleared. */
      readonly address: string;
      readonly prefixLength: number;
      /** Undefined: every port, and protocols without ports. */
      readonly ports: PortRange | undefined;
    }
  | {
      readonly kind: 'domain';
      /** Lower case, without a trailing dot. */
      readonly name: string;
      readonly itself: boolean;
      readonly below: boolean;
      readonly ports: PortRange | undefined;
    }
  | { readonly kind: 'public'; readonly ports: PortRange | undefined };

const label = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;

/** Undefined where the text follows no form above. */
export function parseNetworkTarget(text: string): NetworkTarget | undefined {
  // Some letters outside ASCII have lower case within it.
  if (!/^[!-~]+$/.test(text)) return undefined;
  const parts = /^([^:]+)(?::(\d{1,5})(?:-(\d{1,5}))?)?$/.exec(text.toLowerCase());
  if (parts === null) return undefined;
  const [, where = '', first, last] = parts;
  const ports = first === undefined ? undefined : portRange(Number(first), Number(last ?? first));
  if (ports === null) return undefined;
  if (where === '*') return { kind: 'public', ports };
  return parseCidr(where, ports) ?? parseDomain(where, ports);
}

function portRange(first: number, last: number): PortRange | null {
  return first >= 1 && first <= last && last <= 65_535 ? [first, last] : null;
}

function parseCidr(where: string, ports: PortRange | undefined): NetworkTarget | undefined {
  const [address = '', bits = '32', more] = where.split('/');
  const value = parseIpv4(address);
  if (value === undefined || more !== undefined || !/^\d{1,2}$/.test(bits)) return undefined;
  const prefixLength = Number(bits);
  if (prefixLength > 32) return undefined;
  const mask = prefixLength === 0 ? 0 : (0xffff_ffff << (32 - prefixLength)) >>> 0;
  return { kind: 'cidr', address: formatIpv4((value & mask) >>> 0), prefixLength, ports };
}

function parseDomain(where: string, ports: PortRange | undefined): NetworkTarget | undefined {
  const below = where.startsWith('*.') || where.startsWith('.');
  const itself = !where.startsWith('*.');
  const name = where.replace(/^\*?\./, '').replace(/\.$/, '');
  const labels = name.split('.');
  // A last label of digits would be an address that is none.
  if (name.length > 253 || /^\d+$/.test(labels.at(-1) ?? '')) return undefined;
  if (!labels.every((part) => label.test(part))) return undefined;
  return { kind: 'domain', name, itself, below, ports };
}

/** As a number of 32 bits; undefined where it is no dotted quad. */
export function parseIpv4(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part))) {
    return undefined;
  }
  const bytes = parts.map(Number);
  if (bytes.some((byte) => byte > 255)) return undefined;
  return bytes.reduce((sum, byte) => sum * 256 + byte, 0);
}

export function formatIpv4(value: number): string {
  return [24, 16, 8, 0].map((shift) => String((value >>> shift) & 0xff)).join('.');
}

export const networkTarget = z
  .string()
  .max(300)
  .refine(
    (text) => parseNetworkTarget(text) !== undefined,
    'give an address, a CIDR, a domain (example.com, *.example.com, .example.com) or *, and if need be a port or range of ports: github.com:443',
  );
