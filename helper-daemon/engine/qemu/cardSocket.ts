/**
 * The socket behind a network card. QEMU (seen with 7.2) opens it in a thread, and until that is done it takes the
 * card for connected: a packet of the guest then ends the whole process. A booting guest sends none so early; one
 * that continues from memory does. Having been connected once, it knows when it is not.
 */
import { once } from 'node:events';
import net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { CoppiceError } from '../../../protocol/errors.ts';
import type { Qmp } from './qmp.ts';
import { runFiles } from './runFiles.ts';

const patienceMs = 10_000;

/**
 * Connects and goes away again, before the guest runs.
 * @throws CoppiceError `internal`
 */
export async function primeCardSocket(runDir: string, qmp: Qmp): Promise<void> {
  const deadline = performance.now() + patienceMs;
  const isConnected = async (): Promise<boolean> =>
    String(await qmp.execute('human-monitor-command', { 'command-line': 'info network' })).includes(
      'type=stream,unix:',
    );
  const until = async (reached: () => Promise<boolean>): Promise<void> => {
    while (!(await reached())) {
      if (performance.now() > deadline) throw neverReady();
      await delay(1);
    }
  };
  let socket: net.Socket | undefined;
  await until(async () => (socket = await tryConnect(runFiles(runDir).network)) !== undefined);
  try {
    await until(isConnected);
  } finally {
    socket?.destroy();
  }
  await until(async () => !(await isConnected()));
}

/** Undefined while it is not there yet. */
async function tryConnect(file: string): Promise<net.Socket | undefined> {
  const socket = net.connect(file);
  socket.on('error', () => undefined);
  try {
    await once(socket, 'connect');
    return socket;
  } catch {
    return undefined;
  }
}

function neverReady(): CoppiceError {
  return new CoppiceError({
    code: 'internal',
    message: "The socket of the machine's network card was not ready in time.",
    next: 'Try again; if it stays so, look at the load of this host.',
  });
}
