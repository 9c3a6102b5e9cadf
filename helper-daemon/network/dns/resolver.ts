/** The name server of machines: it resolves what their policy names, and tells the network what it found. */
import type { PortRange } from '../../../protocol/networkTarget.ts';
import type { Card, Denial } from '../network.ts';
import { isPrivate } from '../policy.ts';
import { denialLog, type DenialLog } from '../denialLog.ts';
import {
  maxMessageBytes,
  maxUdpBytes,
  minUdpBytes,
  rcodes,
  readQuestion,
  writeReply,
  type Question,
  type Reply,
  type ResourceRecord,
} from './message.ts';
import { hostServers, parseServer } from './servers.ts';
import { askUpstream } from './upstream.ts';
import { isPrivateReverse, mayBeTold, verdictOn } from './verdict.ts';

/** Where questions come from and where what they found goes: one per network. */
export interface ResolverHost {
  /** The attached card with this name (lower case) that `asker` may open connections to. */
  peer(asker: Card, name: string): Card | undefined;
  /**
   * The asker may reach these addresses for `seconds`, at the ports of the targets that allowed the name. Done
   * when it is in force: the answer goes out afterwards.
   */
  admit(
    asker: Card,
    addresses: readonly string[],
    ports: readonly (readonly [number, number] | undefined)[],
    seconds: number,
  ): Promise<void>;
}

export interface Resolver {
  /** The reply to send, or undefined where the question deserves none (malformed, too many at once). */
  answer(
    asker: Card,
    question: Uint8Array,
    transport: 'udp' | 'tcp',
  ): Promise<Uint8Array | undefined>;
  /** Names that were refused, most recent first. */
  denials(workspaceId: string): Denial[];
  /** The workspace is gone. */
  forget(workspaceId: string): void;
  close(): void;
}

export interface ResolverOptions {
  /** "address" or "address:port" of each; absent: the host's own, as /etc/resolv.conf says at the time. */
  readonly upstreams?: readonly string[];
  /** The address that machines ask at; never asked itself, whatever /etc/resolv.conf says. */
  readonly gateway?: string;
  readonly now?: () => number;
}

const maxInFlight = { perAsker: 32, inAll: 512 };
const maxAddresses = 64;
/** Seconds that a machine may remember what was opened for it: it asks again before that is closed. */
const maxTtl = 300;
const peerTtl = 5;
const maxAdmitSeconds = 86_400;
const domain = '.coppice';

/** Questions for one record that stand for all, and for whole zones, and those that change something. */
const refusedTypes = new Set(['ANY', 'AXFR', 'IXFR', 'TKEY', 'TSIG', 'UNKNOWN_253', 'UNKNOWN_254']);
/** IPv6 addresses, and records that may hold some: the network of machines has none. */
const ipv6Types = new Set(['AAAA', 'UNKNOWN_64', 'UNKNOWN_65']);

interface Lookup {
  readonly workspaceId: string;
  readonly controller: AbortController;
  readonly reply: Promise<Reply | undefined>;
}

