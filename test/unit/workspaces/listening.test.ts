import { expect, it } from 'vitest';
import { listening, listensOutside } from '../../../helper-daemon/workspaces/listening.ts';

const at = (port: number, address: string) => ({ port, address, pid: 1, process: 'server' });

it('knows which ports can be reached from outside', () => {
  const ports = [
    at(80, '127.0.0.1'),
    at(80, '::1'),
    at(81, '0.0.0.0'),
    at(82, '127.0.0.1'),
    at(82, '::'),
  ];
  expect(listensOutside(ports, 80)).toBe(false);
  expect(listensOutside(ports, 81)).toBe(true);
  expect(listensOutside(ports, 82)).toBe(true);
  expect(listensOutside(ports, 83)).toBe(false);
});

it('remembers each machine for itself until it is gone', () => {
  const known = listening();
  known.set('a', [at(80, '::')]);
  expect(known.of('a')).toHaveLength(1);
  expect(known.of('b')).toEqual([]);
  known.forget('a');
  expect(known.of('a')).toEqual([]);
});
