/**
 * What the audit says about an operation's input: enough to know what was done to what, never a secret nor what
 * files, variables and messages hold.
 */
import { redact } from '../system/redact.ts';

/** Fields whose name ends with one of these hold somebody's content; of these only the size is told. */
const contentWords: ReadonlySet<string> = new Set(
  (
    'env vars variables content contents context input stdin data body payload value text message ' +
    'prompt frontmatter string replacement'
  ).split(' '),
);

function holdsContent(field: string): boolean {
  return contentWords.has(field.split('_').at(-1) ?? '') || secret.test(field);
}

const secret = /(secret|token|password|passwd|passphrase|api_?key|credential|private_key)/i;

const commands = /^argv$|(^|_)commands?$/;
const commandBytes = 1024;
const textBytes = 256;
const summaryBytes = 4096;
const listEntries = 16;
const depth = 4;
/** What is redacted is longer than what is kept, so that no credential is cut in two before it is recognised. */
const redactedBytes = 8192;

/** `TOKEN=…` before a command, and `--password …`. */
const assignment =
  /\b([A-Za-z0-9_]{0,64}(?:secret|token|password|passwd|api_?key|credential)[A-Za-z0-9_]{0,64}=)("[^"]*"|'[^']*'|[^\s;&|]+)/gi;
const option =
  /(--?[a-z-]{0,32}(?:secret|token|password|passwd|api-?key)[a-z-]{0,32}[ =])("[^"]*"|'[^']*'|[^\s;&|]+)/gi;

/** JSON text, 4 KiB at most. */
export function summarizeInput(input: unknown): string {
  return cut(JSON.stringify(summaryOf(input, '', 0)) ?? '', summaryBytes);
}

function summaryOf(value: unknown, key: string, level: number): unknown {
  if (holdsContent(key)) return sizeOf(value);
  // Joined, so that an option and its value are seen together.
  if (key === 'argv' && Array.isArray(value)) return summaryOf(value.join(' '), key, level);
  if (typeof value === 'string') {
    const limit = commands.test(key) ? commandBytes : textBytes;
    return cut(hideSecrets(cut(value, redactedBytes)), limit);
  }
  if (typeof value !== 'object' || value === null) return value;
  if (level >= depth) return sizeOf(value);
  if (Array.isArray(value)) {
    const kept = value.slice(0, listEntries).map((entry) => summaryOf(entry, key, level + 1));
    const more = value.length - kept.length;
    return more > 0 ? [...kept, `(${String(more)} more)`] : kept;
  }
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, entry]) => entry !== undefined)
      .map(([name, entry]) => [cut(name, textBytes), summaryOf(entry, name, level + 1)]),
  );
}

function hideSecrets(text: string): string {
  return redact(text).replace(assignment, '$1[REDACTED]').replace(option, '$1[REDACTED]');
}

function sizeOf(value: unknown): unknown {
  if (typeof value === 'string') return `(${String(Buffer.byteLength(value))} bytes)`;
  if (Array.isArray(value)) return `(${String(value.length)} entries)`;
  if (typeof value === 'object' && value !== null) {
    return `(${String(Object.keys(value).length)} entries)`;
  }
  return typeof value === 'boolean' ? value : '(hidden)';
}

/** The first `bytes` of a text, cut between characters. */
function cut(text: string, bytes: number): string {
  if (Buffer.byteLength(text) <= bytes) return text;
  const head = Buffer.from(text)
    .subarray(0, bytes)
    .toString('utf8')
    .replace(/\uFFFD+$/, '');
  return `${head}…`;
}
