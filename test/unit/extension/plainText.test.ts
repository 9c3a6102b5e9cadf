import { expect, test } from 'vitest';
import { plainText } from '../../../extension/documents/plainText.ts';

test('keeps text, tabs and lines, drops what only a terminal understands', () => {
  const output = '\u001b[1;32mok\u001b[0m\tdone\r\n\u001b]0;title\u0007next\u0007\u001b(B\n';
  expect(plainText(output)).toBe('ok\tdone\nnext\n');
});
