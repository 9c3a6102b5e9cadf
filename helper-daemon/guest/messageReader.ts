/** Cuts the body of a gRPC stream into messages: flag (1 byte), length (4 bytes, big-endian), message. */

/** Largest message accepted from a guest. */
const messageLimit = 4 * 1024 * 1024;

const smallMessage = 1024;

class MessageError extends Error {
  override readonly name = 'MessageError';
}

export class MessageReader {
  #header = Buffer.alloc(5);
  #headerLength = 0;
  /** Set once the header is whole; the message is collected in it unless one chunk holds it all. */
  #body: Buffer | undefined;
  #bodyLength = 0;
  #wanted = 0;

  /** @throws MessageError when the stream cannot be understood any further */
  push(chunk: Buffer, deliver: (message: Buffer) => void): void {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#headerLength < 5) {
        const taken = Math.min(5 - this.#headerLength, rest.length);
        rest.copy(this.#header, this.#headerLength, 0, taken);
        this.#headerLength += taken;
        rest = rest.subarray(taken);
        if (this.#headerLength < 5) return;
        this.#begin();
        if (this.#wanted === 0) {
          this.#headerLength = 0;
          deliver(Buffer.alloc(0));
          continue;
        }
        if (rest.length === 0) return;
      }
      if (this.#bodyLength === 0 && rest.length >= this.#wanted) {
        const view = rest.subarray(0, this.#wanted);
        // A small view would keep the whole chunk in memory for as long as somebody keeps it.
        const message = view.length <= smallMessage ? Buffer.from(view) : view;
        rest = rest.subarray(this.#wanted);
        this.#headerLength = 0;
        deliver(message);
        continue;
      }
      rest = this.#collect(rest, deliver);
    }
  }

  /** True when the stream stopped between two messages. */
  get atBoundary(): boolean {
    return this.#headerLength === 0;
  }

  #begin(): void {
    const flag = this.#header[0];
    this.#wanted = this.#header.readUInt32BE(1);
    this.#bodyLength = 0;
    if (flag !== 0) throw new MessageError('it sent a compressed message, which nobody asked for');
    if (this.#wanted > messageLimit) {
      throw new MessageError(`it announced a message of ${String(this.#wanted)} bytes`);
    }
  }

  #collect(rest: Buffer, deliver: (message: Buffer) => void): Buffer {
    // Memory that is announced but never sent is never touched, so it costs nothing.
    this.#body ??= Buffer.allocUnsafeSlow(this.#wanted);
    const taken = Math.min(this.#wanted - this.#bodyLength, rest.length);
    rest.copy(this.#body, this.#bodyLength, 0, taken);
    this.#bodyLength += taken;
    if (this.#bodyLength === this.#wanted) {
      const message = this.#body;
      this.#body = undefined;
      this.#bodyLength = 0;
      this.#headerLength = 0;
      deliver(message);
    }
    return rest.subarray(taken);
  }
}
