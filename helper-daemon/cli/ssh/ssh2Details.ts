/** What ssh2 1.17 leaves open, closed by way of its inner parts. Tests with the real ssh watch over it. */
import type { Connection, ServerChannel, Session } from 'ssh2';

/** OpenSSH says that nobody reads a session's output any more, as after `| head`; only to those of its name. */
export const peerName = 'OpenSSH_Coppice';

const unread = 'eow@openssh.com';

interface Inner {
  readonly _protocol: {
    readonly _handlers: {
      CHANNEL_REQUEST(protocol: unknown, channel: number, type: string, ...rest: unknown[]): void;
    };
  };
  readonly _chanMgr: { get(channel: number): unknown };
}

/** Makes sessions of this connection emit `eow@openssh.com`, which ssh2 does not know. */
export function hearUnread(connection: Connection): void {
  const { _protocol, _chanMgr } = connection as unknown as Inner;
  const handlers = _protocol._handlers;
  const answer = handlers.CHANNEL_REQUEST;
  handlers.CHANNEL_REQUEST = (protocol, channel, type, ...rest) => {
    if (type === unread) (_chanMgr.get(channel) as Session | undefined)?.emit(unread);
    answer(protocol, channel, type, ...rest);
  };
}

/** Called when the reader of the session's output has gone. */
export function onUnread(session: Session, listener: () => void): void {
  session.once(unread, listener);
}

/**
 * ssh2 does not forget a chunk that had to wait for the window: when the other of stdout and stderr has to wait next,
 * it would send that old chunk again. To be called whenever a write is done, with no other under way.
 */
export function forgetSent(channel: ServerChannel): void {
  Object.assign(channel, {
    _chunk: undefined,
    _chunkcb: undefined,
    _chunkErr: undefined,
    _chunkcbErr: undefined,
  });
}
