import { describe, expect, it } from 'vitest';
import { errorCodes } from '../../../protocol/errors.ts';
import type { Operation } from '../../../protocol/operation.ts';
import { isOperationName, operations } from '../../../protocol/operations.ts';

const all = Object.entries(operations) as [string, Operation][];

describe.each(all)('%s', (key, operation) => {
  it('is in the catalogue under its own name', () => {
    expect(operation.name).toBe(key);
    expect(isOperationName(key)).toBe(true);
  });

  it('has a one-line summary in the imperative and known error codes', () => {
    expect(operation.summary).toMatch(/^[A-Z][^\n]*[^.]$/);
    expect(errorCodes).toEqual(expect.arrayContaining([...operation.errors]));
  });

  it('gives a ticket exactly when it opens a stream', () => {
    const { shape } = operation.output as { shape?: Record<string, unknown> };
    expect(Object.hasOwn(shape ?? {}, 'ticket')).toBe(operation.stream !== undefined);
  });

  it('may be repeated when it only reads', () => {
    if (operation.risk === 'read') expect(operation.retry).toBe('safe');
  });
});

it('nothing inherited from Object is an operation', () => {
  expect(isOperationName('toString')).toBe(false);
  expect(isOperationName('__proto__')).toBe(false);
});
