/** SHA-256 of files, and checks that remember their verdict so that a second look costs one stat. */
import { createHash } from 'node:crypto';
import { open, stat } from 'node:fs/promises';
import { cancelled, imageCorrupt } from './imageErrors.ts';

export interface FileFacts {
  readonly sha256: string;
  readonly size: number;
}

const chunkSize = 1024 * 1024;

export async function digestFile(path: string, signal?: AbortSignal): Promise<FileFacts> {
  const hash = createHash('sha256');
  const file = await open(path, 'r');
  const buffer = Buffer.allocUnsafe(chunkSize);
  let size = 0;
  try {
    for (;;) {
      if (signal?.aborted === true) throw cancelled('Checking a file');
      const { bytesRead } = await file.read(buffer, 0, chunkSize, null);
      if (bytesRead === 0) break;
      hash.update(buffer.subarray(0, bytesRead));
      size += bytesRead;
    }
  } finally {
    await file.close();
  }
  return { sha256: hash.digest('hex'), size };
}

export function digestText(text: string | Uint8Array): string {
  return createHash('sha256').update(text).digest('hex');
}

/** What identifies the bytes of a file without reading them: any write changes ctime. */
async function fileIdentity(path: string): Promise<string> {
  const facts = await stat(path, { bigint: true });
  return [facts.dev, facts.ino, facts.size, facts.mtimeNs, facts.ctimeNs].join(':');
}

/** Remembers which identities were found to have which digest. */
export interface VerdictMemo {
  get(identity: string): string | undefined;
  set(identity: string, sha256: string): void;
}

const processMemo: VerdictMemo = new Map<string, string>();

/**
 * Checks a file against its manifest: a full SHA-256 the first time, one stat after that.
 * @throws CoppiceError `image_corrupt` when size or digest differ or the file is gone.
 */
export async function verifyFile(
  path: string,
  expected: FileFacts,
  options: { readonly memo?: VerdictMemo; readonly signal?: AbortSignal } = {},
): Promise<void> {
  const memo = options.memo ?? processMemo;
  let identity: string;
  try {
    identity = await fileIdentity(path);
  } catch {
    throw imageCorrupt(`The file ${path} is gone or cannot be read.`, { path });
  }
  let sha256 = memo.get(identity);
  if (sha256 === undefined) {
    const facts = await digestFile(path, options.signal);
    // A write between stat and read must not be remembered under the old identity.
    if ((await fileIdentity(path)) === identity) memo.set(identity, facts.sha256);
    sha256 = facts.sha256;
  }
  if (sha256 !== expected.sha256) {
    throw imageCorrupt(`The file ${path} does not have the content its manifest promises.`, {
      path,
      expected: expected.sha256,
      found: sha256,
    });
  }
}
