/** One daemon for each bridge: the kernel releases the name with the process. */
import net from 'node:net';

export interface NetworkLock {
  release(): Promise<void>;
}

/** Undefined: another process has it. Names are those of this network namespace. */
export async function lockNetwork(bridge: string): Promise<NetworkLock | undefined> {
  const server = net.createServer((socket) => socket.destroy());
  const isHeld = await new Promise<boolean>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false);
      else reject(error);
    });
    server.listen(`\0coppice-network-${bridge}`, () => resolve(true));
  });
  if (!isHeld) return undefined;
  server.unref();
  return {
    release: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
      }),
  };
}
