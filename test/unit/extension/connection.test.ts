import { describe, expect, test, vi } from 'vitest';
import {
  daemonConnection,
  type ConnectionState,
  type DaemonConnection,
} from '../../../extension/helper/connection.ts';
import { CoppiceError } from '../../../protocol/errors.ts';
import { fakeClient, type FakeClient } from './fakeClient.ts';

type Answer = 'ok' | 'ENOENT' | 'ECONNREFUSED' | 'mismatch';

function failure(answer: Answer): CoppiceError {
  if (answer === 'mismatch') {
    return new CoppiceError({ code: 'protocol_mismatch', message: 'too old' });
  }
  return new CoppiceError({
    code: 'daemon_unavailable',
    message: answer,
    details: { errno: answer },
  });
}

interface World {
  readonly connection: DaemonConnection;
  readonly states: string[];
  /** For each attempt whether it was allowed to start the daemon. */
  readonly attempts: boolean[];
  readonly clients: FakeClient[];
  daemonAppears(): void;
  settled(kind: ConnectionState['kind']): Promise<void>;
}

/** @param script what each attempt meets; the last answer repeats */
function world(script: readonly Answer[]): World {
  const states: string[] = [];
  const attempts: boolean[] = [];
  const clients: FakeClient[] = [];
  let onAppearance: (() => void) | undefined;
  const connection = daemonConnection({
    connect: async (start) => {
      const answer = script[Math.min(attempts.length, script.length - 1)] ?? 'ok';
      attempts.push(start);
      if (answer !== 'ok') throw failure(answer);
      const client = fakeClient();
      clients.push(client);
      return client;
    },
    synchronise: async () => undefined,
    onState: (state) => states.push(state.kind),
    pause: async () => undefined,
    watchForDaemon: (onChange) => {
      onAppearance = onChange;
      return () => (onAppearance = undefined);
    },
    log: () => undefined,
  });
  return {
    connection,
    states,
    attempts,
    clients,
    daemonAppears: () => onAppearance?.(),
    settled: (kind) => vi.waitFor(() => expect(connection.state().kind).toBe(kind)),
  };
}

describe('the connection to the daemon', () => {
  test('is made on demand and may start the daemon', async () => {
    const { connection, attempts, states } = world(['ok']);
    expect(attempts).toEqual([]);
    await connection.client();
    expect(attempts).toEqual([true]);
    expect(states).toEqual(['connecting', 'connected']);
  });

  test('is made once for all who ask at the same time', async () => {
    const { connection, clients } = world(['ok']);
    const [first, second] = await Promise.all([connection.client(), connection.client()]);
    expect(first).toBe(second);
    expect(clients).toHaveLength(1);
  });

  test('is made again when it breaks', async () => {
    const { connection, clients, settled } = world(['ok', 'ENOENT', 'ok']);
    await connection.client();
    clients[0]?.drop();
    await settled('connected');
    expect(clients).toHaveLength(2);
  });

  test('starts a daemon again that was killed', async () => {
    const { connection, attempts, clients, settled } = world(['ok', 'ECONNREFUSED', 'ok']);
    await connection.client();
    clients[0]?.drop();
    await settled('connected');
    expect(attempts).toEqual([true, false, true]);
  });

  test('leaves a daemon alone that was stopped on purpose, and says so', async () => {
    const { connection, attempts, clients, settled } = world(['ok', 'ENOENT']);
    await connection.client();
    clients[0]?.drop();
    await settled('stopped');
    expect(attempts.slice(1).every((start) => !start)).toBe(true);
  });

  test('comes back by itself when somebody else starts the daemon', async () => {
    const script: Answer[] = ['ok', 'ENOENT', 'ENOENT', 'ENOENT', 'ENOENT', 'ok'];
    const { connection, clients, settled, daemonAppears } = world(script);
    await connection.client();
    clients[0]?.drop();
    await settled('stopped');
    daemonAppears();
    await settled('connected');
  });

  test('starts the daemon when the user asks after it was stopped', async () => {
    const script: Answer[] = ['ok', 'ENOENT', 'ENOENT', 'ENOENT', 'ENOENT', 'ok'];
    const { connection, attempts, clients, settled } = world(script);
    await connection.client();
    clients[0]?.drop();
    await settled('stopped');
    await connection.client();
    expect(attempts.at(-1)).toBe(true);
  });

  test('gives up on a daemon that refuses this client', async () => {
    const { connection, attempts } = world(['mismatch']);
    await expect(connection.client()).rejects.toMatchObject({ code: 'protocol_mismatch' });
    expect(connection.state().kind).toBe('refused');
    expect(attempts).toHaveLength(1);
  });

  test('who waits without asking gets the next client', async () => {
    const { connection } = world(['ok']);
    const waiting = connection.whenConnected();
    const client = await connection.client();
    expect(await waiting).toBe(client);
  });

  test('reconnecting closes the old client', async () => {
    const { connection, clients } = world(['ok']);
    await connection.client();
    await connection.reconnect();
    expect(clients.map(({ closed }) => closed)).toEqual([true, false]);
  });

  test('a disposed connection does not come back', async () => {
    const { connection, clients, attempts } = world(['ok']);
    await connection.client();
    connection.dispose();
    clients[0]?.drop();
    expect(attempts).toHaveLength(1);
    expect(connection.state().kind).toBe('idle');
  });
});
