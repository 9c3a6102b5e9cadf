import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodePax,
  encodePax,
  type TarFail,
} from '../../../../helper-daemon/system/tar/tarFormat.ts';

const fail: TarFail = (fault) => new Error(fault);

function decoded(data: Buffer): readonly (readonly [string, string])[] {
  return [...decodePax(data, fail)].map(([key, value]) => [key, value.toString('latin1')]);
}

describe('pax records', () => {
  it('survive a round trip for any key and value', () => {
    const key = fc.stringMatching(/^[a-zA-Z.]{1,20}$/);
    const value = fc
      .string({ unit: 'binary', maxLength: 200 })
      .map((text) => Buffer.from(text).toString('latin1'));
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.tuple(key, value), { selector: ([name]) => name, maxLength: 5 }),
        (records) => {
          expect(decoded(encodePax(new Map(records)))).toEqual(records);
        },
      ),
    );
  });

  it('may be followed by the padding', () => {
    expect(decoded(Buffer.from('6 a=b\n\0\0'))).toEqual([['a', 'b']]);
  });

  it.each([
    ['no length', ' a=b\n'],
    ['a length of zero', '0 a=b\n'],
    ['a negative length', '-6 a=b\n'],
    ['a length that ends before the value', '3 a=b\n'],
    ['a length beyond the data', '7 a=b\n'],
    ['a length that is not decimal', '0x6 a=b\n'],
    ['a length of many digits', '99999999999999999999 a=b\n'],
    ['no value', '5 abc\n'],
    ['no newline', '6 a=bc'],
    ['nothing but digits', '1'.repeat(1000)],
  ])('are refused with %s', (_, text) => {
    expect(() => decodePax(Buffer.from(text), fail)).toThrow('pax');
  });
});
