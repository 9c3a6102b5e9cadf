import { randomBytes } from 'node:crypto';
import { rename } from 'node:fs/promises';
import { create } from '@bufbuild/protobuf';
import { afterEach, describe, expect, it } from 'vitest';
import type { MachineEnd, MachineEvent } from '../../../helper-daemon/engine/machine.ts';
import { openGuestLink, type GuestLink } from '../../../helper-daemon/guest/guestLink.ts';
import { PingResponseSchema } from '../../../helper-daemon/guest/gen/coppice/guest/v1/guest_pb.js';
import {
  startFakeGuest,
  type FakeCall,
  type FakeGuest,
  type FakeGuestOptions,
} from './fakeGuest.ts';

const key = randomBytes(32);
const ping = (call: FakeCall): void => {
  call.send(PingResponseSchema, create(PingResponseSchema, { uptimeNs: 7n }));
  call.end();
};

describe('the link to a guest', () => {
  const opened: { close(): unknown }[] = [];
  let end: (end: MachineEnd) => void = () => undefined;
  let listeners = new Set<(event: MachineEvent) => void>();

  afterEach(async () => {
    for (const one of opened.splice(0).reverse()) await one.close();
    listeners = new Set();
  });

  async function guest(options: Omit<FakeGuestOptions, 'key'> = {}): Promise<FakeGuest> {
    const made = await startFakeGuest({ key, calls: { 'SystemService/Ping': ping }, ...options });
    opened.push(made);
    return made;
  }

  function linkTo(
    path: string,
    options: { reconnectMs?: number; settleMs?: number } = {},
  ): GuestLink {
    const link = openGuestLink({
      machine: {
        transport: { kind: 'unix', path },
        ended: new Promise((resolve) => (end = resolve)),
        console: () => Promise.resolve('[ 0.1] last words\n'),
        watch(listener) {
          listeners.add(listener);
          return () => listeners.delete(listener);
        },
      },
      channelKey: key.toString('hex'),
      generation: 1,
      ...options,
    });
    opened.push(link);
    return link;
  }

  const soon = (): AbortSignal => AbortSignal.timeout(5_000);

  it('waits for an agent that is not there yet', async () => {
    const there = await guest();
    const hidden = `${there.path}.later`;
    await rename(there.path, hidden);
    const link = linkTo(there.path);
    setTimeout(() => void rename(hidden, there.path), 150);
    const answer = await link.connect(soon());
    expect(answer.bootId).toBe('01234567-89ab-cdef-0123-456789abcdef');
    expect((await (await link.clients()).system.ping({})).uptimeNs).toBe(7n);
  });

  it('uses one connection for everybody who asks at once', async () => {
    const there = await guest();
    const link = linkTo(there.path);
    const clients = await Promise.all([link.clients(), link.clients(), link.clients()]);
    expect(new Set(clients).size).toBe(1);
    expect(there.connections()).toBe(1);
  });

  it('makes a new connection when the one it has breaks', async () => {
    const there = await guest();
    const link = linkTo(there.path);
    const first = await link.clients();
    there.drop();
    await expect.poll(async () => (await link.clients()) !== first).toBe(true);
    expect((await (await link.clients()).system.ping({})).uptimeNs).toBe(7n);
    expect(there.connections()).toBe(2);
  });

  it('lets go of the connection when the guest closes its port', async () => {
    const there = await guest();
    const link = linkTo(there.path);
    const first = await link.clients();
    for (const listener of listeners) listener({ type: 'channel', open: false });
    await expect(first.system.ping({})).rejects.toMatchObject({ code: 'guest_unreachable' });
    expect((await (await link.clients()).system.ping({})).uptimeNs).toBe(7n);
  });

  it('fails at once, with the console, after an attempt has failed', async () => {
    const link = linkTo('/nonexistent/agent.sock');
    const failure = {
      code: 'guest_unreachable',
      message: expect.stringContaining('last words') as string,
    };
    await expect(link.clients()).rejects.toMatchObject(failure);
    const before = performance.now();
    await expect(link.clients()).rejects.toMatchObject(failure);
    expect(performance.now() - before).toBeLessThan(50);
  });

  it('does not wait longer than it may for an agent that never answers', async () => {
    const silent = await guest({ raw: () => undefined });
    await expect(linkTo(silent.path, { reconnectMs: 100 }).clients()).rejects.toThrow(
      /does not answer/,
    );
    await expect(linkTo(silent.path).connect(AbortSignal.timeout(100))).rejects.toThrow(
      /does not answer/,
    );
  });

  it('says why when the machine has ended', async () => {
    const there = await guest();
    const link = linkTo(there.path);
    const clients = await link.clients();
    end({ reason: 'shutdown', detail: 'The machine shut down', consoleTail: '', stderrTail: '' });
    await expect
      .poll(() =>
        link.clients().then(
          () => 'up',
          (error: unknown) => String(error),
        ),
      )
      .toContain('the machine has ended (The machine shut down)');
    await expect(clients.system.ping({})).rejects.toThrow(/the machine has ended/);
  });

  it.each([
    [
      'noise instead of an answer',
      { raw: (s) => void s.write(randomBytes(100_000)) },
      /does not answer/,
    ],
    [
      'noise instead of HTTP/2',
      { afterHello: (s) => void s.write(randomBytes(10_000)) },
      /connection/,
    ],
    ['nothing after its answer', { afterHello: () => undefined }, /does not speak HTTP\/2/],
    ['a closed channel after its answer', { afterHello: (s) => void s.destroy() }, /closed/],
  ] satisfies [string, Omit<FakeGuestOptions, 'key'>, RegExp][])(
    'survives a guest that sends %s, and so do the others',
    async (_what, options, expected) => {
      const good = linkTo((await guest()).path);
      await good.clients();
      const bad = linkTo((await guest(options)).path, { reconnectMs: 1_000, settleMs: 200 });
      await expect(bad.clients()).rejects.toMatchObject({
        code: 'guest_unreachable',
        message: expect.stringMatching(expected) as string,
      });
      expect((await (await good.clients()).system.ping({})).uptimeNs).toBe(7n);
    },
  );

  it('ends a conversation that is flooded with control frames', async () => {
    const flood = await guest({
      onSession: (session) => {
        for (let count = 0; count < 3_000; count += 1) {
          setTimeout(
            () => session.destroyed || session.settings({ enablePush: false }),
            count / 100,
          );
        }
      },
    });
    const link = linkTo(flood.path);
    const first = await link.clients();
    await expect
      .poll(() =>
        first.system.ping({}).then(
          () => 'up',
          (error: unknown) => String(error),
        ),
      )
      .toMatch(/floods the connection|connection/);
  });

  it('refuses calls after it was closed', async () => {
    const link = linkTo((await guest()).path);
    await link.clients();
    link.close();
    await expect(link.clients()).rejects.toMatchObject({ code: 'guest_unreachable' });
    expect(listeners.size).toBe(0);
  });
});
