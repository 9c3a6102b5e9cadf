/** How long work tells its caller where it is. */
export interface Progress {
  /** What is being done, as a person would say it. */
  readonly step: string;
  readonly detail?: string;
  /** From 0 to 1, where it can be estimated. */
  readonly fraction?: number;
}

export type OnProgress = (progress: Progress) => void;

export interface WorkOptions {
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/** The signal as an optional field, for callees with exact optional properties. */
export function signalOf(options: WorkOptions): { readonly signal?: AbortSignal } {
  return options.signal === undefined ? {} : { signal: options.signal };
}
