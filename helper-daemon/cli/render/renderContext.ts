/** What a renderer may know beside the output of its operation. */
import type { Style } from '../text/style.ts';

export interface RenderContext {
  readonly style: Style;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Columns of the terminal; absent where there is none. */
  readonly width?: number;
  /** What the operation was called with. */
  readonly input: Readonly<Record<string, unknown>>;
}
