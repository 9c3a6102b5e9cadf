/** The shapes that network operations and events share. */
import * as z from 'zod';
import { limits } from '../limits.ts';
import { networkTarget } from '../networkTarget.ts';

export const port = z.int().min(1).max(65_535);

/** `off`: none. `list`: what `allow` names. `full`: every public address, and what `allow` names. */
const internetAccess = z.enum(['off', 'list', 'full']);

export const teamName = z
  .string()
  .max(limits.nameLength)
  .regex(/^[A-Za-z0-9._-]*$/, 'use only letters, digits, ".", "_" and "-"');

export const bandwidthMbit = z.int().min(0).max(limits.bandwidthMbit.max);

export const networkPolicy = z.object({
  allow_internet: z.boolean().describe('Whether anything outside can be reached at all'),
  internet: internetAccess,
  allow: z.array(networkTarget).describe('What may be reached beside, or instead of, the internet'),
  allow_inter_vm: z.boolean().describe('Reaches, and is reached by, others that allow it too'),
  allowed_ports: z.array(port).describe('TCP ports that every other machine may connect to'),
  bandwidth_mbit: bandwidthMbit.describe('Limit in each direction, Mbit/s; 0: none'),
  team: z.string().nullable().describe('Reaches the other members of this team'),
});
export type NetworkPolicyView = z.infer<typeof networkPolicy>;

/** What a caller may say of a policy; absent fields stay as they are. */
export const policyInput = {
  allow_internet: z
    .boolean()
    .optional()
    .describe('true: every public address; false: nothing. The short form of internet'),
  internet: internetAccess
    .optional()
    .describe('off (default), list (only what allow names) or full (every public address)'),
  allow: z
    .array(networkTarget)
    .max(limits.networkTargets.max)
    .optional()
    .describe(
      'Addresses, CIDRs, domains (example.com, *.example.com, .example.com), each with :port or :port-port if need be. Replaces the list; with internet off it turns it to list',
    ),
};

export const portForward = z.object({
  host_port: port,
  guest_port: port,
  bind: z.ipv4().describe('Host address it listens on; 0.0.0.0 is all of them'),
  problem: z.string().nullable().describe('Why it does not work at the moment, or null'),
});
export type PortForward = z.infer<typeof portForward>;

/** A TCP socket that listens in a machine. */
export const listeningPort = z.object({
  port,
  address: z.string(),
  pid: z.int().nullable(),
  process: z.string(),
});
export type ListeningPort = z.infer<typeof listeningPort>;
