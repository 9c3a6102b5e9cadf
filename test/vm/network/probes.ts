/** What `probe.py` can try, and what came of it. */
import type { CoppiceClient } from '../../../helper-daemon/client/client.ts';
import { probeScript, runInNamespace, type Peers } from '../support/networkBed.ts';

/** Seconds: until something counts as out of reach, and how long what is allowed may take on a slow machine. */
const impatient = 1;
const patient = 10;

interface Target {
  readonly to: string;
  readonly port: number;
}

export type Probe =
  | (Target & { readonly kind: 'tcp'; readonly from?: string })
  | (Target & { readonly kind: 'udp'; readonly size?: number })
  | { readonly kind: 'icmp'; readonly to: string }
  | {
      readonly kind: 'dns';
      readonly to: string;
      readonly name: string;
      readonly type?: 'A' | 'AAAA' | 'TXT' | 'PTR' | 'HTTPS' | 'ANY';
      readonly over?: 'tcp';
      readonly port?: number;
    }
  | (Target & { readonly kind: 'pour'; readonly direction: 'in' | 'out'; readonly wait: number })
  | FrameProbe;

/** A frame that carries `token`, by which it is known wherever it appears. */
export interface FrameProbe {
  readonly kind: 'frame';
  readonly family: 'ipv4' | 'ipv6' | 'arp' | 'ether';
  readonly protocol: string;
  readonly to_mac: string;
  /** Interface; eth0 when absent. */
  readonly card?: string;
  /** The machine's own when absent. */
  readonly from_mac?: string;
  readonly source?: string;
  readonly to?: string;
  readonly port?: number;
  readonly from_port?: number;
  /** Of ARP: who it says has the address. */
  readonly claims_mac?: string;
  readonly target_mac?: string;
  /** Of IP in IP. */
  readonly inner?: string;
  readonly ethertype?: number;
  readonly vlan?: number;
  /** Bytes of the first of two pieces: a multiple of 8. */
  readonly fragment?: number;
  /** Bytes of a datagram, about. */
  readonly size?: number;
}

export type Expectation =
  | 'open'
  | 'closed'
  /** The card's own filter lets it through no further. */
  | 'stopped at the card'
  /** It goes no further than the host, which does not pass it on. */
  | 'stopped'
  /** It appears nowhere on the host. */
  | 'unseen'
  /** What a name server says: "NOERROR 198.51.100.20", "REFUSED". */
  | { readonly says: string };

export interface Attempt {
  readonly name: string;
  readonly probe: Probe;
  readonly expect: Expectation;
}

export interface Outcome {
  readonly name: string;
  readonly expected: string;
  readonly found: string;
  /** The probe's own words. */
  readonly detail: string;
}

type Runner = (input: string) => Promise<string>;

export const fromNamespace =
  (namespace: string): Runner =>
  (input) =>
    runInNamespace(namespace, ['python3', probeScript], input);

const probesInMachine = '/srv/probe.py';

export const fromMachine =
  (client: CoppiceClient, machine: string): Runner =>
  async (input) => {
    const command = `exec python3 ${probesInMachine}`;
    const ran = await client.call('exec', { workspace_id: machine, command, input });
    if (ran.exit_code !== 0) throw new Error(`probes in ${machine} failed: ${ran.stderr}`);
    return ran.stdout;
  };

/** All at the same time. */
export async function attempt(
  run: Runner,
  attempts: readonly Attempt[],
  witness?: Peers,
): Promise<Outcome[]> {
  const probes = attempts.map(({ name, probe, expect }) => ({
    ...probe,
    token: tokenOf(name),
    wait: waitOf(probe, expect),
  }));
  const results = JSON.parse(await run(JSON.stringify(probes))) as string[];
  const seen = attempts.some(({ probe }) => probe.kind === 'frame')
    ? Object.keys((await witness?.report())?.packets ?? {})
    : [];
  return attempts.map(({ name, probe, expect }, index) => {
    const result = results[index] ?? 'nothing';
    const places = seen.filter((key) => key.endsWith(` token:${tokenOf(name)}`));
    return {
      name,
      expected: typeof expect === 'string' ? expect : expect.says,
      found: verdict(probe, expect, result, places),
      detail: [result, ...places].join(', '),
    };
  });
}

function waitOf(probe: Probe, expect: Expectation): number {
  if (probe.kind === 'pour') return probe.wait;
  return expect === 'open' || typeof expect === 'object' ? patient : impatient;
}

function tokenOf(name: string): string {
  return name.replaceAll(/[^\w.-]+/g, '-');
}

function verdict(
  probe: Probe,
  expect: Expectation,
  result: string,
  places: readonly string[],
): string {
  if (typeof expect === 'object') return result;
  if (probe.kind !== 'frame') return result.startsWith('open') ? 'open' : 'closed';
  if (result !== 'sent') return result;
  const beyond = places.map((place) => place.split(' token:')[0] ?? '');
  if (beyond.length === 0) return 'unseen';
  const onTheHost = (place: string): boolean => /^(tap|br-\S+) in$/.test(place);
  if (!beyond.every(onTheHost)) return `leaked: ${beyond.join(', ')}`;
  return expect === 'stopped at the card' && beyond.every((place) => place === 'tap in')
    ? expect
    : 'stopped';
}

/** For tests that are one step: name by name, what was expected and what was found. */
export function compared(outcomes: readonly Outcome[]): {
  readonly found: Record<string, string>;
  readonly expected: Record<string, string>;
} {
  return {
    found: Object.fromEntries(
      outcomes.map(({ name, expected, found, detail }) => [
        name,
        found === expected ? found : `${found} (${detail})`,
      ]),
    ),
    expected: Object.fromEntries(outcomes.map(({ name, expected }) => [name, expected])),
  };
}

export const tcp = (to: string, port: number): Probe => ({ kind: 'tcp', to, port });
export const udp = (to: string, port: number, size?: number): Probe => ({
  kind: 'udp',
  to,
  port,
  ...(size === undefined ? {} : { size }),
});
export const icmp = (to: string): Probe => ({ kind: 'icmp', to });
export const dns = (
  to: string,
  name: string,
  more: {
    readonly type?: 'A' | 'AAAA' | 'TXT' | 'PTR' | 'HTTPS' | 'ANY';
    readonly over?: 'tcp';
  } = {},
): Probe => ({ kind: 'dns', to, name, ...more });

export const open = (name: string, probe: Probe): Attempt => ({ name, probe, expect: 'open' });
export const closed = (name: string, probe: Probe): Attempt => ({ name, probe, expect: 'closed' });
export const says = (name: string, probe: Probe, answer: string): Attempt => ({
  name,
  probe,
  expect: { says: answer },
});
