/**
 * AF_VSOCK for Node, which has no such sockets: a Unix socket pair is wrapped in net.Socket, and before
 * the event loop has looked at its descriptor the vsock connection is put in its place.
 */
import net from 'node:net';
import koffi from 'koffi';
import { ChannelError } from './channelError.ts';

const AF_UNIX = 1;
const AF_VSOCK = 40;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const POLLOUT = 4;
const EINTR = 4;
const EINPROGRESS = 115;

const libc = koffi.load('libc.so.6');
const socket = libc.func('int socket(int domain, int type, int protocol)');
const socketpair = libc.func('int socketpair(int domain, int type, int protocol, _Out_ int *fds)');
const connect = libc.func('int connect(int fd, const uint8_t *address, uint32_t length)');
const poll = libc.func('int poll(_Inout_ uint8_t *fds, unsigned long count, int timeout)');
const getsockopt = libc.func(
  'int getsockopt(int fd, int level, int name, _Out_ uint8_t *value, _Inout_ uint32_t *length)',
);
const dup3 = libc.func('int dup3(int from, int to, int flags)');
const close = libc.func('int close(int fd)');

/** @throws ChannelError when nobody listens there, or the signal fires first */
export async function connectVsock(
  cid: number,
  port: number,
  signal: AbortSignal,
): Promise<net.Socket> {
  const fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) as number;
  if (fd < 0) throw new ChannelError(`this host has no vsock (${errorName(koffi.errno())})`);
  try {
    const started = connect(fd, socketAddress(cid, port), 16) as number;
    const problem = started === 0 ? 0 : koffi.errno();
    if (problem !== 0 && problem !== EINPROGRESS && problem !== EINTR) throw refused(cid, problem);
    await untilConnected(fd, cid, signal);
    return wrap(fd);
  } finally {
    close(fd);
  }
}

/** struct sockaddr_vm */
function socketAddress(cid: number, port: number): Buffer {
  const address = Buffer.alloc(16);
  address.writeUInt16LE(AF_VSOCK, 0);
  address.writeUInt32LE(port, 4);
  address.writeUInt32LE(cid, 8);
  return address;
}

/**
 * The kernel gives a connect two seconds. Looking every few milliseconds costs nothing; waiting in a
 * thread would take one of the four that file access needs.
 */
async function untilConnected(fd: number, cid: number, signal: AbortSignal): Promise<void> {
  const request = Buffer.alloc(8);
  for (let pause = 1; ; pause = Math.min(pause * 2, 10)) {
    request.writeInt32LE(fd, 0);
    request.writeInt16LE(POLLOUT, 4);
    request.writeInt16LE(0, 6);
    if ((poll(request, 1, 0) as number) > 0) break;
    if (signal.aborted) throw new ChannelError('the attempt was given up');
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
  const value = Buffer.alloc(4);
  getsockopt(fd, SOL_SOCKET, SO_ERROR, value, [4]);
  const problem = value.readInt32LE(0);
  if (problem !== 0) throw refused(cid, problem);
}

/** Everything here happens in one tick: the event loop first polls the descriptor afterwards. */
function wrap(vsock: number): net.Socket {
  const pair = [0, 0];
  if ((socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) as number) !== 0) {
    throw new ChannelError(`no descriptor is left (${errorName(koffi.errno())})`);
  }
  const [ours = -1, other = -1] = pair;
  const wrapped = new net.Socket({ fd: ours });
  const replaced = dup3(vsock, ours, SOCK_CLOEXEC) as number;
  close(other);
  if (replaced >= 0) return wrapped;
  wrapped.destroy();
  throw new ChannelError(`no descriptor is left (${errorName(koffi.errno())})`);
}

function refused(cid: number, errno: number): ChannelError {
  return new ChannelError(`vsock ${String(cid)} does not answer (${errorName(errno)})`);
}

function errorName(errno: number): string {
  const name = Object.entries(koffi.os.errno).find(([, value]) => value === errno)?.[0];
  return name ?? `error ${String(errno)}`;
}
