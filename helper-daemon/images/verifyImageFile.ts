/** Digest check of an image before it is used as the base of disks. */
import { verifyFile, type FileFacts, type VerdictMemo } from './fileDigest.ts';

/**
 * The full digest is computed once; the verdict is remembered by device, inode, size, mtime and ctime, so
 * that checking again costs a stat. `memo` lets the caller keep verdicts across processes.
 */
export async function verifyImageFile(
  path: string,
  manifest: FileFacts,
  options: { readonly memo?: VerdictMemo; readonly signal?: AbortSignal } = {},
): Promise<void> {
  await verifyFile(path, { sha256: manifest.sha256, size: manifest.size }, options);
}
