/** One HTTP/2 connection to one guest, from a channel that is past its hello. */
import http2 from 'node:http2';
import {
  FileService,
  NetworkService,
  ProcessService,
  SystemService,
} from './gen/coppice/guest/v1/guest_pb.js';
import type { Channel } from './channel.ts';
import { serviceClient, type CallHost, type ServiceClient } from './grpc.ts';
import type { HelloAnswer } from './hello.ts';
import { throttleReads, type ReadThrottle } from './readThrottle.ts';

export interface GuestClients {
  readonly system: ServiceClient<typeof SystemService>;
  readonly process: ServiceClient<typeof ProcessService>;
  readonly file: ServiceClient<typeof FileService>;
  readonly network: ServiceClient<typeof NetworkService>;
}

export interface GuestConnection {
  readonly answer: HelloAnswer;
  readonly clients: GuestClients;
  readonly usable: boolean;
  /** Resolves with the reason once it is not usable any more; never rejects. */
  readonly closed: Promise<string>;
  /** Asks the guest for a sign of life and closes the connection if there is none in time. */
  check(timeoutMs: number): void;
  close(reason: string): void;
}

/**
 * What one stream may hold that nobody has read yet. The channel's round trip is half a millisecond, so
 * this is far more than full speed needs; a hostile guest can make the daemon keep this much per call.
 */
const streamWindow = 1024 * 1024;
const connectionWindow = 16 * 1024 * 1024;
/** A guest that has calls open but says nothing is asked for a sign of life, and then given this long. */
const silenceMs = 5_000;
const pingTimeoutMs = 15_000;
/** Frames that only keep the daemon busy: so many within ten seconds are an attack. */
const controlFrameLimit = 1_000;
const controlWindowMs = 10_000;

export async function openConnection(
  channel: Channel,
  settleMs = 10_000,
): Promise<GuestConnection> {
  const connection = new Connection(channel);
  await connection.settled(settleMs);
  return connection;
}

class Connection implements GuestConnection {
  readonly answer: HelloAnswer;
  readonly clients: GuestClients;
  readonly closed: Promise<string>;
  readonly #session: http2.ClientHttp2Session;
  readonly #channel: Channel;
  readonly #throttle: ReadThrottle;
  #resolveClosed!: (reason: string) => void;
  #broken: string | undefined;
  #openCalls = 0;
  #watchdog: NodeJS.Timeout | undefined;
  #bytesSeen = 0;
  #checking = false;
  #controlFrames = 0;
  #controlSince = 0;

  constructor(channel: Channel) {
    this.#channel = channel;
    this.#throttle = throttleReads(channel.socket);
    this.answer = channel.answer;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.#session = http2.connect('http://guest', {
      createConnection: () => channel.socket,
      settings: {
        enablePush: false,
        initialWindowSize: streamWindow,
        maxHeaderListSize: 16 * 1024,
        maxFrameSize: 256 * 1024,
      },
      maxHeaderListPairs: 64,
      maxSettings: 16,
      maxReservedRemoteStreams: 0,
      maxSendHeaderBlockLength: 16 * 1024,
      // MiB; what bounds a guest is the stream window, this only has to be above what calls may use.
      maxSessionMemory: 128,
    });
    this.#session.on('connect', () => this.#session.setLocalWindowSize(connectionWindow));
    this.#session.on('error', (error: Error) =>
      this.close(`its connection failed (${error.message})`),
    );
    this.#session.on('goaway', () => this.close('the agent ended the connection'));
    this.#session.on('close', () => this.close('its connection was closed'));
    this.#session.on('ping', () => this.#countControlFrame());
    this.#session.on('remoteSettings', () => this.#countControlFrame());
    this.#session.on('altsvc', () => this.#countControlFrame());
    this.#session.on('origin', () => this.#countControlFrame());
    this.#session.on('stream', (stream) => stream.close());
    const host: CallHost = {
      session: this.#session,
      broken: () => this.#broken,
      onCall: (open) => this.#onCall(open),
      onData: () => this.#throttle.count(),
      onNoise: () => this.#countControlFrame(),
    };
    this.clients = {
      system: serviceClient(SystemService, host),
      process: serviceClient(ProcessService, host),
      file: serviceClient(FileService, host),
      network: serviceClient(NetworkService, host),
    };
  }

  get usable(): boolean {
    return this.#broken === undefined;
  }

  /** Waits for the guest's settings: proof that it speaks HTTP/2. */
  async settled(timeoutMs: number): Promise<void> {
    const timer = setTimeout(() => this.close('it answers but does not speak HTTP/2'), timeoutMs);
    const settings = new Promise<undefined>((resolve) => {
      this.#session.once('remoteSettings', () => resolve(undefined));
    });
    const problem = await Promise.race([settings, this.closed]);
    clearTimeout(timer);
    if (problem !== undefined) throw new Error(problem);
  }

  check(timeoutMs: number): void {
    if (this.#broken !== undefined || this.#checking) return;
    this.#checking = true;
    const before = this.#channel.socket.bytesRead;
    const timer = setTimeout(() => {
      this.#checking = false;
      // Bytes of whatever kind are a sign of life too: the answer may be behind a long transfer.
      if (this.#channel.socket.bytesRead === before) this.close('it has stopped answering');
    }, timeoutMs);
    timer.unref();
    try {
      this.#session.ping(() => {
        clearTimeout(timer);
        this.#checking = false;
      });
    } catch {
      clearTimeout(timer);
      this.#checking = false;
    }
  }

  close(reason: string): void {
    if (this.#broken !== undefined) return;
    this.#broken = reason;
    clearInterval(this.#watchdog);
    this.#throttle.close();
    this.#session.destroy();
    this.#channel.socket.destroy();
    this.#resolveClosed(reason);
  }

  #onCall(open: boolean): void {
    this.#openCalls += open ? 1 : -1;
    if (this.#openCalls === 0) {
      clearInterval(this.#watchdog);
      this.#watchdog = undefined;
    } else if (this.#watchdog === undefined && this.#broken === undefined) {
      this.#bytesSeen = this.#channel.socket.bytesRead;
      this.#watchdog = setInterval(() => this.#lookForLife(), silenceMs);
      this.#watchdog.unref();
    }
  }

  /** An agent that died leaves a port that looks open from here: only silence tells. */
  #lookForLife(): void {
    const bytes = this.#channel.socket.bytesRead;
    if (bytes === this.#bytesSeen) this.check(pingTimeoutMs);
    this.#bytesSeen = bytes;
  }

  #countControlFrame(): void {
    const now = performance.now();
    if (now - this.#controlSince > controlWindowMs) {
      this.#controlSince = now;
      this.#controlFrames = 0;
    }
    this.#controlFrames += 1;
    if (this.#controlFrames > controlFrameLimit) this.close('it floods the connection');
  }
}
