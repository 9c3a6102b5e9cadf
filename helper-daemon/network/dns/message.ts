/**
 * DNS messages as the name server of machines needs them. Both sides are hostile: what is read is bounded before it
 * is decoded, and what is written is known to read back as it was meant.
 */
import { randomInt } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import * as dns from 'dns-packet';

export const rcodes = {
  ok: 0,
  malformed: 1,
  failed: 2,
  noSuchName: 3,
  notImplemented: 4,
  refused: 5,
  badVersion: 16,
} as const;

/** Longest UDP message that needs no fragments anywhere; also what upstreams are told. */
export const maxUdpBytes = 1232;
export const minUdpBytes = 512;
export const maxMessageBytes = 65_535;

const headerBytes = 12;
/** A name with every option there is comes nowhere near it. */
const maxQuestionBytes = 4096;
const maxRecords = 1000;
const shortestRecord = 11;
const optBytes = 11;
/** Compression pointers have 14 bits. */
const maxPointer = 0x3fff;

export interface Question {
  readonly id: number;
  /** Lower case, without a trailing dot; "." is the root. */
  readonly name: string;
  /** "A", "MX"; "UNKNOWN_65" where the library has no name for it. */
  readonly type: string;
  /** Those of its flags that the reply repeats, or that matter upstream: RD, AD, CD. */
  readonly flags: number;
  readonly edns: { readonly udpBytes: number; readonly dnssec: boolean } | undefined;
  /** The question section as it was asked, which the reply repeats. */
  readonly wire: Buffer;
}

export type ResourceRecord = Exclude<dns.Answer, dns.OptAnswer> & { readonly ttl: number };

export interface Reply {
  readonly rcode: number;
  readonly authoritative?: boolean;
  readonly authentic?: boolean;
  readonly answers?: readonly ResourceRecord[];
  readonly authorities?: readonly ResourceRecord[];
}

export interface UpstreamReply extends Reply {
  readonly answers: readonly ResourceRecord[];
  readonly authorities: readonly ResourceRecord[];
}

/** What was asked, or the reply to what is no question for us; undefined where nobody may be answered. */
export function readQuestion(
  bytes: Uint8Array,
): { readonly question: Question } | { readonly reply: Buffer } | undefined {
  const message = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (message.length < headerBytes) return undefined;
  const word = message.readUInt16BE(2);
  // Replying to replies is how two servers talk to each other for ever.
  if ((word & 0x8000) !== 0) return undefined;
  if ((word & 0x7800) !== 0) return { reply: bareReply(message, rcodes.notImplemented) };
  const malformed = { reply: bareReply(message, rcodes.malformed) };
  const [questions, answers, authorities, additionals] = counts(message);
  if (questions !== 1 || answers !== 0 || authorities !== 0 || additionals > 2) return malformed;
  if (message.length > maxQuestionBytes) return malformed;
  const packet = decode(message);
  const asked = packet?.questions?.[0];
  if (packet === undefined || asked === undefined || !/^[!-~]+$/.test(asked.name)) return malformed;
  // A label with a dot in it, a compressed name or bytes that are no text would be compared as another name.
  const wire = dns.encode({ questions: [asked] }).subarray(headerBytes);
  if (!wire.equals(message.subarray(headerBytes, headerBytes + wire.length))) return malformed;
  const options = (packet.additionals ?? []).filter((record) => record.type === 'OPT');
  if (options.length > 1) return malformed;
  if (asked.class !== 'IN') return { reply: bareReply(message, rcodes.notImplemented) };
  const edns = options[0];
  const question: Question = {
    id: message.readUInt16BE(0),
    name: asked.name.toLowerCase(),
    type: asked.type,
    flags: word & (dns.RECURSION_DESIRED | dns.AUTHENTIC_DATA | dns.CHECKING_DISABLED),
    edns: edns && { udpBytes: edns.udpPayloadSize, dnssec: edns.flag_do },
    wire: Buffer.from(wire),
  };
  if (edns !== undefined && edns.ednsVersion !== 0) {
    return { reply: writeReply(question, { rcode: rcodes.badVersion }, minUdpBytes) };
  }
  return { question };
}

