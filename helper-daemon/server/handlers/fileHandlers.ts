import { CoppiceError } from '../../../protocol/errors.ts';
import { limits } from '../../../protocol/limits.ts';
import { parseFileMode } from '../../../protocol/names.ts';
import { toCoppiceError } from '../../guest/errors.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import type { Handlers } from '../handlerTypes.ts';
import { fileEntry } from './fileEntry.ts';
import { callGuest, pathBytes } from './guestCall.ts';

type FileHandlers = Pick<
  Handlers,
  | 'file_stat'
  | 'file_list'
  | 'file_read'
  | 'file_write'
  | 'file_edit'
  | 'file_make_directory'
  | 'file_remove'
  | 'file_rename'
  | 'file_copy'
  | 'file_search'
>;

export function fileHandlers(services: WorkspaceServices): FileHandlers {
  return {
    file_stat: (input, { signal }) =>
      callGuest(services, input.workspace_id, signal, async ({ file }, options) => {
        const { info } = await file.stat(
          { path: pathBytes(input.path), follow: input.follow ?? false },
          options,
        );
        return fileEntry(info);
      }),
    file_list: (input, { signal }) =>
      callGuest(services, input.workspace_id, signal, async ({ file }, options) => {
        const entries = [];
        for await (const batch of file.list({ path: pathBytes(input.path) }, options)) {
          for (const info of batch.entries) entries.push(fileEntry(info));
        }
        return entries;
      }),
    file_read: (input, { signal }) =>
      callGuest(services, input.workspace_id, signal, async ({ file }, options) => {
        const offset = input.offset ?? 0;
        const limit = input.limit ?? limits.textFileBytes;
        const parts: Uint8Array[] = [];
        let size = 0;
        const request = {
          path: pathBytes(input.path),
          offset: BigInt(offset),
          limit: BigInt(limit + characterRest),
        };
        for await (const { part } of file.read(request, options)) {
          if (part.case === 'info') size = Number(part.value.size);
          else if (part.case === 'data') parts.push(part.value);
        }
        const bytes = Buffer.concat(parts);
        const { start, end } = wholeCharacters(bytes, offset > 0, limit);
        return {
          content: decodeText(bytes.subarray(start, end), input.path),
          size,
          truncated: offset + end < size,
        };
      }),
    file_write: (input, { signal }) =>
      callGuest(services, input.workspace_id, signal, async ({ file }, options) => {
        const bytes = Buffer.from(input.content, 'utf8');
        const header = {
          path: pathBytes(input.path),
          parents: true,
          atomic: true,
          size: BigInt(bytes.length),
          ...(input.mode === undefined ? {} : { mode: parseFileMode(input.mode) }),
        };
        const reply = await file.write(writeMessages(header, piecesOf(bytes)), options);
        return { path: input.path, bytes: Number(reply.bytes) };
      }),
    file_edit: (input, { signal }) =>
      callGuest(services, input.workspace_id, signal, async ({ file }, options) => {
        const { replacements } = await file.edit(
          {
            path: pathBytes(input.path),
            oldText: pathBytes(input.old_string),
            newText: pathBytes(input.new_string),
            all: input.replace_all ?? false,
          },
          options,
        );
        return { path: input.path, replacements: Number(replacements) };
      }),
    file_make_directory: (input, { signal }) =>
      callGuest(services, input.workspace_id, signal, async ({ file }, options) => {
        await file.makeDirectory(
          {
            path: pathBytes(input.path),
            parents: input.parents ?? false,
            ...(input.mode === undefined ? {} : { mode: parseFileMode(input.mode) }),
          },
          options,
        );
        return { path: input.path };
      }),
    file_remove: (input, { signal }) =>
      callGuest(services, input.workspace_id, signal, async ({ file }, options) => {
        await file.remove(
          {
            path: pathBytes(input.path),
            recursive: input.recursive ?? false,
            force: input.force ?? false,
          },
          options,
        );
        return { path: input.path };
      }),
    file_rename: (input, { signal }) =>
      callGuest(services, input.workspace_id, signal, async ({ file }, options) => {
        await file.rename(
          {
            from: pathBytes(input.from),
            to: pathBytes(input.to),
            overwrite: input.overwrite ?? false,
          },
          options,
        );
        return { path: input.to };
      }),
    file_copy: (input, { signal }) =>
      callGuest(services, input.workspace_id, signal, async ({ file }, options) => {
        const { bytes } = await file.copy(
          {
            from: pathBytes(input.from),
            to: pathBytes(input.to),
            overwrite: input.overwrite ?? false,
            recursive: input.recursive ?? false,
          },
          options,
        );
        return { path: input.to, bytes: Number(bytes) };
      }),
    file_search: (input, { signal }) =>
      callGuest(services, input.workspace_id, signal, async ({ file }, options) => {
        const matches = [];
        let truncated = false;
        const request = {
          path: pathBytes(input.path),
          pattern: input.pattern,
          literal: input.literal ?? false,
          ignoreCase: input.ignore_case ?? false,
          include: input.include ?? [],
          exclude: input.exclude ?? [],
          allFiles: input.all_files ?? false,
          maxResults: input.max_results ?? 0,
        };
        for await (const batch of file.search(request, options)) {
          truncated ||= batch.truncated;
          for (const match of batch.matches) {
            matches.push({
              path: Buffer.from(match.path).toString('utf8'),
              line: Number(match.line),
              start: match.start,
              end: match.end,
              text: Buffer.from(match.text).toString('utf8'),
            });
          }
        }
        return { matches, truncated };
      }),
  };
}

/** The message sequence of the guest's Write: header, then data. */
export async function* writeMessages<Header>(
  header: Header,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<
  | { readonly part: { readonly case: 'header'; readonly value: Header } }
  | { readonly part: { readonly case: 'data'; readonly value: Uint8Array } }
> {
  yield { part: { case: 'header', value: header } };
  for await (const chunk of chunks) yield { part: { case: 'data', value: chunk } };
}

/** One message to the guest takes no more than this. */
const pieceBytes = 256 * 1024;

function* piecesOf(bytes: Buffer): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}

/** Bytes of a UTF-8 character after its first one. */
const characterRest = 3;

/** A character belongs to the part in which it begins: parts that follow each other add up to the file. */
function wholeCharacters(
  bytes: Buffer,
  isContinued: boolean,
  limit: number,
): { readonly start: number; readonly end: number } {
  const isRest = (byte: number | undefined): boolean =>
    byte !== undefined && (byte & 0xc0) === 0x80;
  let start = 0;
  while (isContinued && start < characterRest && isRest(bytes[start])) start += 1;
  let end = Math.min(limit, bytes.length);
  while (end < limit + characterRest && isRest(bytes[end])) end += 1;
  return { start, end: Math.max(start, end) };
}

function decodeText(bytes: Buffer, path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new CoppiceError(
      {
        code: 'file_error',
        message: `${path} contains binary data (not UTF-8) in this part.`,
        next: 'Copy it as bytes: file_transfer, or coppice cp (file_download).',
      },
      { cause: toCoppiceError(error) },
    );
  }
}
