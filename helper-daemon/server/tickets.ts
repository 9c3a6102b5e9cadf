/** One-time tickets that join a byte stream's second connection to the call that asked for it. */
import { randomBytes } from 'node:crypto';
import type net from 'node:net';

/** Takes the connection over; it owns the socket from then on. */
export type StreamHandler = (socket: net.Socket) => void;

export interface Tickets {
  /** @param expired called when nobody redeemed it in time or the owner went away */
  issue(handler: StreamHandler, expired: () => void): string;
  redeem(ticket: string): StreamHandler | undefined;
  revokeAll(): void;
}

const lifetimeMs = 30_000;

export function tickets(): Tickets {
  const open = new Map<
    string,
    { handler: StreamHandler; expired: () => void; timer: NodeJS.Timeout }
  >();
  return {
    issue(handler, expired) {
      const ticket = randomBytes(32).toString('base64url');
      const timer = setTimeout(() => {
        open.delete(ticket);
        expired();
      }, lifetimeMs);
      timer.unref();
      open.set(ticket, { handler, expired, timer });
      return ticket;
    },
    redeem(ticket) {
      const entry = open.get(ticket);
      if (entry === undefined) return undefined;
      clearTimeout(entry.timer);
      open.delete(ticket);
      return entry.handler;
    },
    revokeAll() {
      for (const { expired, timer } of open.values()) {
        clearTimeout(timer);
        expired();
      }
      open.clear();
    },
  };
}
