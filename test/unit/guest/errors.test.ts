import { describe, expect, it } from 'vitest';
import { callError, grpcCode } from '../../../helper-daemon/guest/errors.ts';

const read = { service: 'FileService', method: 'Read' };
const exec = { service: 'ProcessService', method: 'Exec' };
const tunnel = { service: 'NetworkService', method: 'Tunnel' };

function status(code: number, word?: string): Parameters<typeof callError>[0] {
  return { kind: 'status', code, message: 'why', word };
}

describe('callError', () => {
  it.each([
    [read, grpcCode.notFound, 'not_found', 'file_not_found'],
    [read, grpcCode.alreadyExists, 'exists', 'file_exists'],
    [read, grpcCode.failedPrecondition, 'not_empty', 'file_error'],
    [read, grpcCode.resourceExhausted, 'no_space', 'no_space'],
    [read, grpcCode.permissionDenied, 'permission', 'permission_denied'],
    [exec, grpcCode.notFound, 'not_found', 'not_started'],
    [exec, grpcCode.notFound, undefined, 'not_found'],
    [exec, grpcCode.failedPrecondition, 'user_unknown', 'not_started'],
    [exec, grpcCode.permissionDenied, 'permission', 'not_started'],
    [exec, grpcCode.resourceExhausted, 'not_started', 'not_started'],
    [{ ...exec, method: 'Get' }, grpcCode.notFound, 'not_found', 'not_found'],
    [{ ...exec, method: 'Remove' }, grpcCode.failedPrecondition, 'running', 'wrong_state'],
    [tunnel, grpcCode.unavailable, 'refused', 'guest_error'],
    [tunnel, grpcCode.unavailable, undefined, 'guest_unreachable'],
    [exec, grpcCode.invalidArgument, undefined, 'invalid_input'],
    [exec, grpcCode.unimplemented, undefined, 'protocol_mismatch'],
    [exec, 99, undefined, 'guest_error'],
  ] as const)('maps %o status %s with word %s to %s', (name, code, word, expected) => {
    expect(callError(status(code, word), name).code).toBe(expected);
  });

  it('tells a missing job from a missing directory', () => {
    const open = { service: 'ProcessService', method: 'Open' };
    const missing = { kind: 'status', code: grpcCode.notFound, word: 'not_found' } as const;
    expect(callError({ ...missing, message: 'there is no process 7' }, open).code).toBe(
      'not_found',
    );
    expect(callError({ ...missing, message: '/nope: No such file' }, open).code).toBe(
      'not_started',
    );
  });

  it('knows that a lost read has changed nothing', () => {
    const lost = { kind: 'broken', sent: true, reason: 'gone' } as const;
    expect(callError(lost, read).code).toBe('guest_unreachable');
    expect(callError(lost, exec).code).toBe('outcome_unknown');
    expect(callError({ ...lost, sent: false }, exec).code).toBe('guest_unreachable');
  });

  it('does not pass on control characters or novels of a guest', () => {
    const error = callError(
      { kind: 'status', code: 2, message: `\u001b[2J${'x'.repeat(10_000)}` },
      exec,
    );
    expect(error.message).toMatch(/^\?\[2Jx+$/);
    expect(error.message.length).toBe(2000);
  });
});
