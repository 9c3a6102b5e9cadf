/** What a connection is connected to. */
import type { CoppiceClient } from '../../client/client.ts';

export interface SshTarget {
  readonly client: CoppiceClient;
  readonly workspaceId: string;
  /** Aborted when the connection has ended. */
  readonly ended: AbortSignal;
}
