/** How ssh starts us again, so that it reaches the daemon and the keys that we would reach now. */
import path from 'node:path';
import { daemonSocket } from '../../client/startDaemon.ts';

/** What decides where daemon and keys are. Empty counts as not set. */
const deciding = ['COPPICE_HOME', 'XDG_STATE_HOME', 'XDG_RUNTIME_DIR'] as const;

/**
 * Program and arguments for `coppice ssh-proxy`. Variables are given in full: an editor or a timer has others than
 * the shell in which this was written down.
 */
export function proxyWords(env: NodeJS.ProcessEnv = process.env): string[] {
  const { path: socket, chosen } = daemonSocket();
  return [
    'env',
    ...deciding.map((name) => `${name}=${absolute(env[name])}`),
    `COPPICE_SOCKET=${chosen ? absolute(socket) : ''}`,
    process.execPath,
    '--no-warnings',
    '--no-concurrent-sparkplug',
    path.resolve(process.argv[1] ?? ''),
    'ssh-proxy',
  ];
}

function absolute(place: string | undefined): string {
  return place === undefined || place === '' ? '' : path.resolve(place);
}
