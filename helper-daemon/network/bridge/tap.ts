/** TAP devices: made here, held by the monitor alone, and gone with it. */
import fs from 'node:fs';
import { writeFile } from 'node:fs/promises';
import koffi from 'koffi';
import { CoppiceError } from '../../../protocol/errors.ts';
import { run } from '../../system/run.ts';

const TUNSETIFF = 0x400454ca;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;

const libc = koffi.load('libc.so.6');
const ioctl = libc.func('int ioctl(int fd, unsigned long request, ...)');

/** Where devices are asked for. */
export const tunDevice = '/dev/net/tun';

/**
 * An open descriptor whose last close ends the device.
 * @throws CoppiceError `prerequisite_missing`, `internal`
 */
export function createTap(name: string): number {
  const fd = openTun();
  const request = Buffer.alloc(40);
  request.write(name, 'latin1');
  request.writeUInt16LE(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, 16);
  if ((ioctl(fd, TUNSETIFF, 'void *', request) as number) < 0) {
    const errno = koffi.errno();
    fs.closeSync(fd);
    const reason = Object.entries(koffi.os.errno).find(([, value]) => value === errno)?.[0];
    throw new CoppiceError({
      code: 'internal',
      message: `The network device ${name} could not be made: ${reason ?? `error ${String(errno)}`}.`,
      next: 'Run coppice doctor.',
      details: { device: name },
    });
  }
  return fd;
}

function openTun(): number {
  try {
    return fs.openSync(tunDevice, fs.constants.O_RDWR | fs.constants.O_NONBLOCK);
  } catch (error) {
    throw new CoppiceError(
      {
        code: 'prerequisite_missing',
        message: `${tunDevice} cannot be opened: ${(error as NodeJS.ErrnoException).code ?? ''}.`,
        next: 'Run coppice doctor.',
      },
      { cause: error },
    );
  }
}

/**
 * Connects a device to the bridge, apart from all others.
 * @throws CoppiceError `command_failed`
 */
export async function plugIn(
  tap: string,
  bridge: string,
  address: string | undefined,
): Promise<void> {
  await disableIpv6(tap);
  const link = `link set dev ${tap}`;
  await ip([
    `${link} addrgenmode none`,
    `${link} master ${bridge}`,
    `${link} type bridge_slave isolated on flood off mcast_flood off`,
    `${link} up`,
    ...(address === undefined ? [] : [forgetting(bridge, address)]),
  ]);
}

/**
 * The host has to ask again who has the address: another machine may have had it, and no frame is sent to all ports
 * to look for one.
 * @throws CoppiceError `command_failed`
 */
export async function forgetNeighbour(bridge: string, address: string): Promise<void> {
  await ip([forgetting(bridge, address)]);
}

function forgetting(bridge: string, address: string): string {
  return `neigh flush to ${address} dev ${bridge}`;
}

async function ip(lines: readonly string[]): Promise<void> {
  await run('ip', ['-batch', '-'], { input: `${lines.join('\n')}\n`, timeout: 60_000 });
}

/** Nothing where the kernel has no IPv6. */
export async function disableIpv6(device: string): Promise<void> {
  await writeFile(`/proc/sys/net/ipv6/conf/${device}/disable_ipv6`, '1').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  });
}
