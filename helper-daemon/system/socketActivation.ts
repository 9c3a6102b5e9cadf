/** systemd's socket activation (sd_listen_fds): the first passed descriptor, if it is meant for us. */
const firstDescriptor = 3;

export function inheritedSocket(env: NodeJS.ProcessEnv = process.env): number | undefined {
  if (env['LISTEN_PID'] !== String(process.pid)) return undefined;
  return Number(env['LISTEN_FDS'] ?? '0') >= 1 ? firstDescriptor : undefined;
}
