/** Moves pages between address spaces. */
import { CoppiceError } from '../../../protocol/errors.ts';
import { IoVector, maxPieces, readProcess } from './libc.ts';
import { pageRuns, type PageSet } from './pageSet.ts';

/** Bytes of one system call: short enough that a copy soon notices that the machine is gone. */
const batchBytes = 8 * 1024 * 1024;
/** Copies at the same time; a host with two cores gains from a second one. */
const workers = 2;

/** Copies `pages` of process `pid` (or this one), whose memory begins at `from`, to `to` in this process. */
export async function copyPages(
  pid: number,
  from: number,
  to: number,
  pages: PageSet,
): Promise<void> {
  const batches = batchesOf(from, to, pages);
  const work = async (): Promise<void> => {
    for (const { local, remote } of batches) {
      const copied = await readProcess(pid, local, remote);
      if (copied !== local.bytes) throw unreadable(pid);
    }
  };
  // All of them end before the caller may unmap what they copy into.
  const results = await Promise.allSettled(Array.from({ length: workers }, work));
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

function* batchesOf(
  from: number,
  to: number,
  pages: PageSet,
): Generator<{ readonly local: IoVector; readonly remote: IoVector }> {
  let local = new IoVector();
  let remote = new IoVector();
  for (const { offset, length } of pageRuns(pages, batchBytes)) {
    if (local.count === maxPieces || local.bytes + length > batchBytes) {
      yield { local, remote };
      local = new IoVector();
      remote = new IoVector();
    }
    local.push(to + offset, length);
    remote.push(from + offset, length);
  }
  if (local.count > 0) yield { local, remote };
}

function unreadable(pid: number): CoppiceError {
  return new CoppiceError({
    code: 'internal',
    message: `The memory of process ${String(pid)} could not be read: it may have ended meanwhile.`,
  });
}
