/** The SSH server: one connection on one stream, ended in this process; whatever it asks for begins in the machine. */
import { timingSafeEqual } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { AuthContext, Connection, ParsedKey } from 'ssh2';
import Server from 'ssh2/lib/server.js';
import type { CoppiceClient } from '../../client/client.ts';
import type { SshIdentity } from './identity.ts';
import { serveSession } from './session.ts';
import { hearUnread, peerName } from './ssh2Details.ts';
import type { SshTarget } from './target.ts';
import { serveTunnel } from './tunnel.ts';

export interface SshService extends SshIdentity {
  readonly client: CoppiceClient;
  readonly workspaceId: string;
}

/** What the agent takes as an account. */
const accountName = /^[A-Za-z0-9._-]{1,64}$/;

/** ssh2 would end a connection whose client is silent for a minute, such as one that was stopped with Ctrl-Z. */
const never = 2_147_483_647;

/** Serves the connection on `pipe`; resolves when it has ended. */
export async function serveSsh(pipe: Duplex, service: SshService): Promise<void> {
  const ended = new AbortController();
  const closed = new Promise<void>((resolve) => {
    // Whichever side has said its last word: without both there is no connection.
    for (const event of ['end', 'finish', 'close']) pipe.once(event, resolve);
  });
  const server = new Server(
    {
      hostKeys: [{ key: service.hostKey }],
      ident: peerName,
      keepaliveInterval: never,
      // Nothing listens in between: what is cheapest and in every OpenSSH.
      algorithms: {
        kex: ['curve25519-sha256', 'curve25519-sha256@libssh.org'],
        cipher: ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com'],
        serverHostKey: ['ssh-ed25519'],
        compress: ['none'],
      },
    },
    (connection) => serveConnection(connection, service, ended.signal),
  );
  server.injectSocket(pipe);
  await closed;
  ended.abort();
}

function serveConnection(connection: Connection, service: SshService, ended: AbortSignal): void {
  const target: SshTarget = { client: service.client, workspaceId: service.workspaceId, ended };
  let user = '';
  hearUnread(connection);
  connection.on('authentication', (context) => {
    if (!accountName.test(context.username) || !isAllowed(context, service.accepted)) {
      context.reject(['publickey']);
      return;
    }
    user = context.username;
    context.accept();
  });
  connection.on('session', (accept) => serveSession(accept(), user, target));
  connection.on('tcpip', (accept, reject, info) => {
    void serveTunnel(target, info, accept, reject);
  });
  // The stream ends with it, and that is what is waited for.
  connection.on('error', () => undefined);
}

/** Without a signature it is the question whether the key would do. */
function isAllowed(context: AuthContext, accepted: readonly ParsedKey[]): boolean {
  if (context.method !== 'publickey') return false;
  const key = accepted.find((candidate) => isSame(candidate.getPublicSSH(), context.key.data));
  if (key === undefined || context.key.algo !== key.type) return false;
  if (context.signature === undefined) return true;
  if (context.blob === undefined) return false;
  // What is not `true` may also be an Error.
  const verified: unknown = key.verify(context.blob, context.signature, context.hashAlgo);
  return verified === true;
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
