/**
 * What can go wrong between the daemon and a guest, as CoppiceErrors. Whether a request may have taken
 * effect decides between `guest_unreachable` (it has not: try again) and `outcome_unknown` (look first).
 */
import { CoppiceError, type ErrorCode } from '../../protocol/errors.ts';

/** gRPC status codes, by number. */
export const grpcCode = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
} as const;

export type CallFailure =
  | {
      readonly kind: 'status';
      readonly code: number;
      readonly message: string;
      /** The `coppice-error` metadata. */
      readonly word?: string | undefined;
    }
  /** The stream ended without a status. `sent`: the guest may have seen the request. */
  | { readonly kind: 'broken'; readonly sent: boolean; readonly reason: string }
  | { readonly kind: 'cancelled' }
  | { readonly kind: 'timeout'; readonly timeoutMs: number };

export interface MethodName {
  readonly service: string;
  readonly method: string;
}

/** Calls that change nothing: when one is lost, nothing is unknown. */
const readOnly: ReadonlySet<string> = new Set([
  'SystemService/Ping',
  'SystemService/GetInfo',
  'SystemService/GetStats',
  'ProcessService/List',
  'ProcessService/Get',
  'FileService/Stat',
  'FileService/List',
  'FileService/Read',
  'FileService/Watch',
  'FileService/Search',
  'FileService/Archive',
  'NetworkService/ListListeners',
  'NetworkService/WatchListeners',
]);

export function callError(failure: CallFailure, name: MethodName): CoppiceError {
  const call = `${name.service}/${name.method}`;
  switch (failure.kind) {
    case 'status':
      return statusError(failure, name);
    case 'broken':
      return failure.sent && !readOnly.has(call)
        ? outcomeUnknown(call, failure.reason)
        : guestUnreachable(failure.reason);
    case 'cancelled':
      return new CoppiceError({ code: 'cancelled', message: 'The call was cancelled.' });
    case 'timeout':
      return new CoppiceError({
        code: 'timeout',
        message: `The machine did not finish ${call} within ${String(failure.timeoutMs)} ms; it was told to stop.`,
        next: 'Allow more time, or look at the load of the machine.',
        details: { call },
      });
  }
}

export function guestUnreachable(reason: string, consoleTail?: string): CoppiceError {
  const tail = (consoleTail ?? '').trimEnd().split('\n').slice(-20).join('\n').trim();
  return new CoppiceError({
    code: 'guest_unreachable',
    message: `The agent in the machine cannot be reached: ${reason}.${
      tail === '' ? '' : ` The end of its console:\n${tail}`
    }`,
    next: 'Try again; if it stays so, look at coppice logs and restart the workspace.',
  });
}

function outcomeUnknown(call: string, reason: string): CoppiceError {
  return new CoppiceError({
    code: 'outcome_unknown',
    message: `The connection to the machine broke after ${call} was sent (${reason}): it may or may not have taken effect.`,
    next: 'Look at the state of the machine before doing it again.',
    details: { call },
  });
}

/** Words that mean the same wherever they occur. */
const words: Readonly<Record<string, ErrorCode>> = {
  no_space: 'no_space',
  permission: 'permission_denied',
  too_large: 'limit_exceeded',
};

/** What else a service's words mean; a word that is not here says no more than its status. */
const serviceWords: Readonly<Record<string, Readonly<Record<string, ErrorCode>>>> = {
  FileService: { not_found: 'file_not_found', exists: 'file_exists' },
  ProcessService: {
    not_started: 'not_started',
    user_unknown: 'not_started',
    ended: 'wrong_state',
    running: 'wrong_state',
  },
  NetworkService: { unknown_host: 'not_found' },
};

/** Code of a word that a service does not explain: `unavailable` there does not mean the agent itself. */
const otherWord: Readonly<Record<string, ErrorCode>> = {
  FileService: 'file_error',
  NetworkService: 'guest_error',
};

/** Calls that start something: a missing directory or program means that nothing has run. */
const starting: ReadonlySet<string> = new Set(['Exec', 'Start', 'Open']);

const codes: Readonly<Record<number, ErrorCode>> = {
  [grpcCode.cancelled]: 'cancelled',
  [grpcCode.invalidArgument]: 'invalid_input',
  [grpcCode.deadlineExceeded]: 'timeout',
  [grpcCode.notFound]: 'not_found',
  [grpcCode.permissionDenied]: 'permission_denied',
  [grpcCode.resourceExhausted]: 'limit_exceeded',
  [grpcCode.failedPrecondition]: 'wrong_state',
  [grpcCode.outOfRange]: 'invalid_input',
  [grpcCode.unimplemented]: 'protocol_mismatch',
  [grpcCode.unavailable]: 'guest_unreachable',
};

function statusError(
  failure: Extract<CallFailure, { kind: 'status' }>,
  name: MethodName,
): CoppiceError {
  const word = failure.word?.slice(0, 64);
  const code = codeOf(failure.code, word, name, failure.message);
  return new CoppiceError({
    code,
    message: readable(failure.message) || `The machine refused ${name.method} without a reason.`,
    ...(code === 'protocol_mismatch'
      ? { next: 'The machine runs an older agent: restart the workspace to give it this one.' }
      : {}),
    details: {
      call: `${name.service}/${name.method}`,
      status: failure.code,
      ...(word === undefined ? {} : { word: readable(word) }),
    },
  });
}

function codeOf(
  status: number,
  word: string | undefined,
  name: MethodName,
  message: string,
): ErrorCode {
  if (word === undefined) return codes[status] ?? 'guest_error';
  if (name.service === 'ProcessService' && starting.has(name.method)) {
    // Open also attaches, and then it is the job that is missing.
    if (word === 'not_found') {
      return /^there is no process \d/.test(message) ? 'not_found' : 'not_started';
    }
    if (word === 'permission') return 'not_started';
  }
  return (
    words[word] ??
    serviceWords[name.service]?.[word] ??
    otherWord[name.service] ??
    codes[status] ??
    'guest_error'
  );
}

/** The guest wrote it, so it may hold anything: no control characters, no novels. */
function readable(text: string): string {
  return text
    .replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '?')
    .slice(0, 2000);
}

/** Any error of a call as a CoppiceError; those that are one stay what they are. */
export function toCoppiceError(error: unknown): CoppiceError {
  if (error instanceof CoppiceError) return error;
  if (error instanceof Error && error.name === 'AbortError') {
    return new CoppiceError(
      { code: 'cancelled', message: 'The call was cancelled.' },
      { cause: error },
    );
  }
  const message = error instanceof Error ? error.message : String(error);
  return new CoppiceError(
    { code: 'guest_error', message: `Talking to the machine failed: ${message}` },
    { cause: error },
  );
}
