/** One TCP connection that the agent makes inside a machine, joined to whatever is on this side. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { TunnelRequestSchema } from './gen/coppice/guest/v1/guest_pb.js';
import type { GuestClients } from './guestLink.ts';

export interface TunnelTarget {
  /** As seen from the machine; its own loopback when absent. */
  readonly host?: string | undefined;
  readonly port: number;
}

/** This side of the tunnel. */
export interface TunnelEnd {
  /** What goes into the machine; its end closes that direction. When it throws the tunnel breaks. */
  readonly input: AsyncIterable<Uint8Array>;
  connected?(): void;
  /** What comes out of it; resolves when more is wanted. */
  data(chunk: Uint8Array): Promise<void>;
  /** No more will come out. */
  ended(): void;
}

/**
 * Resolves when both directions are closed.
 * @throws CoppiceError what the guest says of the target, `guest_unreachable`, `cancelled`
 */
export async function runTunnel(
  network: GuestClients['network'],
  target: TunnelTarget,
  end: TunnelEnd,
  signal: AbortSignal,
): Promise<void> {
  const stop = new AbortController();
  let inputProblem: { readonly error: unknown } | undefined;
  async function* requests(): AsyncGenerator<MessageInitShape<typeof TunnelRequestSchema>> {
    yield { part: { case: 'target', value: { host: target.host ?? '', port: target.port } } };
    try {
      for await (const chunk of end.input) yield { part: { case: 'data', value: chunk } };
    } catch (error) {
      inputProblem = { error };
      stop.abort();
    }
    yield { part: { case: 'end', value: {} } };
  }
  try {
    const options = { signal: AbortSignal.any([signal, stop.signal]) };
    for await (const { part } of network.tunnel(requests(), options)) {
      if (part.case === 'connected') end.connected?.();
      else if (part.case === 'data') await end.data(part.value);
      else if (part.case === 'end') end.ended();
    }
  } catch (error) {
    throw inputProblem === undefined ? error : inputProblem.error;
  }
}
