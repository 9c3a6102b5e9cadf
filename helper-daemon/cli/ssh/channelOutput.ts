/** Writing to an SSH channel at the pace of its reader. */
import type { Writable } from 'node:stream';
import type { ServerChannel } from 'ssh2';
import { forgetSent } from './ssh2Details.ts';

export interface ChannelOutput {
  stdout(data: Uint8Array): Promise<void>;
  stderr(data: Uint8Array): Promise<void>;
}

/** One write at a time; each resolves when its last byte has found room in the client's window, or never will. */
export function channelOutput(channel: ServerChannel, gone: AbortSignal): ChannelOutput {
  let settle: (() => void) | undefined;
  gone.addEventListener('abort', () => settle?.(), { once: true });

  async function send(stream: Writable, data: Uint8Array): Promise<void> {
    if (gone.aborted || !stream.writable) return;
    await new Promise<void>((resolve) => {
      settle = resolve;
      stream.write(data, () => resolve());
    });
    settle = undefined;
    forgetSent(channel);
  }

  return {
    stdout: (data) => send(channel, data),
    stderr: (data) => send(channel.stderr, data),
  };
}
