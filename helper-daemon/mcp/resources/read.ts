/** resources/read. */
import type { ReadResourceResult } from '@modelcontextprotocol/server';
import { CoppiceError } from '../../../protocol/errors.ts';
import { limits } from '../../../protocol/limits.ts';
import { downloadedBytes } from '../../client/transfer.ts';
import type { DaemonLink } from '../daemonLink.ts';
import type { ResourceRef } from './uris.ts';

const logLines = 1000;
const auditRows = 200;

/** @throws CoppiceError what the daemon says, or `limit_exceeded` */
export async function readResource(
  uri: string,
  ref: ResourceRef,
  link: DaemonLink,
  signal: AbortSignal,
): Promise<ReadResourceResult> {
  const options = { signal };
  switch (ref.kind) {
    case 'workspaces':
      return asJson(uri, await link.call('workspace_list', {}, options));
    case 'audit':
      return asJson(uri, await link.call('audit_list', { limit: auditRows }, options));
    case 'workspace':
      return asJson(
        uri,
        await link.call('workspace_info', { workspace_id: ref.workspace }, options),
      );
    case 'snapshots':
      return asJson(
        uri,
        await link.call('snapshot_list', { workspace_id: ref.workspace }, options),
      );
    case 'logs': {
      const input = { workspace_id: ref.workspace, max_lines: logLines };
      const { console = '', stderr = '' } = await link.call('workspace_logs', input, options);
      const text = stderr === '' ? console : `${console}\n--- the machine's monitor ---\n${stderr}`;
      return { contents: [{ uri, mimeType: 'text/plain', text }] };
    }
    case 'file':
      return await readFile(uri, ref.workspace, ref.path, link, options);
  }
}

function asJson(uri: string, value: unknown): ReadResourceResult {
  return { contents: [{ uri, mimeType: 'application/json', text: JSON.stringify(value) }] };
}

async function readFile(
  uri: string,
  workspace: string,
  path: string,
  link: DaemonLink,
  options: { readonly signal: AbortSignal },
): Promise<ReadResourceResult> {
  const place = { workspace_id: workspace, path };
  const { kind } = await link.call('file_stat', { ...place, follow: true }, options);
  if (kind === 'dir') return asJson(uri, await link.call('file_list', place, options));
  const bytes = await download(place, link, options);
  const text = asText(bytes);
  return {
    contents: [
      text === undefined
        ? { uri, mimeType: 'application/octet-stream', blob: bytes.toString('base64') }
        : { uri, mimeType: 'text/plain', text },
    ],
  };
}

async function download(
  place: { readonly workspace_id: string; readonly path: string },
  link: DaemonLink,
  options: { readonly signal: AbortSignal },
): Promise<Buffer> {
  const limit = limits.textFileBytes;
  // One byte more shows that there is more, also where a size says nothing (/proc, a file that grows).
  const { ticket, size } = await link.call(
    'file_download',
    { ...place, limit: limit + 1 },
    options,
  );
  const stream = await (await link.client(options.signal)).openStream(ticket);
  const giveUp = (): void => stream.destroy();
  options.signal.addEventListener('abort', giveUp, { once: true });
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of downloadedBytes(stream)) {
      chunks.push(chunk);
      length += chunk.length;
      if (length > limit) throw tooLarge(place, Math.max(size, length));
    }
  } finally {
    options.signal.removeEventListener('abort', giveUp);
    stream.destroy();
  }
  return Buffer.concat(chunks);
}

function tooLarge({ path }: { readonly path: string }, size: number): CoppiceError {
  return new CoppiceError({
    code: 'limit_exceeded',
    message: `${path} has ${String(size)} bytes or more; a resource may have ${String(limits.textFileBytes)}.`,
    next: 'Read a part of it with file_read (offset, limit), or fetch it with file_transfer.',
    details: { path, size, limit: limits.textFileBytes },
  });
}

/** Undefined for what is not UTF-8 text. */
function asText(bytes: Buffer): string | undefined {
  if (bytes.includes(0)) return undefined;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
