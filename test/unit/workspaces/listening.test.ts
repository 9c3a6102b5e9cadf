import { expect, it } from 'vitest';
import { listening, listensOnlyInside } from '../../../helper-daemon/workspaces/listening.ts';

const at = (port: number, address: string) => ({ port, address, pid: 1, process: 'server' });

it('knows which ports can only be reached from inside', () => {
  const ports = [
    at(80, '127.0.0.1'),
    at(80, '::1'),
    at(81, '0.0.0.0'),
    at(82, '127.0.0.1'),
    at(82, '::'),
  ];
  expect(listensOnlyInside(ports, 80)).toBe(true);
  expect(listensOnlyInside(ports, 81)).toBe(false);
  expect(listensOnlyInside(ports, 82)).toBe(false);
  expect(listensOnlyInside(ports, 83)).toBe(false);
});

it('remembers each machine for itself until it is gone', () => {
  const known = listening();
  known.set('a', [at(80, '::')]);
  expect(known.of('a')).toHaveLength(1);
  expect(known.of('b')).toEqual([]);
  known.forget('a');
  expect(known.of('a')).toEqual([]);
});