/** @throws CoppiceError `invalid_input` for an upstream that is no address */
export function createResolver(host: ResolverHost, options: ResolverOptions): Resolver {
  const given = options.upstreams?.map(parseServer);
  const servers = given === undefined ? hostServers(options.gateway) : () => given;
  const logs = new Map<string, DenialLog>();
  const lookups = new Map<string, Lookup>();
  const inFlight = new Map<string, number>();
  let inFlightInAll = 0;
  let closed = false;

  const refuse = (asker: Card, question: Question, reason: string): Reply => {
    const log = logs.get(asker.workspaceId) ?? denialLog(options.now);
    logs.set(asker.workspaceId, log);
    log.note({
      kind: 'name',
      destination: question.name,
      port: undefined,
      protocol: 'dns',
      reason,
    });
    return { rcode: rcodes.refused };
  };

  const replyTo = async (asker: Card, question: Question): Promise<Reply | undefined> => {
    const { name, type } = question;
    if (refusedTypes.has(type)) return { rcode: rcodes.refused };
    if (type === 'OPT') return { rcode: rcodes.malformed };
    if (`.${name}`.endsWith(domain)) return peerReply(host, asker, question);
    if (isPrivateReverse(name)) return { rcode: rcodes.noSuchName };
    const verdict = verdictOn(asker.policy, name);
    if (!verdict.allowed) return refuse(asker, question, verdict.reason);
    if (ipv6Types.has(type)) return { rcode: rcodes.ok };
    return lookUp(asker, question, verdict.ports);
  };

  /** Upstream, once for all who ask the same at the same time. */
  const lookUp = async (
    asker: Card,
    question: Question,
    ports: readonly (PortRange | undefined)[],
  ): Promise<Reply | undefined> => {
    const { workspaceId } = asker;
    const own = inFlight.get(workspaceId) ?? 0;
    if (own >= maxInFlight.perAsker || inFlightInAll >= maxInFlight.inAll) return undefined;
    inFlight.set(workspaceId, own + 1);
    inFlightInAll += 1;
    try {
      const { name, type, flags, edns } = question;
      const key = JSON.stringify([workspaceId, asker.revision, name, type, flags, edns?.dnssec]);
      let lookup = lookups.get(key);
      if (lookup === undefined) {
        const controller = new AbortController();
        const reply = resolve(asker, question, ports, controller.signal).finally(() => {
          lookups.delete(key);
        });
        lookup = { workspaceId, controller, reply };
        lookups.set(key, lookup);
      }
      return await lookup.reply;
    } finally {
      inFlightInAll -= 1;
      const left = (inFlight.get(workspaceId) ?? 1) - 1;
      if (left === 0) inFlight.delete(workspaceId);
      else inFlight.set(workspaceId, left);
    }
  };

  const resolve = async (
    asker: Card,
    question: Question,
    ports: readonly (PortRange | undefined)[],
    signal: AbortSignal,
  ): Promise<Reply | undefined> => {
    const found = await askUpstream(servers(), question, signal);
    if (signal.aborted) return undefined;
    if (found === undefined) return { rcode: rcodes.failed };
    if (found.rcode !== rcodes.ok && found.rcode !== rcodes.noSuchName) {
      // REFUSED is ours to say: it means the policy.
      const isPassedOn = found.rcode === rcodes.malformed || found.rcode === rcodes.notImplemented;
      return { rcode: isPassedOn ? found.rcode : rcodes.failed };
    }
    const answers = tellable(asker, question, found.answers);
    const addresses = addressesOf(answers);
    if (question.type === 'A' && addresses.length === 0 && addressesOf(found.answers).length > 0) {
      return refuse(asker, question, 'points to a private address');
    }
    const authorities = found.authorities.filter(({ type }) => !holdsAddress(type));
    const isWhole = answers.length === found.answers.length;
    const reply = { rcode: found.rcode, authentic: isWhole && found.authentic === true };
    if (ports.length === 0) return { ...reply, answers, authorities };
    // What a CIDR opens is open at the ports of that CIDR, and no name may add to them.
    const opened = addresses.filter((address) => !isPrivate(address));
    if (opened.length > 0) {
      await host.admit(asker, opened, ports, admitSeconds(answers));
      if (signal.aborted) return undefined;
    }
    const capped = (records: readonly ResourceRecord[]): ResourceRecord[] =>
      records.map((record) => ({ ...record, ttl: Math.min(record.ttl, maxTtl) }));
    return { ...reply, answers: capped(answers), authorities: capped(authorities) };
  };

  return {
    async answer(asker, bytes, transport) {
      if (closed) return undefined;
      const read = readQuestion(bytes);
      if (read === undefined) return undefined;
      if ('reply' in read) return read.reply;
      const { question } = read;
      const asked = question.edns?.udpBytes ?? minUdpBytes;
      const udpLimit = Math.min(Math.max(asked, minUdpBytes), maxUdpBytes);
      const reply = await replyTo(asker, question).catch(() => ({ rcode: rcodes.failed }));
      if (reply === undefined || closed) return undefined;
      return writeReply(question, reply, transport === 'tcp' ? maxMessageBytes : udpLimit);
    },
    denials: (workspaceId) => logs.get(workspaceId)?.list() ?? [],
    forget(workspaceId) {
      for (const lookup of lookups.values()) {
        if (lookup.workspaceId === workspaceId) lookup.controller.abort();
      }
      logs.delete(workspaceId);
    },
    close() {
      closed = true;
      for (const lookup of lookups.values()) lookup.controller.abort();
    },
  };
}

/** Names of machines: whoever may not reach one is not told that it exists. */
function peerReply(host: ResolverHost, asker: Card, { name, type }: Question): Reply {
  const peer = host.peer(asker, name.slice(0, -domain.length));
  if (peer === undefined) return { rcode: rcodes.noSuchName, authoritative: true };
  const address: ResourceRecord = {
    type: 'A',
    name,
    class: 'IN',
    ttl: peerTtl,
    data: peer.address,
  };
  return { rcode: rcodes.ok, authoritative: true, answers: type === 'A' ? [address] : [] };
}

/** Addresses are told to who asked for them, if the policy lets them be reached at all. */
function tellable(
  asker: Card,
  question: Question,
  records: readonly ResourceRecord[],
): ResourceRecord[] {
  let addresses = 0;
  return records.filter((record) => {
    if (!holdsAddress(record.type)) return true;
    if (record.type !== 'A' || question.type !== 'A') return false;
    if (!mayBeTold(asker.policy, record.data)) return false;
    addresses += 1;
    return addresses <= maxAddresses;
  });
}

function holdsAddress(type: string): boolean {
  return type === 'A' || ipv6Types.has(type);
}

function addressesOf(records: readonly ResourceRecord[]): string[] {
  return records.flatMap((record) => (record.type === 'A' ? [record.data] : []));
}

/** Longer than the machine may remember the answer, and than an application needs to use it. */
function admitSeconds(records: readonly ResourceRecord[]): number {
  const ttls = records.filter(({ type }) => type === 'A').map(({ ttl }) => ttl);
  return Math.min(Math.max(30, ...ttls) + 60, maxAdmitSeconds);
}
