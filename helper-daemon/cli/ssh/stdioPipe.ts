/** Our standard input and output as one stream. */
import net from 'node:net';
import { Duplex } from 'node:stream';

/**
 * Writing to process.stdout would block this process while ssh does not read, and with it every other channel of
 * the connection. So the descriptor is opened once more; what is kept in memory is bounded by the channels' windows.
 */
export function stdioPipe(): Duplex {
  const { stdin } = process;
  const output = new net.Socket({ fd: 1, readable: false, writable: true });
  const pipe = new Duplex({
    read() {
      stdin.resume();
    },
    write(chunk: Uint8Array, _encoding, done) {
      output.write(chunk);
      done();
    },
    final(done) {
      output.end(done);
    },
    destroy(error, done) {
      stdin.destroy();
      output.destroy();
      done(error);
    },
  });
  stdin.on('data', (chunk: Uint8Array) => {
    if (!pipe.push(chunk)) stdin.pause();
  });
  stdin.once('end', () => pipe.push(null));
  stdin.once('error', () => pipe.destroy());
  output.once('error', () => pipe.destroy());
  return pipe;
}
