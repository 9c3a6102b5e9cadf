/**
 * A machine's way out: passt, which turns its frames into sockets of this host. It runs from the first frame that
 * may leave and ends with the machine. The daemon is its only client, over a socket that no file names: when
 * that is closed, also because the daemon was killed, passt ends by itself.
 */
import { asCoppiceError } from '../../../protocol/errors.ts';
import { spawnBound, type BoundProcess } from '../../system/run.ts';
import type { Log } from '../../system/log.ts';
import type { AddressPlan } from '../addressPlan.ts';
import type { Card } from '../network.ts';
import { createFrameSocket, type FrameSocket } from './frameSocket.ts';
import type { OnFrame } from './frameDecoder.ts';
import type { Way } from './machine.ts';
import { forgetUplink, recordUplink } from './uplinkRecord.ts';

export interface Uplink extends Way {
  pause(): void;
  resume(): void;
  /** Ends passt; done when it is gone. It can be used again. */
  close(): Promise<void>;
}

export interface UplinkOptions {
  readonly program: string;
  args(): readonly string[];
  readonly runDir: string;
  readonly log: Log;
  readonly onFrame: OnFrame;
  onBatchEnd(): void;
}

/** After it has ended by itself. */
const pauseMs = 5000;

export function createUplink(options: UplinkOptions): Uplink {
  const { log, program } = options;
  let running: { readonly process: BoundProcess; readonly frames: FrameSocket } | undefined;
  let failure: { readonly text: string; readonly until: number } | undefined;

  function fail(text: string): void {
    failure = { text, until: performance.now() + pauseMs };
    log.warn({ program, reason: text }, 'the way out of a machine is closed');
  }

  function start(): FrameSocket | undefined {
    let process: BoundProcess;
    try {
      process = spawnBound(program, options.args());
      recordUplink(options.runDir, process.pid);
    } catch (error) {
      fail(asCoppiceError(error).message);
      return undefined;
    }
    const frames = createFrameSocket(process.socket, {
      onFrame: options.onFrame,
      onBatchEnd: options.onBatchEnd,
      onDrain: () => undefined,
      onClosed: () => {
        if (running?.process !== process) return;
        running = undefined;
        // Holds until the reason is known, so that the next frame does not start another one.
        failure = { text: `${program} has ended`, until: performance.now() + pauseMs };
        void process.exited.then((end) => fail(endText(program, end)));
        void process.end().then(() => forgetUplink(options.runDir));
      },
    });
    running = { process, frames };
    failure = undefined;
    return frames;
  }

  return {
    get inUse() {
      return running !== undefined;
    },
    problem() {
      if (running !== undefined || failure === undefined) return undefined;
      return performance.now() < failure.until ? failure.text : undefined;
    },
    pass(bytes, from, to) {
      const frames = running?.frames ?? start();
      return frames?.pass(bytes, from, to) ?? false;
    },
    pause: () => running?.frames.pause(),
    resume: () => running?.frames.resume(),
    async close() {
      const ending = running;
      running = undefined;
      ending?.frames.close();
      if (ending === undefined) return;
      await ending.process.end();
      forgetUplink(options.runDir);
    },
  };
}

/** Lines that passt writes whatever happens: for each line on hosts without a log daemon, and for root. */
const chatter = /^(Failed to send \d+ bytes to syslog|Don't run as root)/;

export function endText(program: string, end: { code: number | null; stderr: string }): string {
  const lines = end.stderr.split('\n').map((line) => line.trim());
  const said = lines.filter((line) => line !== '' && !chatter.test(line));
  const tail = said.slice(-3).join('; ').slice(-300);
  const how = end.code === null ? 'was killed' : 'has ended';
  return `${program} ${how}${tail === '' ? '' : `: ${tail}`}`;
}

/** What passt is told for a card. It serves nothing but the frames that the router hands it. */
export function passtArguments(
  plan: AddressPlan,
  address: Card['address'],
  socket: number,
): string[] {
  return [
    ...['--foreground', '--quiet', '--fd', String(socket), '--ipv4-only'],
    ...['--address', address, '--netmask', String(plan.prefixLength)],
    ...['--gateway', plan.gateway, '--mac-addr', plan.gatewayMac, '--mtu', '1500'],
    ...['--tcp-ports', 'none', '--udp-ports', 'none', '--no-map-gw'],
    ...['--no-dhcp', '--no-dhcpv6', '--no-ndp', '--no-ra', '--no-dhcp-dns', '--no-dhcp-search'],
  ];
}
