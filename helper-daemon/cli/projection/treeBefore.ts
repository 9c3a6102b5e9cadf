/** What must be seen before a call so that its outcome can be told in full afterwards. */
import type { OperationName } from '../../../protocol/operations.ts';
import type { CoppiceClient } from '../../client/client.ts';
import type { RenderContext } from '../render/renderContext.ts';

/** A restore names what it gives up; a call that will fail says why by itself. */
export async function treeBefore(
  name: OperationName,
  input: Readonly<Record<string, unknown>>,
  client: CoppiceClient,
): Promise<Pick<RenderContext, 'tree'>> {
  if (name !== 'snapshot_restore') return {};
  try {
    const machine = String(input['workspace_id']);
    return { tree: await client.call('snapshot_list', { workspace_id: machine }) };
  } catch {
    return {};
  }
}
