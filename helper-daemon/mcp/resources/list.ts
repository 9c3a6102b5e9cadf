/** resources/list and resources/templates/list. */
import type {
  ListResourcesResult,
  Resource,
  ResourceTemplateType,
} from '@modelcontextprotocol/server';
import type { OutputOf } from '../../../protocol/operations.ts';
import { auditUri, workspacesUri, workspaceUri } from './uris.ts';

const perPage = 200;
const json = 'application/json';

/** @param cursor name of the last workspace of the page before */
export function listResources(
  workspaces: OutputOf<'workspace_list'>,
  withAudit: boolean,
  cursor?: string,
): ListResourcesResult {
  const rest = [...workspaces]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .filter(({ name }) => cursor === undefined || name > cursor);
  const page = rest.slice(0, perPage);
  const last = page.at(-1);
  return {
    resources: [
      ...(cursor === undefined ? fixed(withAudit) : []),
      ...page.map(({ name, state, base_image }) => ({
        uri: workspaceUri(name),
        name,
        title: `Workspace ${name}`,
        description: `${state}, from ${base_image}`,
        mimeType: json,
      })),
    ],
    ...(last === undefined || rest.length <= perPage ? {} : { nextCursor: last.name }),
  };
}

function fixed(withAudit: boolean): Resource[] {
  const audit: Resource = {
    uri: auditUri,
    name: 'audit',
    title: 'Audit',
    description: 'Who changed what, newest first',
    mimeType: json,
  };
  return [
    {
      uri: workspacesUri,
      name: 'workspaces',
      title: 'All workspaces',
      description: 'Every machine with its state; says when it changes',
      mimeType: json,
    },
    ...(withAudit ? [audit] : []),
  ];
}

export const resourceTemplates: readonly ResourceTemplateType[] = [
  {
    uriTemplate: `${workspacesUri}/{name}`,
    name: 'workspace',
    title: 'A workspace',
    description: 'Everything known about a machine, by name or id; says when it changes',
    mimeType: json,
  },
  {
    uriTemplate: `${workspacesUri}/{name}/logs`,
    name: 'logs',
    title: 'Console of a workspace',
    description: 'The last 1,000 lines of what it wrote on its console',
    mimeType: 'text/plain',
  },
  {
    uriTemplate: `${workspacesUri}/{name}/snapshots`,
    name: 'snapshots',
    title: 'Snapshot tree of a workspace',
    description: 'Its snapshots with parents and sizes; says when it changes',
    mimeType: json,
  },
  {
    uriTemplate: `${workspacesUri}/{name}/files/{+path}`,
    name: 'files',
    title: 'Files of a workspace',
    description: 'A file of at most 4 MiB, or the entries of a directory; the machine must run',
  },
];
