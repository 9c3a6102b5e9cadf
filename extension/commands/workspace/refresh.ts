/** `coppice.workspace.refresh`: asks the daemon for the whole list, for those who like to be sure. */
import { workspacesView } from '../../manifest/views.ts';
import type { Services } from '../../services.ts';
import { withViewProgress } from '../progress.ts';

export async function refreshWorkspaces(services: Services): Promise<void> {
  await withViewProgress(workspacesView, async () => {
    const client = await services.daemon.client();
    services.workspaces.replaceAll(await client.call('workspace_list', {}));
  });
}
