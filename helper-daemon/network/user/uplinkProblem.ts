/** Whether machines could leave this host, found out by trying: passt is started and asked for an address. */
import { parseIpv4 } from '../../../protocol/networkTarget.ts';
import { asCoppiceError, CoppiceError } from '../../../protocol/errors.ts';
import { boundSocket, spawnBound, type BoundProcess } from '../../system/run.ts';
import { macOf, type AddressPlan } from '../addressPlan.ts';
import { createFrameSocket } from './frameSocket.ts';
import { macFromText } from './packet.ts';
import { arpRequest, lengthPrefix } from './replies.ts';
import { endText, passtArguments } from './uplink.ts';

const answerMs = 10_000;

/** What is missing, and what to do about it; undefined: nothing. Takes as long as passt takes to start. */
export async function findUplinkProblem(
  plan: AddressPlan,
  program: string,
): Promise<string | undefined> {
  const address = plan.free(new Set());
  let process: BoundProcess;
  try {
    process = spawnBound(program, passtArguments(plan, address, boundSocket));
  } catch (error) {
    if (error instanceof CoppiceError && error.code === 'prerequisite_missing') {
      return `The program ${program} is not installed (apt-get install passt).`;
    }
    return asCoppiceError(error).message;
  }
  const answered = new Promise<undefined>((resolve) => {
    const frames = createFrameSocket(process.socket, {
      onFrame: () => resolve(undefined),
      onBatchEnd: () => undefined,
      onDrain: () => undefined,
      onClosed: () => undefined,
    });
    const hop = { from: macFromText(macOf(address)), to: { high: 0xffff_ffff, low: 0xffff } };
    const question = arpRequest(hop, parseIpv4(address) ?? 0, parseIpv4(plan.gateway) ?? 0);
    frames.pass(question, lengthPrefix, question.length);
  });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(`${program} does not answer.`), answerMs);
  });
  const ended = process.exited.then((end) => `${endText(program, end)}.`);
  try {
    return await Promise.race([answered, ended, late]);
  } finally {
    clearTimeout(timer);
    await process.end();
  }
}
