/**
 * What a machine may find outside: a program that is started in a network namespace of its own and ends with its
 * stdin. It sets up the card that it is given there, and says "listening".
 */
import { createHash } from 'node:crypto';
import dgram from 'node:dgram';
import net from 'node:net';
import { execFileSync } from 'node:child_process';
import { createInterface } from 'node:readline';

export const internet = {
  address: '203.0.113.1',
  host: '203.0.113.2',
  farAddress: '198.51.100.7',
  echoPort: 7000,
  sourcePort: 7001,
  datagramPort: 7002,
} as const;

/** What the source sends, and the digest of it. */
export const sourceBytes = 24 * 1024 * 1024;

export function sourceBlock(): Buffer {
  return Buffer.from(
    Array.from({ length: 65_536 }, (_, index) => (index * 31 + (index >> 8)) & 255),
  );
}

export function sourceDigest(): string {
  const hash = createHash('sha256');
  const block = sourceBlock();
  for (let sent = 0; sent < sourceBytes; sent += block.length) hash.update(block);
  return hash.digest('hex');
}

function ip(...args: string[]): void {
  execFileSync('ip', args);
}

function say(word: string): void {
  process.stdout.write(`${word}\n`);
}

function serve(): void {
  net
    .createServer((socket) => {
      say('connected');
      socket.on('error', () => undefined).on('close', () => say('disconnected'));
      socket.pipe(socket);
    })
    .listen(internet.echoPort);
  net
    .createServer((socket) => {
      socket.on('error', () => undefined);
      const block = sourceBlock();
      let left = sourceBytes;
      const more = (): void => {
        while (left > 0) {
          left -= block.length;
          if (!socket.write(block)) return;
        }
        socket.end();
      };
      socket.on('drain', more);
      more();
    })
    .listen(internet.sourcePort, () => say('listening'));
  const datagrams = dgram.createSocket('udp4');
  datagrams.on('message', (message, from) => datagrams.send(message, from.port, from.address));
  datagrams.bind(internet.datagramPort);
}

if (import.meta.main) {
  const lines = createInterface({ input: process.stdin });
  lines.once('line', (card) => {
    ip('link', 'set', 'lo', 'up');
    ip('addr', 'add', `${internet.address}/24`, 'dev', card);
    ip('addr', 'add', `${internet.farAddress}/32`, 'dev', 'lo');
    ip('link', 'set', card, 'up');
    serve();
  });
  lines.once('close', () => {
    process.exitCode = 0;
    process.kill(process.pid, 'SIGTERM');
  });
  say('ready');
}
