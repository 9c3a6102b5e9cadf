/** The network of this daemon: a bridge for root, its own for everybody else. */
import type { Log } from '../system/log.ts';
import type { HostPaths } from '../system/paths.ts';
import { openBridgeNetwork } from './bridge/bridgeNetwork.ts';
import type { Network } from './network.ts';
import { networkSettings } from './settings.ts';
import { openUserNetwork } from './user/userNetwork.ts';

/** @throws CoppiceError `invalid_input` for settings that mean nothing */
export async function openNetwork(
  { mode }: Pick<HostPaths, 'mode'>,
  log: Log,
  env: NodeJS.ProcessEnv = process.env,
): Promise<Network> {
  const settings = networkSettings(mode, env);
  const { plan, resolverOptions } = settings;
  return settings.kind === 'bridge'
    ? await openBridgeNetwork({ plan, resolverOptions, log, bridge: settings.bridge })
    : openUserNetwork({ plan, resolverOptions, log });
}
