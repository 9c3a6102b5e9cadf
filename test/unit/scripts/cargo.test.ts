import { expect, test } from 'vitest';
import { cargoTestCounts } from '../../../scripts/tools/cargo.ts';

test('sums the results of all test binaries', () => {
  const lines = [
    'running 3 tests',
    'test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s',
    'test result: FAILED. 4 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out',
  ];
  expect(cargoTestCounts(lines)).toEqual({ passed: 6, failed: 1, skipped: 1 });
});
