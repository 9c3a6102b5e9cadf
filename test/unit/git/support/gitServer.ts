/** A git server on this host's loopback, for cloning and pushing over a network. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

export interface GitServer {
  /** Of a repository below the directory that is served. */
  url(name: string): string;
  close(): Promise<void>;
}

export async function gitServer(directory: string): Promise<GitServer> {
  const port = await freePort();
  const child = spawn(
    'git',
    [
      'daemon',
      '--reuseaddr',
      '--listen=127.0.0.1',
      `--port=${String(port)}`,
      '--export-all',
      '--enable=receive-pack',
      `--base-path=${directory}`,
      directory,
    ],
    // Its own group: the program that listens is a child of this one.
    { stdio: 'ignore', detached: true },
  );
  for (let tries = 0; !(await answers(port)); tries += 1) {
    if (tries > 200) throw new Error('git daemon does not listen');
    await delay(50);
  }
  return {
    url: (name) => `git://127.0.0.1:${String(port)}/${name}`,
    async close() {
      const gone = once(child, 'exit');
      process.kill(-(child.pid ?? 0), 'SIGTERM');
      await gone;
    },
  };
}

export async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function answers(port: number): Promise<boolean> {
  const socket = net.connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
