/** Keeps bytes that are no text from a person's terminal. */
import { CoppiceError } from '../../../protocol/errors.ts';

const looked = 8192;

/**
 * Passes `chunks` on; the first tells whether it is text.
 * @param show the reader is no terminal, or wants to see it anyhow
 * @throws CoppiceError `file_error` when it is not, before anything was passed on
 */
export async function* textForTerminal(
  chunks: AsyncIterable<Uint8Array>,
  show: boolean,
): AsyncGenerator<Uint8Array, void, undefined> {
  let first = true;
  for await (const chunk of chunks) {
    if (first && !show && chunk.subarray(0, looked).includes(0)) throw notText();
    first = false;
    yield chunk;
  }
}

function notText(): CoppiceError {
  return new CoppiceError({
    code: 'file_error',
    message: 'This file is not text; it could disturb the terminal.',
    next: 'Send it to a file or a pipe, or show it anyhow with --force.',
  });
}