/** The same question for another server, under an id that nobody can foresee. */
export function writeQuery(question: Question): Buffer {
  return dns.encode({
    type: 'query',
    id: randomInt(0x1_0000),
    flags: question.flags | dns.RECURSION_DESIRED,
    questions: [{ name: question.name, type: question.type as dns.RecordType, class: 'IN' }],
    // As the asker did: some servers still refuse a question for having it.
    additionals: question.edns === undefined ? [] : [optRecord(0, question.edns.dnssec)],
  });
}

/** Whether a message that came back has the id and the question of the query. */
export function belongsTo(query: Buffer, reply: Buffer): boolean {
  if (reply.length < headerBytes || reply.readUInt16BE(0) !== query.readUInt16BE(0)) return false;
  // A reply, to opcode QUERY, with one question.
  if ((reply.readUInt16BE(2) & 0xf800) !== 0x8000 || counts(reply)[0] !== 1) return false;
  const nameEnd = query.indexOf(0, headerBytes) + 1;
  const name = (message: Buffer): string =>
    message.toString('latin1', headerBytes, nameEnd).toLowerCase();
  const rest = query.subarray(nameEnd, nameEnd + 4);
  return name(query) === name(reply) && rest.equals(reply.subarray(nameEnd, nameEnd + 4));
}

export function isTruncated(reply: Buffer): boolean {
  return (reply.readUInt16BE(2) & dns.TRUNCATED_RESPONSE) !== 0;
}

/** Undefined where it cannot be read as a whole. Only records of class IN are kept. */
export function readReply(message: Buffer): UpstreamReply | undefined {
  const packet = decode(message);
  if (packet === undefined) return undefined;
  const edns = packet.additionals?.find((record) => record.type === 'OPT');
  return {
    rcode: ((edns?.extendedRcode ?? 0) << 4) | ((packet.flags ?? 0) & 0xf),
    authentic: packet.flag_ad,
    answers: internetRecords(packet.answers),
    authorities: internetRecords(packet.authorities),
  };
}

/** As much of the reply as fits into `limit` bytes, marked as truncated where that is not every answer. */
export function writeReply(question: Question, reply: Reply, limit: number): Buffer {
  const opt = question.edns && optBytesOf(optRecord(reply.rcode >> 4, question.edns.dnssec));
  const names = new Map([[question.name, headerBytes]]);
  const pieces = [question.wire];
  let size = headerBytes + question.wire.length;
  let truncated = false;
  const write = (records: readonly ResourceRecord[]): number => {
    let count = 0;
    for (const record of records) {
      const piece = compress(record, size, names);
      if (piece === undefined) continue;
      if (size + piece.length + (opt === undefined ? 0 : optBytes) > limit) {
        truncated = true;
        break;
      }
      pieces.push(piece);
      size += piece.length;
      count += 1;
    }
    return count;
  };
  const answers = write(reply.answers ?? []);
  const isCut = truncated;
  const authorities = isCut ? 0 : write(reply.authorities ?? []);
  if (opt !== undefined) pieces.push(opt);
  const flags =
    0x8000 |
    (reply.authoritative === true ? dns.AUTHORITATIVE_ANSWER : 0) |
    (isCut ? dns.TRUNCATED_RESPONSE : 0) |
    (question.flags & (dns.RECURSION_DESIRED | dns.CHECKING_DISABLED)) |
    dns.RECURSION_AVAILABLE |
    (reply.authentic === true ? dns.AUTHENTIC_DATA : 0) |
    (reply.rcode & 0xf);
  const header = [question.id, flags, 1, answers, authorities, opt === undefined ? 0 : 1];
  return Buffer.concat([words(header), ...pieces]);
}

/** As it travels over TCP: length first. */
export function frame(message: Uint8Array): Buffer {
  const framed = Buffer.alloc(2 + message.length);
  framed.writeUInt16BE(message.length);
  framed.set(message, 2);
  return framed;
}

