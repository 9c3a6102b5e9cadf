/** `coppice.daemon.retry`: connects again and starts the daemon when it is not running. */
import { workspacesView } from '../../manifest/views.ts';
import type { Services } from '../../services.ts';
import { withViewProgress } from '../progress.ts';

export async function retryConnection(services: Services): Promise<void> {
  await withViewProgress(workspacesView, async () => {
    await services.daemon.reconnect();
  });
}
