import type net from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { throttleReads } from '../../../helper-daemon/guest/readThrottle.ts';

describe('throttleReads', () => {
  beforeEach(() => vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }));
  afterEach(() => vi.useRealTimers());

  function stage(): { socket: net.Socket; reads: string[] } {
    const reads: string[] = [];
    const handle = { readStop: () => reads.push('stop'), readStart: () => reads.push('start') };
    return { socket: { _handle: handle, destroyed: false } as unknown as net.Socket, reads };
  }

  it('lets frames through that come at an honest pace', () => {
    const { socket, reads } = stage();
    const throttle = throttleReads(socket);
    for (let index = 0; index < 50_000; index += 1) {
      throttle.count();
      if (index % 50 === 0) vi.advanceTimersByTime(1);
    }
    expect(reads).toEqual([]);
  });

  it('stops reading for a moment when they flood in', () => {
    const { socket, reads } = stage();
    const throttle = throttleReads(socket);
    for (let index = 0; index < 20_000; index += 1) throttle.count();
    expect(reads).toEqual(['stop']);
    vi.advanceTimersByTime(100);
    expect(reads).toEqual(['stop', 'start']);
    throttle.close();
  });
});
