/** Files of a `coppice run`, in before the command and out after it. */
import { mkdirSync } from 'node:fs';
import { CoppiceError } from '../../../protocol/errors.ts';
import type { CoppiceClient } from '../../client/client.ts';
import type { CliContext } from '../context.ts';
import { downloadTree } from '../transfer/download.ts';
import { hostFileError } from '../transfer/freeSpace.ts';
import { transferProgress } from '../transfer/progress.ts';
import { uploadTree } from '../transfer/upload.ts';
import { reportLeftOut } from './cp.ts';
import type { CopyPair } from './runPlan.ts';

export interface CopiedOut {
  readonly from: string;
  readonly to: string;
  readonly files: number;
  readonly bytes: number;
}

export async function copyIn(
  client: CoppiceClient,
  machine: string,
  { host, guest }: CopyPair,
  context: CliContext,
): Promise<void> {
  const progress = transferProgress(context, `${host} → ${guest}`);
  try {
    await uploadTree(client, machine, host, guest, {
      signal: context.signal,
      onBytes: progress.bytes,
    });
  } finally {
    progress.stop();
  }
}

/** The host directory exists afterwards, also when the machine made nothing. */
export async function copyOut(
  client: CoppiceClient,
  machine: string,
  { host, guest }: CopyPair,
  context: CliContext,
): Promise<CopiedOut> {
  try {
    mkdirSync(host, { recursive: true });
  } catch (error) {
    throw hostFileError(error, host);
  }
  const progress = transferProgress(context, `${guest} → ${host}`);
  try {
    const counts = await downloadTree(client, machine, guest, host, {
      signal: context.signal,
      onBytes: progress.bytes,
    });
    progress.stop();
    reportLeftOut(counts.outsideLinks, counts.outsideExamples, context);
    return { from: guest, to: host, files: counts.files, bytes: counts.bytes };
  } catch (error) {
    if (!(error instanceof CoppiceError) || error.code !== 'file_not_found') throw error;
    context.note(`coppice: there is no ${guest} in the machine; nothing was copied out.`);
    return { from: guest, to: host, files: 0, bytes: 0 };
  } finally {
    progress.stop();
  }
}
