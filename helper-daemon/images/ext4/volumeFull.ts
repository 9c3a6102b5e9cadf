/** Thrown when content does not fit into the file system being filled; the caller starts over with a larger one. */
export class VolumeFull extends Error {
  override readonly name = 'VolumeFull';
}
