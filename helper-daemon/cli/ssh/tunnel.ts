/** A TCP connection that ssh asks for (-L, -D, -J, -W): it begins in the machine. */
import type { ServerChannel, TcpipRequestInfo } from 'ssh2';
import { frameType } from '../../../protocol/stream.ts';
import type { ByteStream } from '../../client/byteStream.ts';
import { channelOutput } from './channelOutput.ts';
import { channelInput } from './channelInput.ts';
import type { SshTarget } from './target.ts';

/** @param accept answers the request; it is refused by `reject` */
export async function serveTunnel(
  { client, workspaceId, ended }: SshTarget,
  { destIP, destPort }: TcpipRequestInfo,
  accept: () => ServerChannel,
  reject: () => void,
): Promise<void> {
  let stream: ByteStream;
  let frames: ReturnType<ByteStream['frames']>;
  try {
    const { ticket } = await client.call('tunnel_open', {
      workspace_id: workspaceId,
      port: destPort,
      ...(destIP === '' ? {} : { host: destIP }),
    });
    stream = await client.openStream(ticket);
    frames = stream.frames();
    // The connection stands, or this throws what the machine says of it.
    await frames.next();
  } catch {
    reject();
    return;
  }
  const channel = accept();
  const closed = new AbortController();
  // ssh2 tells the end of a channel only when all its data has been read; it ends stderr at once.
  channel.stderr.once('finish', () => closed.abort());
  const gone = AbortSignal.any([ended, closed.signal]);
  gone.addEventListener('abort', () => stream.destroy(), { once: true });
  if (gone.aborted) stream.destroy();
  void channelInput(channel, stream);
  const output = channelOutput(channel, gone);
  try {
    for await (const { type, payload } of frames) {
      if (type === frameType.data) await output.stdout(payload);
      else if (type === frameType.end) channel.eof();
    }
  } catch {
    // Broken: SSH has no words for it after the channel was opened.
  }
  channel.end();
}
