/**
 * Runs inside a network namespace that a test has made, and does there what it is told, a line of JSON at a time: the
 * bridge network of a daemon, frames on its TAP devices, and plain sockets.
 */
import dgram from 'node:dgram';
import fs from 'node:fs';
import net from 'node:net';
import { createInterface } from 'node:readline';
import { pino } from 'pino';
import { addressPlan } from '../../../helper-daemon/network/addressPlan.ts';
import { openBridgeNetwork } from '../../../helper-daemon/network/bridge/bridgeNetwork.ts';
import type { Attachment, Card, Network, RunKey } from '../../../helper-daemon/network/network.ts';

/** The header that TAP devices with virtio headers put before every frame. */
const vnetHeader = 10;

export interface DriverCalls {
  open(subnet: string, upstreams: readonly string[]): Promise<string | null>;
  close(): Promise<void>;
  attach(run: RunKey, card: Card | null): Promise<void>;
  /** Ends the device, as the end of the monitor does. */
  unplug(run: RunKey): Promise<void>;
  connect(run: RunKey, card: Card | null): Promise<void>;
  apply(card: Card): Promise<void>;
  detach(run: RunKey): Promise<void>;
  settle(): Promise<void>;
  traffic(workspaceId: string): ReturnType<Network['traffic']>;
  denials(workspaceId: string): ReturnType<Network['denials']>;
  checks(): ReturnType<Network['checks']>;
  send(run: RunKey, frame: string): Promise<void>;
  /** Frames that arrive within the time, hexadecimal. */
  receive(run: RunKey, ms: number): Promise<string[]>;
  /** A TCP and a UDP echo server. */
  serve(address: string, port: number): Promise<void>;
  /** What connecting led to: a number that names the connection, or the error. */
  dial(address: string, port: number, ms: number, from?: string): Promise<number | string>;
  /** What comes back on an open connection, or why nothing does. */
  say(connection: number, text: string, ms: number): Promise<string>;
  ask(address: string, port: number, text: string, ms: number): Promise<string>;
}

let network: Network | undefined;
const attachments = new Map<string, Attachment>();
const connections = new Map<number, net.Socket>();

function opened(): Network {
  if (network === undefined) throw new Error('no network is open');
  return network;
}

function tapOf({ runId }: RunKey): number {
  const backend = attachments.get(runId)?.backend;
  if (backend?.kind !== 'tap') throw new Error('no TAP');
  return backend.fd;
}

const calls: DriverCalls = {
  async open(subnet, upstreams) {
    network = await openBridgeNetwork({
      plan: addressPlan(subnet),
      bridge: 'br-coppice',
      resolverOptions: { upstreams },
      log: pino(pino.destination(2)),
    });
    return network.problem() ?? null;
  },
  close: () => opened().close(),
  async attach(run, card) {
    attachments.set(run.runId, await opened().attach(run, card ?? undefined));
  },
  async unplug({ runId }) {
    attachments.get(runId)?.release();
    attachments.delete(runId);
  },
  connect: (run, card) => opened().connect(run, card ?? undefined),
  apply: (card) => opened().apply(card),
  detach: (run) => opened().detach(run),
  settle: () => opened().settle(),
  traffic: (workspaceId) => opened().traffic(workspaceId),
  denials: (workspaceId) => opened().denials(workspaceId),
  checks: () => opened().checks(),
  async send(run, frame) {
    fs.writeSync(tapOf(run), Buffer.concat([Buffer.alloc(vnetHeader), Buffer.from(frame, 'hex')]));
  },
  async receive(run, ms) {
    const fd = tapOf(run);
    const frames: string[] = [];
    const buffer = Buffer.alloc(70_000);
    for (const until = Date.now() + ms; Date.now() < until;) {
      try {
        const bytes = fs.readSync(fd, buffer);
        frames.push(buffer.toString('hex', vnetHeader, bytes));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
    return frames;
  },
  async serve(address, port) {
    const server = net.createServer((socket) => {
      socket.on('error', () => socket.destroy());
      socket.on('data', (data) => socket.write(`${socket.remoteAddress ?? ''} ${data.toString()}`));
    });
    await new Promise<void>((resolve) => server.listen(port, address, resolve));
    const datagrams = dgram.createSocket('udp4');
    datagrams.on('message', (data, from) => {
      datagrams.send(`${from.address} ${data.toString()}`, from.port, from.address);
    });
    await new Promise<void>((resolve) => datagrams.bind(port, address, resolve));
  },
  dial(address, port, ms, from) {
    return new Promise((resolve) => {
      const local = from === undefined ? {} : { localAddress: from };
      const socket = net.connect({ host: address, port, ...local });
      const timer = setTimeout(() => {
        socket.destroy();
        resolve('timeout');
      }, ms);
      socket.once('connect', () => {
        clearTimeout(timer);
        const id = connections.size + 1;
        connections.set(id, socket);
        resolve(id);
      });
      socket.once('error', (error: NodeJS.ErrnoException) => {
        clearTimeout(timer);
        resolve(error.code ?? error.message);
      });
    });
  },
  say(connection, text, ms) {
    const socket = connections.get(connection);
    if (socket === undefined) throw new Error('no such connection');
    return new Promise((resolve) => {
      const end = (answer: string): void => {
        clearTimeout(timer);
        socket.off('data', onData);
        resolve(answer);
      };
      const onData = (data: Buffer): void => end(data.toString());
      const timer = setTimeout(() => end('timeout'), ms);
      socket.on('data', onData);
      socket.write(text);
    });
  },
  ask(address, port, text, ms) {
    return new Promise((resolve) => {
      const socket = dgram.createSocket('udp4');
      const end = (answer: string): void => {
        clearTimeout(timer);
        socket.close();
        resolve(answer);
      };
      const timer = setTimeout(() => end('timeout'), ms);
      socket.on('message', (data) => end(data.toString()));
      socket.on('error', (error) => end((error as NodeJS.ErrnoException).code ?? error.message));
      socket.send(text, port, address);
    });
  },
};

interface Call {
  readonly id: number;
  readonly method: keyof DriverCalls;
  readonly args: readonly unknown[];
}

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const { id, method, args } = JSON.parse(line) as Call;
    const work = calls[method] as (...all: readonly unknown[]) => Promise<unknown>;
    Promise.resolve()
      .then(() => work(...args))
      .then((value) => ({ id, value: value ?? null }))
      .catch((error: unknown) => ({ id, error: String(error) }))
      .then((reply) => process.stdout.write(`${JSON.stringify(reply)}\n`))
      .catch(() => undefined);
  })
  .on('close', () => process.kill(process.pid, 'SIGKILL'));
