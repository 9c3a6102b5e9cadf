/**
 * The system calls that Node lacks: memory files, their seals, mappings, and reading another process's
 * memory. Loaded on demand only, so a daemon that never captures does not carry koffi.
 */
import koffi from 'koffi';

const libc = koffi.load('libc.so.6');
const memfdCreateCall = libc.func('int memfd_create(const char *name, unsigned int flags)');
const fcntlCall = libc.func('int fcntl(int fd, int command, int argument)');
const lseekCall = libc.func('int64_t lseek(int fd, int64_t offset, int whence)');
const fallocateCall = libc.func('int fallocate(int fd, int mode, int64_t offset, int64_t length)');
const mmapCall = libc.func(
  'uintptr_t mmap(uintptr_t address, size_t length, int protection, int flags, int fd, int64_t offset)',
);
const munmapCall = libc.func('int munmap(uintptr_t address, size_t length)');
const mkfifoCall = libc.func('int mkfifo(const char *path, unsigned int mode)');
const readvCall = libc.func(
  'int64_t process_vm_readv(int pid, const uint8_t *local, unsigned long localCount, const uint8_t *remote, unsigned long remoteCount, unsigned long flags)',
);

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
const F_GET_SEALS = 1034;
/** F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE: nobody can change it any more, nor these. */
const allSeals = 0xf;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_ANONYMOUS = 0x20;
const mapFailed = 2 ** 64;

/** A system call that failed; `code` is the name of its errno. */
export class SystemCallError extends Error {
  override readonly name = 'SystemCallError';
  readonly code: string;

  constructor(call: string, code: string) {
    super(`${call}: ${code}`);
    this.code = code;
  }
}

export function memfdCreate(name: string): number {
  return checked('memfd_create', memfdCreateCall(name, MFD_CLOEXEC | MFD_ALLOW_SEALING) as number);
}

/** No process can write, punch, shrink or grow the file afterwards. Fails while it is mapped for writing. */
export function sealAll(fd: number): void {
  checked('fcntl', fcntlCall(fd, F_ADD_SEALS, allSeals) as number);
}

/** False also for a descriptor that cannot be sealed at all. */
export function isSealed(fd: number): boolean {
  return (fcntlCall(fd, F_GET_SEALS, 0) as number) === allSeals;
}

export function punchHole(fd: number, offset: number, length: number): void {
  const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  checked('fallocate', fallocateCall(fd, mode, offset, length) as number);
}

/** [start, end) in bytes. */
export type Extent = readonly [number, number];

/** Where the file holds data. Moves the position of this open description. */
export function* dataExtents(fd: number, size: number): Generator<Extent> {
  for (let from = 0; from < size;) {
    const start = Number(lseekCall(fd, from, SEEK_DATA));
    if (start < 0) {
      if (errnoName() === 'ENXIO') return;
      throw new SystemCallError('lseek', errnoName());
    }
    const end = Math.min(size, checked('lseek', Number(lseekCall(fd, start, SEEK_HOLE))));
    if (start >= size) return;
    yield [start, end];
    from = end;
  }
}

/** Part of this process's address space; using the address after `release` is fatal to the process. */
export interface Mapping {
  readonly address: number;
  readonly length: number;
  release(): void;
}

/** Maps a file shared; without `fd` memory of this process alone, which can be written. */
export function mapMemory(fd: number | undefined, length: number, writable: boolean): Mapping {
  const protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
  const flags = fd === undefined ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
  const address = Number(mmapCall(0, length, protection, flags, fd ?? -1, 0));
  if (address >= mapFailed - 4096) throw new SystemCallError('mmap', errnoName());
  let mapped = true;
  return {
    address,
    length,
    release() {
      if (mapped) checked('munmap', munmapCall(address, length) as number);
      mapped = false;
    },
  };
}

/** Most pieces of one call (IOV_MAX). */
export const maxPieces = 1024;

/** Pairs of address and length, as process_vm_readv takes them: struct iovec on 64 bits. */
export class IoVector {
  readonly #words = new Uint32Array(maxPieces * 4);
  #count = 0;
  #bytes = 0;

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get buffer(): Uint8Array {
    return new Uint8Array(this.#words.buffer);
  }

  push(address: number, length: number): void {
    const at = this.#count * 4;
    this.#words[at] = address % 2 ** 32;
    this.#words[at + 1] = Math.floor(address / 2 ** 32);
    this.#words[at + 2] = length % 2 ** 32;
    this.#words[at + 3] = Math.floor(length / 2 ** 32);
    this.#count += 1;
    this.#bytes += length;
  }
}

/**
 * Copies from another process (or this one) into this one in a thread of the pool; resolves with the
 * bytes copied, less than asked for where the other memory ends, -1 where nothing could be read.
 */
export function readProcess(pid: number, local: IoVector, remote: IoVector): Promise<number> {
  return new Promise((resolve, reject) => {
    inFlight.add(local).add(remote);
    readvCall.async(
      pid,
      local.buffer,
      local.count,
      remote.buffer,
      remote.count,
      0,
      (error: Error | null | undefined, copied: number | bigint) => {
        inFlight.delete(local);
        inFlight.delete(remote);
        if (error !== null && error !== undefined) reject(error);
        else resolve(Number(copied));
      },
    );
  });
}

/** The call reads them in another thread: they must not be collected before it is over. */
const inFlight = new Set<IoVector>();

/** Why this process may not read another one at this address; undefined: it may. */
export function readProblem(pid: number, address: number): string | undefined {
  const bytes = Buffer.alloc(8);
  const local = mapMemory(undefined, 4096, true);
  try {
    const from = new IoVector();
    const to = new IoVector();
    from.push(address, bytes.length);
    to.push(local.address, bytes.length);
    const copied = Number(readvCall(pid, to.buffer, 1, from.buffer, 1, 0));
    return copied === bytes.length ? undefined : errnoName();
  } finally {
    local.release();
  }
}

/** Without starting a program, which takes five milliseconds. */
export function makeFifo(file: string, mode: number): void {
  checked('mkfifo', mkfifoCall(file, mode) as number);
}

function checked(call: string, result: number): number {
  if (result < 0) throw new SystemCallError(call, errnoName());
  return result;
}

function errnoName(): string {
  const errno = koffi.errno();
  const name = Object.entries(koffi.os.errno).find(([, value]) => value === errno)?.[0];
  return name ?? `error ${String(errno)}`;
}
