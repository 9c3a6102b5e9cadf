/** A file of a guest as a byte stream, whichever machine it is in. */
import { CoppiceError } from '../../../protocol/errors.ts';
import { toCoppiceError } from '../../guest/errors.ts';
import type { FileInfo } from '../../guest/gen/coppice/guest/v1/guest_pb.js';
import type { GuestClients } from '../../guest/guestLink.ts';
import { serveDownload } from '../streams/transferStream.ts';
import type { StreamHandler } from '../tickets.ts';
import { pathBytes } from './guestCall.ts';

export interface FileDownload {
  readonly facts: { readonly size: number; readonly mode: number; readonly modified: number };
  readonly stream: StreamHandler;
  /** Nobody came for the stream. */
  readonly abandon: () => void;
}

/** @throws CoppiceError when the file cannot be read */
export async function openDownload(
  file: GuestClients['file'],
  input: {
    readonly path: string;
    readonly offset?: number | undefined;
    readonly limit?: number | undefined;
  },
): Promise<FileDownload> {
  const abort = new AbortController();
  const messages = file
    .read(
      {
        path: pathBytes(input.path),
        offset: BigInt(input.offset ?? 0),
        limit: BigInt(input.limit ?? 0),
      },
      { signal: abort.signal },
    )
    [Symbol.asyncIterator]();
  // The first message proves that the file can be read; errors are this call's, not the stream's.
  const info = await firstInfo(messages);
  return {
    facts: {
      size: Number(info.size),
      mode: info.mode & 0o7777,
      modified: Math.floor(Number(info.modifiedNs) / 1e9),
    },
    stream: serveDownload(dataOf(messages), abort),
    abandon: () => abort.abort(),
  };
}

type ReadPart = { readonly part: { readonly case: string | undefined; readonly value?: unknown } };

async function firstInfo(messages: AsyncIterator<ReadPart>): Promise<FileInfo> {
  const first = await messages.next().catch((error: unknown) => {
    throw toCoppiceError(error);
  });
  if (first.done !== true && first.value.part.case === 'info') {
    return first.value.part.value as FileInfo;
  }
  throw new CoppiceError({ code: 'guest_error', message: 'The machine described no file.' });
}

async function* dataOf(messages: AsyncIterator<ReadPart>): AsyncGenerator<Uint8Array> {
  for (;;) {
    const next = await messages.next();
    if (next.done === true) return;
    if (next.value.part.case === 'data') yield next.value.part.value as Uint8Array;
  }
}
