/** Namespaces between which packets are forwarded: a machine's, the host's, and the world's. */
import { macOf } from '../../helper-daemon/network/addressPlan.ts';
import type { Card, RunKey } from '../../helper-daemon/network/network.ts';
import { makeNamespace, plugGuest, plugWorld, type Namespace } from '../vm/network/namespaces.ts';
import { own } from './cleanup.ts';

export interface NetworkBed {
  readonly host: Namespace;
  /**
   * Milliseconds for 1,000 packets from the machine to the world, which drops them: the kernel takes them all the way
   * before the call that sends returns. Of one connection, or each the first of its own.
   */
  sendThousand(kind: 'same connection' | 'new connections'): Promise<number>;
  close(): Promise<void>;
}

/** The same one each time, with what an ordinary allow-list holds. */
export function benchMachine(index: number): { readonly run: RunKey; readonly card: Card } {
  const number = index + 2;
  const address = `10.42.${String(number >> 8)}.${String(number & 255)}`;
  const workspaceId = `bench-${String(index)}`;
  const id = String(index).padStart(8, '0');
  return {
    run: { workspaceId, runId: `${id}-0000-0000-0000-000000000000`, runDir: '/nowhere' },
    card: {
      workspaceId,
      name: workspaceId,
      address,
      mac: macOf(address),
      policy: {
        internet: 'list',
        allow: ['203.0.113.10', '192.0.2.0/24:443', '198.51.100.0/24:8000-8099', '*:22'],
        allowInterVm: false,
        allowedPorts: [8080],
        bandwidthMbit: 0,
        team: null,
      },
      revision: index + 1,
      forwards: [{ bind: '127.0.0.1', hostPort: 20_000 + index, guestPort: 80, direct: true }],
    },
  };
}

/** Prints the seconds for 1,000 packets; few of the new connections, for the host remembers each for half a minute. */
const sender = `
import socket, sys, time
to = ('203.0.113.10', 9)
new = sys.argv[1] == 'new connections'
sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(500 if new else 1)]
for one in sockets[:1]:
    one.sendto(b'first', to)
begun = time.perf_counter()
rounds = 10 if new else 20000
for count in range(rounds):
    for one in sockets:
        one.sendto(b'x' * 100, ('203.0.113.10', 1000 + count) if new else to)
print((time.perf_counter() - begun) * 1000 / (rounds * len(sockets)))
`;

/** What the world does with what it gets. */
const sink = `
table inet sink {
  chain input {
    type filter hook prerouting priority -300;
    meta l4proto udp drop
  }
}`;

/** `prepare` makes the bridge in the host's namespace. */
export async function networkBed(prepare: (host: Namespace) => Promise<void>): Promise<NetworkBed> {
  const spaces: Namespace[] = [];
  const close = own(async () => {
    for (const space of spaces.reverse()) await space.remove();
  });
  try {
    const host = await makeNamespace();
    spaces.push(host);
    await prepare(host);
    const world = await plugWorld(host);
    spaces.push(world);
    // Without rules nobody translates addresses.
    await world.nft(sink);
    await world.ip('route add 10.42.0.0/16 via 198.51.100.1');
    const guest = await plugGuest(host, benchMachine(0));
    spaces.push(guest);
    return {
      host,
      close,
      async sendThousand(kind) {
        return Number(await guest.exec('python3', '-c', sender, kind)) * 1000;
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}
