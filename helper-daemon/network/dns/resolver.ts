/** The name server of machines: it resolves what their policy names, and tells the network what it found. */
import type { Card, Denial } from '../network.ts';

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
  readonly now?: () => number;
}

export declare function createResolver(host: ResolverHost, options: ResolverOptions): Resolver;
