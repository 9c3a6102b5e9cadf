/** What the environment says of the network: COPPICE_NETWORK, COPPICE_SUBNET, COPPICE_BRIDGE, COPPICE_DNS. */
import { CoppiceError } from '../../protocol/errors.ts';
import type { DaemonMode } from '../system/paths.ts';
import { addressPlan, defaultSubnet, type AddressPlan } from './addressPlan.ts';
import type { ResolverOptions } from './dns/resolver.ts';
import { parseServer } from './dns/servers.ts';

export interface NetworkSettings {
  readonly kind: 'bridge' | 'user';
  readonly plan: AddressPlan;
  readonly bridge: string;
  readonly resolverOptions: ResolverOptions;
}

const defaultBridge = 'br-coppice';

/** @throws CoppiceError `invalid_input` naming the variable */
export function networkSettings(mode: DaemonMode, env: NodeJS.ProcessEnv): NetworkSettings {
  const upstreams = (env['COPPICE_DNS'] ?? '').split(',').filter((text) => text !== '');
  // Says by itself what is wrong with one.
  upstreams.forEach(parseServer);
  const plan = addressPlan(env['COPPICE_SUBNET'] || defaultSubnet);
  return {
    kind: kindOf(mode, env['COPPICE_NETWORK']),
    plan,
    bridge: bridgeOf(env['COPPICE_BRIDGE'] || defaultBridge),
    resolverOptions: {
      gateway: plan.gateway,
      ...(upstreams.length === 0 ? {} : { upstreams }),
    },
  };
}

/** A bridge needs root; root may choose to do without. */
function kindOf(mode: DaemonMode, wanted: string | undefined): 'bridge' | 'user' {
  if (wanted === undefined || wanted === '') return mode === 'system' ? 'bridge' : 'user';
  if (wanted === 'user' || (wanted === 'bridge' && mode === 'system')) return wanted;
  throw invalid('COPPICE_NETWORK', wanted, 'Set it to user, or in system mode to bridge or user.');
}

/** Names of interfaces end at 15 characters. */
function bridgeOf(name: string): string {
  if (/^[a-z][a-z0-9-]{0,14}$/.test(name)) return name;
  throw invalid('COPPICE_BRIDGE', name, 'Use at most 15 lower-case letters, digits and hyphens.');
}

function invalid(variable: string, value: string, next: string): CoppiceError {
  return new CoppiceError({
    code: 'invalid_input',
    message: `${variable} cannot be ${JSON.stringify(value.slice(0, 100))}.`,
    next,
  });
}
