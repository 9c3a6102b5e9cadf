/** Ctrl-C goes to the command; a second one gives up on it. */
import type { ByteStream } from '../../client/byteStream.ts';
import { signalNumbers, type EndSignal, type Signals } from '../signals.ts';

export interface SignalRelay {
  /** The signal that gave up, once one did. */
  readonly gaveUp: () => EndSignal | undefined;
  release(): void;
}

export function relaySignals(signals: Signals, stream: ByteStream): SignalRelay {
  let relayed = false;
  let gaveUp: EndSignal | undefined;
  const release = signals.take((name) => {
    if (relayed) {
      gaveUp = name;
      stream.destroy();
      return;
    }
    relayed = true;
    stream.control({ signal: signalNumbers[name] });
  });
  return { gaveUp: () => gaveUp, release };
}
