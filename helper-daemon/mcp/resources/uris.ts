/** The addresses of resources. */

export type ResourceRef =
  | { readonly kind: 'workspaces' | 'audit' }
  | { readonly kind: 'workspace' | 'logs' | 'snapshots'; readonly workspace: string }
  | { readonly kind: 'file'; readonly workspace: string; readonly path: string };

export const workspacesUri = 'coppice://workspaces';
export const auditUri = 'coppice://audit';

/** @param workspace name or id */
export function workspaceUri(workspace: string, part?: 'logs' | 'snapshots'): string {
  return `${workspacesUri}/${workspace}${part === undefined ? '' : `/${part}`}`;
}

const below = /^coppice:\/\/workspaces\/([A-Za-z0-9._-]+)(?:\/(logs|snapshots|files\/(.*)))?$/s;

/** Undefined: there is no such resource. */
export function parseUri(uri: string): ResourceRef | undefined {
  if (uri === workspacesUri) return { kind: 'workspaces' };
  if (uri === auditUri) return { kind: 'audit' };
  const [, workspace, part, rawPath] = below.exec(uri) ?? [];
  if (workspace === undefined) return undefined;
  if (part === undefined) return { kind: 'workspace', workspace };
  if (part === 'logs' || part === 'snapshots') return { kind: part, workspace };
  const path = decoded(rawPath ?? '');
  return path === undefined
    ? undefined
    : // Both files/etc/hosts and files//etc/hosts are what people write.
      { kind: 'file', workspace, path: `/${path.replace(/^\/+/, '')}` };
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
