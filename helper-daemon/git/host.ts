/** Where a repository is: what git tools and merges need of a machine. Paths are absolute ones there. */

export interface HostCommand {
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** For standard input, at most 1 MiB. */
  readonly input?: Uint8Array;
  /** Everything it started is killed then. */
  readonly timeoutMs: number;
  /** Bytes to keep of each end of an output stream, at most 4 MiB. */
  readonly keepBytes: number;
  /** Goes on to its end although the caller or the daemon goes away; a name to find it by. Takes no input. */
  readonly durable?: string;
  /** Account to run as; root when absent. */
  readonly user?: string;
}

export interface HostOutput {
  /** All of it, or its beginning. */
  readonly bytes: Buffer;
  readonly truncated: boolean;
}

export interface HostResult {
  /** -1 when a signal or the time limit ended it. */
  readonly exitCode: number;
  readonly timedOut: boolean;
  readonly stdout: HostOutput;
  readonly stderr: HostOutput;
}

export interface HostFile {
  readonly kind: 'file' | 'directory' | 'other';
  readonly size: number;
  readonly uid: number;
}

export interface GitHost {
  /** For messages. */
  readonly name: string;
  /** @throws CoppiceError `not_started`, `cancelled` and what the machine says */
  run(command: HostCommand): Promise<HostResult>;
  /** Waits for the end of durable commands of that name that nobody waits for any more, and forgets them. */
  settle(durable: string): Promise<void>;
  /** Undefined where there is nothing. Follows symlinks. */
  stat(path: string): Promise<HostFile | undefined>;
  /** Names in a directory. */
  list(path: string): Promise<string[]>;
  /** With its parents. */
  makeDirectory(path: string, uid: number): Promise<void>;
  /** Whatever it is, with all in it; nothing where there is nothing. */
  remove(path: string): Promise<void>;
  read(path: string): AsyncIterable<Uint8Array>;
  /** A file of `size` bytes that is not there before the last of them. */
  write(path: string, chunks: AsyncIterable<Uint8Array>, size: number, uid: number): Promise<void>;
}
