/** What a renderer may know beside the output of its operation. */
import type { OutputOf } from '../../../protocol/operations.ts';
import type { Glyphs } from '../text/glyphs.ts';
import type { Style } from '../text/style.ts';

export interface RenderContext {
  readonly style: Style;
  readonly glyphs: Glyphs;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Columns of the terminal; absent where there is none. */
  readonly width?: number;
  /** What the operation was called with. */
  readonly input: Readonly<Record<string, unknown>>;
  /** The machine's snapshots before the call, where what is said about it needs them. */
  readonly tree?: OutputOf<'snapshot_list'>;
}
