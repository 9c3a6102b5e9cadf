/**
 * Reads a guest's memory with the monitor's help, where this process may not read it itself: after a restart
 * of the daemon in user mode the machine is no child of it any more, and Yama allows only that.
 */
import fs from 'node:fs';
import type { PageReader } from '../memory/memoryCopy.ts';
import { pageRuns, type PageRun } from '../memory/pageSet.ts';
import { takeFile } from './monitorFiles.ts';
import type { Qmp } from './qmp.ts';

/** Bytes of one file at most; the monitor does nothing else while it writes one. */
const spanBytes = 16 * 1024 * 1024;
/** Pages in between are written in vain where that is cheaper than another command. */
const gapBytes = 256 * 1024;
/** Where memory that does not fit below the devices continues, in guest-physical addresses. */
const highMemory = 4 * 2 ** 30;
const saveMs = 60_000;

export interface MonitorMemory {
  readonly qmp: Qmp;
  readonly runDir: string;
  /** Bytes of memory below the devices. */
  readonly lowMemoryBytes: number;
}

export function monitorReader({ qmp, runDir, lowMemoryBytes }: MonitorMemory): PageReader {
  return async (pages, fd) => {
    for (const runs of spans(pageRuns(pages, spanBytes), lowMemoryBytes)) {
      const start = runs[0]?.offset ?? 0;
      const last = runs.at(-1);
      const size = last === undefined ? 0 : last.offset + last.length - start;
      const val = start < lowMemoryBytes ? start : start - lowMemoryBytes + highMemory;
      const bytes = await takeFile(runDir, size, (filename) =>
        qmp.execute('pmemsave', { val, size, filename }, saveMs),
      );
      for (const { offset, length } of runs) {
        fs.writeSync(fd, bytes, offset - start, length, offset);
      }
    }
  };
}

/** Neighbouring runs together, never across the end of low memory. */
function* spans(runs: Iterable<PageRun>, boundary: number): Generator<readonly PageRun[]> {
  let span: PageRun[] = [];
  for (const run of cutAt(runs, boundary)) {
    const start = span[0]?.offset ?? run.offset;
    const previous = span.at(-1);
    const end = previous === undefined ? run.offset : previous.offset + previous.length;
    const tooLong = run.offset + run.length - start > spanBytes;
    const across = start < boundary && run.offset >= boundary;
    if (span.length > 0 && (tooLong || across || run.offset - end > gapBytes)) {
      yield span;
      span = [];
    }
    span.push(run);
  }
  if (span.length > 0) yield span;
}

function* cutAt(runs: Iterable<PageRun>, boundary: number): Generator<PageRun> {
  for (const { offset, length } of runs) {
    if (offset < boundary && offset + length > boundary) {
      yield { offset, length: boundary - offset };
      yield { offset: boundary, length: offset + length - boundary };
    } else yield { offset, length };
  }
}