/** For what has no question that could be repeated. */
function bareReply(message: Buffer, rcode: number): Buffer {
  const repeated = message.readUInt16BE(2) & (0x7800 | dns.RECURSION_DESIRED);
  return words([message.readUInt16BE(0), 0x8000 | repeated | rcode, 0, 0, 0, 0]);
}

function words(values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 2);
  values.forEach((value, index) => bytes.writeUInt16BE(value, index * 2));
  return bytes;
}

function counts(message: Buffer): [number, number, number, number] {
  return [
    message.readUInt16BE(4),
    message.readUInt16BE(6),
    message.readUInt16BE(8),
    message.readUInt16BE(10),
  ];
}

function decode(message: Buffer): dns.DecodedPacket | undefined {
  if (message.length < headerBytes) return undefined;
  const [questions, ...sections] = counts(message);
  const records = sections.reduce((sum, count) => sum + count, 0);
  // The library allocates what the header promises, and follows pointers anew for each record.
  if (questions > 1 || records > maxRecords) return undefined;
  if (headerBytes + questions * 5 + records * shortestRecord > message.length) return undefined;
  try {
    const packet = dns.decode(message);
    // Lengths that lie lead some of its decoders past the end without an error.
    return dns.decode.bytes <= message.length ? packet : undefined;
  } catch {
    return undefined;
  }
}

function internetRecords(records: readonly dns.Answer[] | undefined): ResourceRecord[] {
  const kept: ResourceRecord[] = [];
  for (const record of records ?? []) {
    if (record.type === 'OPT' || record.class !== 'IN') continue;
    // A lifetime with the highest bit set is none (RFC 2181, 8).
    const ttl = record.ttl === undefined || record.ttl > 0x7fff_ffff ? 0 : record.ttl;
    kept.push({ ...record, ttl });
  }
  return kept;
}

/**
 * The record as it stands at `offset`, its owner replaced by a pointer where that name was written before: most
 * replies fit into one datagram only so. Undefined where the library writes it differently from how it read it.
 */
function compress(
  record: ResourceRecord,
  offset: number,
  names: Map<string, number>,
): Buffer | undefined {
  const wire = encodeRecord(record);
  if (wire === undefined) return undefined;
  const owner = record.name.toLowerCase();
  const known = names.get(owner);
  const isRoot = owner === '.';
  const piece =
    known === undefined || isRoot
      ? wire
      : Buffer.concat([words([0xc000 | known]), wire.subarray(wireLength(owner))]);
  const remember = (name: string, at: number): void => {
    if (at <= maxPointer && !names.has(name)) names.set(name, at);
  };
  if (!isRoot) remember(owner, offset);
  if (record.type === 'CNAME' && record.data !== '.') {
    remember(record.data.toLowerCase(), offset + piece.length - wireLength(record.data));
  }
  return piece;
}

function encodeRecord(record: ResourceRecord): Buffer | undefined {
  if (!/^[!-~]+$/.test(record.name)) return undefined;
  try {
    const message = dns.encode({ answers: [record] });
    const again = dns.decode(message).answers?.[0];
    const same =
      dns.decode.bytes === message.length &&
      again !== undefined &&
      again.type === record.type &&
      again.name === record.name &&
      isDeepStrictEqual(again.data, record.data);
    return same ? message.subarray(headerBytes) : undefined;
  } catch {
    return undefined;
  }
}

function wireLength(name: string): number {
  return Buffer.byteLength(name) + 2;
}

function optRecord(extendedRcode: number, dnssec: boolean): dns.OptAnswer {
  return {
    type: 'OPT',
    name: '.',
    udpPayloadSize: maxUdpBytes,
    extendedRcode,
    ednsVersion: 0,
    flags: dnssec ? dns.DNSSEC_OK : 0,
    flag_do: dnssec,
    options: [],
  };
}

function optBytesOf(record: dns.OptAnswer): Buffer {
  return dns.encode({ additionals: [record] }).subarray(headerBytes);
}
