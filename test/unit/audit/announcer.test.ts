import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { announcer } from '../../../helper-daemon/audit/announcer.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('the first row is told at once, a thousand after it as one', () => {
  const told: number[] = [];
  const news = announcer((seq) => told.push(seq), 1000);
  for (let seq = 1; seq <= 1001; seq += 1) news.appended(seq);
  expect(told).toEqual([1]);
  vi.advanceTimersByTime(1000);
  expect(told).toEqual([1, 1001]);
});

test('rows that come right after are held back again, and none is lost', () => {
  const told: number[] = [];
  const news = announcer((seq) => told.push(seq), 1000);
  news.appended(1);
  news.appended(2);
  vi.advanceTimersByTime(1000);
  news.appended(3);
  expect(told).toEqual([1, 2]);
  vi.advanceTimersByTime(1000);
  expect(told).toEqual([1, 2, 3]);
  vi.advanceTimersByTime(1000);
  news.appended(4);
  expect(told).toEqual([1, 2, 3, 4]);
});
