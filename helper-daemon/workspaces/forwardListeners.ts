/**
 * The sockets behind port forwards. Each is open as long as the forward exists, whether the machine runs or not:
 * so nobody else takes the port, and a suspended machine wakes when somebody connects. What arrives is carried to
 * the machine by its agent; on a bridge the kernel carries most of it past here.
 */
import net from 'node:net';
import type { PortForwardRecord } from '../store/portForwardStore.ts';
import { drained } from '../system/drained.ts';
import type { TunnelEnd, TunnelTarget } from '../guest/tunnel.ts';

export interface ForwardListeners {
  /** Undefined when it listens; else why not, and it is tried again with the next `open`. */
  open(forward: PortForwardRecord): Promise<ListenProblem | undefined>;
  close(forward: Pick<PortForwardRecord, 'bind' | 'hostPort'>): void;
  isOpen(forward: Pick<PortForwardRecord, 'bind' | 'hostPort'>): boolean;
  problem(forward: Pick<PortForwardRecord, 'bind' | 'hostPort'>): string | undefined;
  closeAll(): void;
}

export interface ListenProblem {
  /** EADDRINUSE, EADDRNOTAVAIL, … */
  readonly code: string;
}

/** Joins one connection to the machine; when it throws the connection is reset. */
export type Carry = (
  workspaceId: string,
  target: TunnelTarget,
  end: TunnelEnd,
  signal: AbortSignal,
) => Promise<void>;

/** Of one forward at a time; more wait in the kernel's queue. */
const connectionLimit = 512;

interface Listener {
  readonly server: net.Server;
  readonly sockets: Set<net.Socket>;
}

export function forwardListeners(
  carry: Carry,
  failed: (forward: PortForwardRecord, error: unknown) => void,
): ForwardListeners {
  const open = new Map<string, Listener>();
  const problems = new Map<string, string>();

  function serve(forward: PortForwardRecord, socket: net.Socket, listener: Listener): void {
    listener.sockets.add(socket);
    const gone = new AbortController();
    socket.once('close', () => {
      listener.sockets.delete(socket);
      gone.abort();
    });
    socket.on('error', () => undefined);
    socket.setNoDelay(true);
    const end: TunnelEnd = {
      input: socket.iterator({ destroyOnReturn: false }),
      async data(chunk) {
        if (!socket.write(chunk)) await drained(socket);
      },
      ended: () => socket.end(),
    };
    carry(forward.workspaceId, { port: forward.guestPort }, end, gone.signal).then(
      () => socket.end(),
      (error: unknown) => {
        if (!gone.signal.aborted) failed(forward, error);
        socket.resetAndDestroy();
      },
    );
  }

  return {
    async open(forward) {
      const key = keyOf(forward);
      if (open.has(key)) return undefined;
      const server = net.createServer({ allowHalfOpen: true });
      const listener: Listener = { server, sockets: new Set() };
      server.maxConnections = connectionLimit;
      server.on('connection', (socket) => serve(forward, socket, listener));
      const problem = await listen(server, forward);
      if (problem === undefined) {
        open.set(key, listener);
        problems.delete(key);
      } else {
        problems.set(key, problem.code);
      }
      return problem;
    },
    close(forward) {
      const key = keyOf(forward);
      const listener = open.get(key);
      listener?.server.close();
      for (const socket of listener?.sockets ?? []) socket.destroy();
      open.delete(key);
      problems.delete(key);
    },
    isOpen: (forward) => open.has(keyOf(forward)),
    problem(forward) {
      const code = problems.get(keyOf(forward));
      if (code === undefined) return undefined;
      return code === 'EADDRINUSE'
        ? 'another program uses the port'
        : `the port cannot be opened (${code})`;
    },
    closeAll() {
      for (const { server, sockets } of open.values()) {
        server.close();
        for (const socket of sockets) socket.destroy();
      }
      open.clear();
    },
  };
}

function keyOf({ bind, hostPort }: Pick<PortForwardRecord, 'bind' | 'hostPort'>): string {
  return `${bind}:${String(hostPort)}`;
}

function listen(
  server: net.Server,
  { bind, hostPort }: PortForwardRecord,
): Promise<ListenProblem | undefined> {
  return new Promise((resolve) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      resolve({ code: error.code ?? 'unknown' }),
    );
    server.listen({ host: bind, port: hostPort, exclusive: true }, () => {
      server.removeAllListeners('error');
      server.on('error', () => undefined);
      resolve(undefined);
    });
  });
}
