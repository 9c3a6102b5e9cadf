/** A tunnel stream: data frames both ways, an end frame for each direction that is closed. */
import { CoppiceError } from '../../../protocol/errors.ts';
import { frameType } from '../../../protocol/stream.ts';
import { toCoppiceError } from '../../guest/errors.ts';
import type { GuestClients } from '../../guest/guestLink.ts';
import { runTunnel, type TunnelTarget } from '../../guest/tunnel.ts';
import type { StreamHandler } from '../tickets.ts';
import { frameSocket, type FrameSocket } from './frameSocket.ts';

export function serveTunnel(network: GuestClients['network'], target: TunnelTarget): StreamHandler {
  return (socket) => {
    const frames = frameSocket(socket);
    const end = {
      input: inputOf(frames),
      connected: () => void frames.sendJson(frameType.started, {}),
      data: (chunk: Uint8Array) => frames.send(frameType.data, chunk),
      ended: () => void frames.send(frameType.end, new Uint8Array(0)),
    };
    runTunnel(network, target, end, frames.gone).then(
      () => frames.finish({}),
      (error: unknown) => frames.fail(toCoppiceError(error)),
    );
  };
}

async function* inputOf(frames: FrameSocket): AsyncGenerator<Uint8Array> {
  for await (const { type, payload } of frames.frames()) {
    if (type === frameType.end) return;
    if (type !== frameType.data) {
      throw new CoppiceError({
        code: 'invalid_input',
        message: `A frame of type ${String(type)} has no meaning in a tunnel.`,
      });
    }
    yield payload;
  }
}
