/** What of this host, and of other programs' rules on it, is in the way of a bridge; each with the way out. */
import { readFile } from 'node:fs/promises';
import * as z from 'zod';
import { asCoppiceError } from '../../../protocol/errors.ts';
import type { DoctorCheck } from '../../../protocol/operations/daemon.ts';
import { run } from '../../system/run.ts';
import type { AddressPlan } from '../addressPlan.ts';
import { forwardingIsOn } from './bridgeDevice.ts';
import { programProblem, rightsProblem, subnetProblem, type Problem } from './problems.ts';
import { tables } from './skeleton.ts';

export interface ConflictOptions {
  readonly plan: AddressPlan;
  readonly bridge: string;
  /** Why the network is not working as a whole. */
  readonly problem?: string | undefined;
  /** Why the name server of the machines could not be started. */
  readonly dnsProblem?: string | undefined;
}

export async function bridgeConflicts(options: ConflictOptions): Promise<DoctorCheck[]> {
  const { plan, bridge, problem, dnsProblem } = options;
  const checks = [
    await check('network-programs', 'Network programs', 'nft and ip work', programProblem),
    await check('network-rights', 'Network devices', 'TAP devices can be made', rightsProblem),
  ];
  if (checks.some(({ status }) => status === 'failed')) return checks;
  checks.push(
    await check('network-subnet', 'Subnet of machines', `${plan.subnet} is free`, () =>
      subnetProblem(plan, bridge),
    ),
  );
  if (problem !== undefined) {
    checks.push(failed('network', 'Bridge of machines', problem, 'Restart coppiced'));
    return checks;
  }
  checks.push(
    await check('network-dns', 'Names for machines', `${plan.gateway} answers`, () =>
      Promise.resolve(dnsConflict(plan, dnsProblem)),
    ),
    await check(
      'network-forwarding',
      'Forwarding',
      'the host passes packets on',
      forwardingProblem,
    ),
    await foreignRules(bridge),
  );
  return checks;
}

async function check(
  id: string,
  title: string,
  good: string,
  look: () => Promise<Problem | undefined>,
): Promise<DoctorCheck> {
  try {
    const problem = await look();
    return problem === undefined
      ? { id, title, status: 'ok', detail: good, fix: null }
      : failed(id, title, problem.what, problem.fix);
  } catch (error) {
    const { message, next } = asCoppiceError(error);
    return { id, title, status: 'failed', detail: message, fix: next ?? null };
  }
}

function failed(id: string, title: string, detail: string, fix: string): DoctorCheck {
  return { id, title, status: 'failed', detail, fix };
}

function dnsConflict(plan: AddressPlan, problem: string | undefined): Problem | undefined {
  if (problem === undefined) return undefined;
  return {
    what: problem,
    fix: `Let the other name server leave ${plan.gateway} alone (dnsmasq: except-interface; unbound, named: list the addresses to listen on) and restart coppiced`,
  };
}

async function forwardingProblem(): Promise<Problem | undefined> {
  if (await forwardingIsOn()) return undefined;
  return {
    what: 'net.ipv4.ip_forward has been turned off since the daemon has started',
    fix: 'sysctl -w net.ipv4.ip_forward=1, and look in /etc/sysctl.d who turns it off',
  };
}

const ruleset = z.object({
  nftables: z.array(
    z.object({
      chain: z
        .object({
          family: z.string(),
          table: z.string(),
          name: z.string(),
          hook: z.string().optional(),
          policy: z.string().optional(),
        })
        .optional(),
      rule: z
        .object({ family: z.string(), table: z.string(), chain: z.string(), expr: z.unknown() })
        .optional(),
    }),
  ),
});
type Ruleset = z.infer<typeof ruleset>;

