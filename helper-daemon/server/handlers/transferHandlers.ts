import { parseFileMode } from '../../../protocol/names.ts';
import { CoppiceError } from '../../../protocol/errors.ts';
import { toCoppiceError } from '../../guest/errors.ts';
import type { FileInfo } from '../../guest/gen/coppice/guest/v1/guest_pb.js';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import type { Handlers } from '../handlerTypes.ts';
import { serveDownload, serveUpload } from '../streams/transferStream.ts';
import { writeMessages } from './fileHandlers.ts';
import { guestClients, pathBytes } from './guestCall.ts';

type TransferHandlers = Pick<
  Handlers,
  'file_download' | 'file_upload' | 'file_archive' | 'file_extract'
>;

export function transferHandlers(services: WorkspaceServices): TransferHandlers {
  return {
    async file_download(input, { session }) {
      const { file } = await guestClients(services, input.workspace_id);
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
      const stream = serveDownload(dataOf(messages), abort);
      return {
        ticket: session.openStream(stream, () => abort.abort()),
        size: Number(info.size),
        mode: info.mode & 0o7777,
        modified: Math.floor(Number(info.modifiedNs) / 1e9),
      };
    },
    async file_upload(input, { session }) {
      const { file } = await guestClients(services, input.workspace_id);
      const append = input.append ?? false;
      const header = {
        path: pathBytes(input.path),
        parents: true,
        atomic: !append,
        append,
        exclusive: input.exclusive ?? false,
        ...(input.size === undefined ? {} : { size: BigInt(input.size) }),
        ...(input.mode === undefined ? {} : { mode: parseFileMode(input.mode) }),
      };
      const stream = serveUpload(async (chunks, signal) => {
        const reply = await file.write(writeMessages(header, chunks), { signal });
        return { bytes: Number(reply.bytes) };
      });
      return { ticket: session.openStream(stream, () => undefined) };
    },
    async file_archive(input, { session }) {
      const { file } = await guestClients(services, input.workspace_id);
      const path = pathBytes(input.path);
      await file.stat({ path, follow: true }).catch((error: unknown) => {
        throw toCoppiceError(error);
      });
      const abort = new AbortController();
      const messages = file.archive(
        { path, exclude: input.exclude ?? [] },
        { signal: abort.signal },
      );
      async function* chunks(): AsyncGenerator<Uint8Array> {
        for await (const { data } of messages) yield data;
      }
      return { ticket: session.openStream(serveDownload(chunks(), abort), () => abort.abort()) };
    },
    async file_extract(input, { session }) {
      const { file } = await guestClients(services, input.workspace_id);
      const header = { path: pathBytes(input.path), keepOwner: input.keep_owner ?? false };
      const stream = serveUpload(async (chunks, signal) => {
        const reply = await file.extract(writeMessages(header, chunks), { signal });
        return { bytes: Number(reply.bytes), entries: Number(reply.entries) };
      });
      return { ticket: session.openStream(stream, () => undefined) };
    },
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
