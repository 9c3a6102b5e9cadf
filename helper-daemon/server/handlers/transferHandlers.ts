import { parseFileMode } from '../../../protocol/names.ts';
import { toCoppiceError } from '../../guest/errors.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import type { Handlers } from '../handlerTypes.ts';
import { serveDownload, serveUpload } from '../streams/transferStream.ts';
import { openDownload } from './fileDownload.ts';
import { writeMessages } from './fileHandlers.ts';
import { guestStreams, pathBytes } from './guestCall.ts';

type TransferHandlers = Pick<
  Handlers,
  'file_download' | 'file_upload' | 'file_archive' | 'file_extract'
>;

export function transferHandlers(services: WorkspaceServices): TransferHandlers {
  return {
    async file_download(input, { session }) {
      const streams = await guestStreams(services, input.workspace_id, session);
      const { file } = streams.clients;
      const download = await openDownload(file, input);
      return {
        ticket: streams.open(download.stream, download.abandon),
        ...download.facts,
      };
    },
    async file_upload(input, { session }) {
      const streams = await guestStreams(services, input.workspace_id, session);
      const { file } = streams.clients;
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
      return { ticket: streams.open(stream) };
    },
    async file_archive(input, { session }) {
      const streams = await guestStreams(services, input.workspace_id, session);
      const { file } = streams.clients;
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
      return { ticket: streams.open(serveDownload(chunks(), abort), () => abort.abort()) };
    },
    async file_extract(input, { session }) {
      const streams = await guestStreams(services, input.workspace_id, session);
      const { file } = streams.clients;
      const header = { path: pathBytes(input.path), keepOwner: input.keep_owner ?? false };
      const stream = serveUpload(async (chunks, signal) => {
        const reply = await file.extract(writeMessages(header, chunks), { signal });
        return { bytes: Number(reply.bytes), entries: Number(reply.entries) };
      });
      return { ticket: streams.open(stream) };
    },
  };
}
