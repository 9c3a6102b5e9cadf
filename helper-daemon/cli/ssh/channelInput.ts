/** From an SSH channel to the machine. */
import type { ServerChannel } from 'ssh2';
import type { ByteStream } from '../../client/byteStream.ts';

/** Sends what the client sends to its end; a machine that reads slowly slows the client down. */
export async function channelInput(channel: ServerChannel, stream: ByteStream): Promise<void> {
  try {
    for await (const chunk of channel.iterator({ destroyOnReturn: false })) {
      await stream.write(chunk as Uint8Array);
    }
  } catch {
    // The connection broke: there is no more input.
  }
  stream.end();
}
