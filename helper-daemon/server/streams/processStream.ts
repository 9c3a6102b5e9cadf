/** A process stream: the client's frames become input of the guest's Open call and the reverse. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { asCoppiceError, CoppiceError } from '../../../protocol/errors.ts';
import { terminalSize } from '../../../protocol/operations/process.ts';
import { frameType, type Frame } from '../../../protocol/stream.ts';
import * as z from 'zod';
import { toCoppiceError } from '../../guest/errors.ts';
import type { ProcessInputSchema } from '../../guest/gen/coppice/guest/v1/guest_pb.js';
import type { GuestClients } from '../../guest/guestLink.ts';
import { exitResult } from '../handlers/exitResult.ts';
import type { StreamHandler } from '../tickets.ts';
import { frameSocket, type FrameSocket } from './frameSocket.ts';

type Input = MessageInitShape<typeof ProcessInputSchema>;
type First =
  | { readonly start: Extract<NonNullable<Input['input']>, { case: 'start' }>['value'] }
  | { readonly attach: Extract<NonNullable<Input['input']>, { case: 'attach' }>['value'] };

const control = z.union([
  z.object({ resize: terminalSize }),
  z.object({ signal: z.int().min(1).max(64) }),
]);

export function serveProcess(process: GuestClients['process'], first: First): StreamHandler {
  return (socket) => {
    const frames = frameSocket(socket);
    const opening: Input =
      'start' in first
        ? { input: { case: 'start', value: first.start } }
        : { input: { case: 'attach', value: first.attach } };
    forward(process, opening, frames).catch((error: unknown) => frames.fail(error));
  };
}

async function forward(
  process: GuestClients['process'],
  opening: Input,
  frames: FrameSocket,
): Promise<void> {
  const stop = new AbortController();
  const signal = AbortSignal.any([frames.gone, stop.signal]);
  let inputProblem: CoppiceError | undefined;
  async function* inputs(): AsyncGenerator<Input> {
    yield opening;
    try {
      for await (const frame of frames.frames()) yield toInput(frame);
    } catch (error) {
      inputProblem = asCoppiceError(error);
      stop.abort();
    }
    // A client that has gone away ends the call through `gone`; returning here would only close stdin.
  }
  try {
    for await (const { output } of process.open(inputs(), { signal })) {
      switch (output.case) {
        case 'started':
          await frames.sendJson(frameType.started, {
            job_id: Number(output.value.processId),
            pid: output.value.pid,
          });
          break;
        case 'stdout':
          await frames.send(frameType.data, output.value.data);
          break;
        case 'stderr':
          await frames.send(frameType.stderr, output.value.data);
          break;
        case 'exited':
          frames.finish(exitResult(output.value));
          return;
        case undefined:
          break;
      }
    }
  } catch (error) {
    throw inputProblem ?? toCoppiceError(error);
  }
  throw new CoppiceError({
    code: 'outcome_unknown',
    message: 'The machine closed the stream without saying how the process ended.',
    next: 'Look at the jobs of the machine (coppice jobs list).',
  });
}

function toInput(frame: Frame): Input {
  switch (frame.type) {
    case frameType.data:
      return { input: { case: 'stdin', value: frame.payload } };
    case frameType.end:
      return { input: { case: 'closeStdin', value: {} } };
    case frameType.control: {
      const message = control.parse(JSON.parse(Buffer.from(frame.payload).toString('utf8')));
      return 'resize' in message
        ? { input: { case: 'resize', value: message.resize } }
        : { input: { case: 'signal', value: message.signal } };
    }
    default:
      throw new CoppiceError({
        code: 'invalid_input',
        message: `A frame of type ${String(frame.type)} has no meaning in a process stream.`,
      });
  }
}
