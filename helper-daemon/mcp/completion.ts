/** completion/complete: names of workspaces, wherever one is asked for. */
import type { CompleteRequest, CompleteResult } from '@modelcontextprotocol/server';
import type { DaemonLink } from './daemonLink.ts';
import { prompts } from './prompts/catalogue.ts';
import { resourceTemplates } from './resources/list.ts';

/** What the protocol allows in one answer. */
const most = 100;

export async function complete(
  { ref, argument }: CompleteRequest['params'],
  link: () => DaemonLink,
  signal: AbortSignal,
): Promise<CompleteResult> {
  const namesWorkspace =
    ref.type === 'ref/resource'
      ? argument.name === 'name' &&
        resourceTemplates.some(({ uriTemplate }) => uriTemplate === ref.uri)
      : prompts
          .find(({ name }) => name === ref.name)
          ?.arguments.find(({ name }) => name === argument.name)?.workspace === true;
  if (!namesWorkspace) return { completion: { values: [] } };
  const workspaces = await link().call('workspace_list', {}, { signal });
  const names = workspaces
    .map(({ name }) => name)
    .filter((name) => name.startsWith(argument.value))
    .sort();
  return {
    completion: { values: names.slice(0, most), total: names.length, hasMore: names.length > most },
  };
}
