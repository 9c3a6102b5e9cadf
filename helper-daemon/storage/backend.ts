/**
 * Where machines' disks live. A workspace's disk is a head over immutable layers; the tree logic is above
 * this interface and the same for every backend.
 */
export interface DiskImage {
  readonly path: string;
  readonly format: 'qcow2' | 'raw';
}

export interface StorageBackend {
  readonly name: 'qcow2' | 'zfs' | 'reflink';
  /**
   * Makes a writable head over an immutable base.
   * @param sizeBytes size of the disk the machine sees; at least that of the base
   * @throws CoppiceError `no_space`, `invalid_input`
   */
  createHead(input: {
    readonly directory: string;
    readonly id: string;
    readonly base: DiskImage & { readonly virtualBytes: number };
    readonly sizeBytes: number;
  }): Promise<DiskImage>;
  /** The head made by createHead. */
  head(directory: string, id: string): DiskImage;
  /** Bytes the head takes on the host. */
  usedBytes(disk: DiskImage): Promise<number>;
}
