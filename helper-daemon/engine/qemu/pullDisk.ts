/** Copies what stands between a machine's disk and a file below it into that disk, while it runs. */
import { randomUUID } from 'node:crypto';
import { CoppiceError } from '../../../protocol/errors.ts';
import { currentDisk, findBelow } from './diskNodes.ts';
import type { Qmp, QmpEvent } from './qmp.ts';

/** Calls back for every event of the monitor, and with undefined once none will come any more. */
export type WatchEvents = (listener: (event: QmpEvent | undefined) => void) => () => void;

/** @throws CoppiceError `invalid_input`, `cancelled`, `no_space`, `command_failed`, `internal` */
export async function pullDisk(
  qmp: Qmp,
  watch: WatchEvents,
  base: string,
  signal: AbortSignal,
): Promise<void> {
  const current = await currentDisk(qmp);
  const baseNode = await findBelow(qmp, base);
  if (current === undefined || baseNode === undefined || baseNode === current.nodeName) {
    throw new CoppiceError({
      code: 'invalid_input',
      message: `The disk of the machine does not stand on ${base}.`,
    });
  }
  if (signal.aborted) throw cancelled();
  const job = `pull-${randomUUID()}`;
  const ended = jobEnd(watch, job);
  const cancel = (): void => {
    qmp.execute('block-job-cancel', { device: job, force: true }).catch(() => undefined);
  };
  try {
    await qmp.execute('block-stream', {
      'job-id': job,
      device: current.nodeName,
      'base-node': baseNode,
      'backing-file': base,
      // The guest's own accesses come first; a full host disk ends the job, not the machine.
      'on-error': 'report',
    });
    if (signal.aborted) cancel();
    else signal.addEventListener('abort', cancel, { once: true });
    await ended.promise;
  } finally {
    signal.removeEventListener('abort', cancel);
    ended.forget();
  }
}

function jobEnd(
  watch: WatchEvents,
  job: string,
): { readonly promise: Promise<void>; readonly forget: () => void } {
  let forget = (): void => undefined;
  const promise = new Promise<void>((resolve, reject) => {
    forget = watch((event) => {
      if (event === undefined) reject(failed('the machine ended'));
      else if (event.data['device'] !== job) return;
      else if (event.event === 'BLOCK_JOB_CANCELLED') reject(cancelled());
      else if (event.event === 'BLOCK_JOB_COMPLETED') {
        const { error } = event.data;
        if (typeof error === 'string') reject(failed(error.slice(0, 500)));
        else resolve();
      }
    });
  });
  promise.catch(() => undefined);
  return { promise, forget: () => forget() };
}

function cancelled(): CoppiceError {
  return new CoppiceError({
    code: 'cancelled',
    message: 'Flattening the disk was cancelled; the disk is as sound as before.',
  });
}

function failed(why: string): CoppiceError {
  return new CoppiceError({
    code: why.includes('No space left') ? 'no_space' : 'command_failed',
    message: `Flattening the disk stopped: ${why}. The disk is as sound as before.`,
  });
}
