/** What is known about an image file; kept beside it. */
import type { Json } from './contentCache.ts';

export interface ImageManifest {
  readonly version: 1;
  readonly name: string;
  /** Of the qcow2 file. */
  readonly sha256: string;
  readonly size: number;
  /** Size of the disk the guest sees, in bytes. */
  readonly virtualSize: number;
  /** Where it came from: recipe and packages, or the imported source. */
  readonly provenance: Readonly<Record<string, Json>>;
}

export interface ImageResult {
  /** Absolute path of the qcow2 file. */
  readonly path: string;
  readonly manifest: ImageManifest;
}
