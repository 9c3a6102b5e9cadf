/** Files that tasks leave for their caller. */
import { createWriteStream } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { asCoppiceError, CoppiceError } from '../../../protocol/errors.ts';
import type { SwarmArtifact } from '../../../protocol/operations/swarm.ts';
import type { Guest } from '../guest.ts';
import { slugOf } from './plan.ts';

/** Of each. */
export const artifactBytes = 64 * 1024 * 1024;

/** Fetches what can be fetched; why the rest cannot is told in its row. Ends early when the signal fires. */
export async function fetchArtifacts(
  guest: Pick<Guest, 'download'>,
  worker: string,
  wanted: readonly string[],
  directory: string,
  signal: AbortSignal,
): Promise<SwarmArtifact[]> {
  const fetched: SwarmArtifact[] = [];
  if (wanted.length === 0) return fetched;
  const place = path.join(directory, 'artifacts');
  await mkdir(place, { recursive: true });
  for (const [index, source] of wanted.entries()) {
    signal.throwIfAborted();
    const name = `${String(index + 1)}-${slugOf(path.posix.basename(source)).slice(0, 128)}`;
    fetched.push(await fetchOne(guest, worker, source, path.join(place, name), signal));
  }
  return fetched;
}

async function fetchOne(
  guest: Pick<Guest, 'download'>,
  worker: string,
  source: string,
  target: string,
  signal: AbortSignal,
): Promise<SwarmArtifact> {
  const part = `${target}.part`;
  // Ends the machine's side too when this one has had enough.
  const stop = new AbortController();
  let bytes = 0;
  try {
    const { directory, chunks } = await guest.download(
      worker,
      source,
      AbortSignal.any([signal, stop.signal]),
    );
    async function* bounded(): AsyncGenerator<Uint8Array> {
      for await (const chunk of chunks) {
        bytes += chunk.length;
        if (bytes > artifactBytes) throw tooLarge();
        yield chunk;
      }
    }
    await pipeline(bounded(), createWriteStream(part, { mode: 0o644 }));
    const file = directory ? `${target}.tar` : target;
    await rename(part, file);
    return { path: source, file, bytes, error: null };
  } catch (error) {
    stop.abort();
    await rm(part, { force: true });
    signal.throwIfAborted();
    return { path: source, file: null, bytes: 0, error: asCoppiceError(error).message };
  }
}

function tooLarge(): CoppiceError {
  return new CoppiceError({
    code: 'limit_exceeded',
    message: `It is larger than ${String(artifactBytes / 1024 ** 2)} MiB.`,
  });
}
