/** From our standard input to a command's. */
import type { ByteStream } from '../../client/byteStream.ts';

/** Sends stdin to its end; a command that reads slowly slows the reading down. */
export async function forwardStdin(stream: ByteStream): Promise<void> {
  try {
    for await (const chunk of process.stdin) await stream.write(chunk as Uint8Array);
  } catch {
    // A stdin that cannot be read (closed, or a terminal we may not read from) is an empty one.
  }
  stream.end();
}