/** Other tables only matter where they drop what is passed on: an accept of ours does not overrule them. */
async function foreignRules(bridge: string): Promise<DoctorCheck> {
  const base = { id: 'network-other-rules', title: 'Other firewalls' };
  try {
    const { stdout } = await run('nft', ['-j', 'list', 'ruleset'], { timeout: 60_000 });
    const found =
      blockingFirewall(ruleset.parse(JSON.parse(stdout)), bridge) ?? (await legacyFirewall(bridge));
    if (found === undefined) {
      return { ...base, status: 'ok', detail: 'none drops what machines send', fix: null };
    }
    return { ...base, status: 'warning', detail: found.what, fix: found.fix };
  } catch (error) {
    return { ...base, status: 'warning', detail: asCoppiceError(error).message, fix: null };
  }
}

/** The first firewall that drops forwarded packets and has no rule for the bridge. */
export function blockingFirewall({ nftables }: Ruleset, bridge: string): Problem | undefined {
  const ours = new Set(tables.map(({ family, name }) => `${family} ${name}`));
  const chains = nftables
    .flatMap(({ chain }) => (chain === undefined ? [] : [chain]))
    .filter(({ family, table }) => !ours.has(`${family} ${table}`));
  const rules = nftables.flatMap(({ rule }) => (rule === undefined ? [] : [rule]));
  const mentions = (family: string, table: string): boolean =>
    rules.some(
      (rule) =>
        rule.family === family &&
        rule.table === table &&
        JSON.stringify(rule.expr).includes(JSON.stringify(bridge)),
    );
  const forwarding = chains.filter(
    ({ family, hook }) => hook === 'forward' && ['ip', 'inet'].includes(family),
  );
  for (const { family, table, name, policy } of forwarding) {
    if (mentions(family, table)) continue;
    const has = (chain: string): boolean =>
      chains.some((one) => one.family === family && one.table === table && one.name === chain);
    if (table === 'firewalld') return firewalld(bridge);
    if (policy !== 'drop') continue;
    if (has('ufw-before-forward')) return ufw(bridge);
    if (has('DOCKER-USER')) return docker(bridge);
    return {
      what: `chain ${name} of table ${family} ${table} drops what is not named in it, and names no ${bridge}`,
      fix: `nft insert rule ${family} ${table} ${name} iifname ${bridge} accept; nft insert rule ${family} ${table} ${name} oifname ${bridge} accept`,
    };
  }
  return undefined;
}

function docker(bridge: string): Problem {
  return {
    what: 'Docker drops forwarded packets that it does not know: machines with internet do not reach it, and forwards do not reach machines from outside',
    fix: `iptables -I DOCKER-USER -i ${bridge} -j ACCEPT; iptables -I DOCKER-USER -o ${bridge} -j ACCEPT`,
  };
}

function ufw(bridge: string): Problem {
  return {
    what: 'ufw drops forwarded packets',
    fix: `ufw route allow in on ${bridge}; ufw route allow out on ${bridge}; ufw allow in on ${bridge} to any port 53`,
  };
}

function firewalld(bridge: string): Problem {
  return {
    what: `firewalld has ${bridge} in no zone of its own and rejects what machines send`,
    fix: `firewall-cmd --permanent --zone=trusted --add-interface=${bridge}; firewall-cmd --reload`,
  };
}

/** Rules of the older iptables are invisible to nft. */
async function legacyFirewall(bridge: string): Promise<Problem | undefined> {
  const loaded = await readFile('/proc/net/ip_tables_names', 'utf8').catch(() => '');
  if (!loaded.split('\n').includes('filter')) return undefined;
  const { stdout } = await run('iptables-legacy', ['-S'], { timeout: 10_000 });
  if (!stdout.includes('-P FORWARD DROP') || stdout.includes(` ${bridge} `)) return undefined;
  if (stdout.includes('-N DOCKER-USER')) return docker(bridge);
  return {
    what: 'iptables (legacy) drops forwarded packets',
    fix: `iptables-legacy -I FORWARD -i ${bridge} -j ACCEPT; iptables-legacy -I FORWARD -o ${bridge} -j ACCEPT`,
  };
}
