/** What is asked of qemu-img. Every file given here has had its header looked at before. */
import { CoppiceError } from '../../protocol/errors.ts';
import { run } from '../system/run.ts';
import type { DiskImage } from './backend.ts';

/** A check of a damaged file must come to an end. */
const checkTimeoutMs = 600_000;

/** `qemu-img check` exits with this when space is lost but nothing is wrong. */
const onlyLeaks = 3;

/** What is wrong with the structure of a qcow2 file; undefined when it is sound. */
export async function imageDamage(file: string): Promise<string | undefined> {
  try {
    await run('qemu-img', ['check', '-q', '-f', 'qcow2', file], { timeout: checkTimeoutMs });
    return undefined;
  } catch (error) {
    if (!(error instanceof CoppiceError) || error.code !== 'command_failed') throw error;
    if (error.details?.['exitCode'] === onlyLeaks) return undefined;
    return error.message.split('\n').slice(1, 6).join('; ') || error.message;
  }
}

/**
 * Makes a qcow2 file stand on `base` and copies into it what differs between that and what it stands on now,
 * so that its content stays the same. Each write is flushed before the header changes: a power cut in the
 * middle leaves a whole file on the old base.
 */
export async function rebase(file: string, base: DiskImage): Promise<void> {
  const args = ['rebase', '-q', '-t', 'writethrough', '-f', 'qcow2'];
  await run('qemu-img', [...args, '-F', base.format, '-b', base.path, file]);
}

/**
 * Writes the whole content of `from` into `to`, which is made unless `intoEmpty` says that it is there
 * and reads as zeros: those are not written then, which on some storages would take space.
 */
export async function convert(
  from: DiskImage,
  to: DiskImage,
  options: { readonly intoEmpty?: boolean } = {},
): Promise<void> {
  await run('qemu-img', [
    ...['convert', '-q', ...(options.intoEmpty === true ? ['-n', '--target-is-zero'] : [])],
    ...['-f', from.format, '-O', to.format, from.path, to.path],
  ]);
}

/** Grows a disk that nothing uses. */
export async function resize(file: DiskImage, sizeBytes: number): Promise<void> {
  await run('qemu-img', ['resize', '-q', '-f', file.format, file.path, String(sizeBytes)]);
}

/** Writes what a qcow2 file holds into the file it stands on. */
export async function commitInto(file: string): Promise<void> {
  await run('qemu-img', ['commit', '-q', '-d', '-f', 'qcow2', file]);
}
