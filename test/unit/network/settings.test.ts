import { expect, it } from 'vitest';
import { networkSettings } from '../../../helper-daemon/network/settings.ts';

it('is a bridge for root and a network of its own for everybody else', () => {
  expect(networkSettings('system', {})).toMatchObject({
    kind: 'bridge',
    bridge: 'br-coppice',
    plan: { subnet: '10.42.0.0/16', gateway: '10.42.0.1' },
    resolverOptions: { gateway: '10.42.0.1' },
  });
  expect(networkSettings('user', {}).kind).toBe('user');
  expect(networkSettings('system', { COPPICE_NETWORK: 'user' }).kind).toBe('user');
});

it('takes subnet, bridge and name servers from the environment', () => {
  const settings = networkSettings('system', {
    COPPICE_SUBNET: '172.30.8.0/24',
    COPPICE_BRIDGE: 'br-test',
    COPPICE_DNS: '192.0.2.53,192.0.2.54:5353,2001:db8::53',
  });
  expect(settings.plan).toMatchObject({ gateway: '172.30.8.1', prefixLength: 24 });
  expect(settings.bridge).toBe('br-test');
  expect(settings.resolverOptions).toEqual({
    gateway: '172.30.8.1',
    upstreams: ['192.0.2.53', '192.0.2.54:5353', '2001:db8::53'],
  });
});

it.each([
  ['COPPICE_NETWORK', 'bridge'],
  ['COPPICE_NETWORK', 'vpn'],
  ['COPPICE_SUBNET', '10.42.0.0'],
  ['COPPICE_SUBNET', '10.42.0.1/16'],
  ['COPPICE_SUBNET', '10.42.0.0/31'],
  ['COPPICE_BRIDGE', 'br0; reboot'],
  ['COPPICE_BRIDGE', 'a-name-that-is-too-long'],
  ['COPPICE_DNS', 'dns.example.com'],
  ['COPPICE_DNS', '192.0.2.53:port'],
])('refuses %s=%s by name', (name, value) => {
  const settings = (): unknown => networkSettings('user', { [name]: value });
  expect(settings).toThrow(expect.objectContaining({ code: 'invalid_input' }));
  expect(settings).toThrow(new RegExp(`${name}|subnet|name server`));
});
