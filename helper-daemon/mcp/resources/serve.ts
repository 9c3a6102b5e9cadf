/** The requests about resources. */
import {
  ProtocolError,
  ProtocolErrorCode,
  ResourceNotFoundError,
  type McpServer,
  type ServerContext,
} from '@modelcontextprotocol/server';
import { asCoppiceError, type ErrorCode } from '../../../protocol/errors.ts';
import type { DaemonLink } from '../daemonLink.ts';
import { listResources, resourceTemplates } from './list.ts';
import { readResource } from './read.ts';
import { parseUri, type ResourceRef } from './uris.ts';
import { watchResources } from './watch.ts';

/** Kinds that the daemon has events for. */
const announced: ReadonlySet<ResourceRef['kind']> = new Set([
  'workspaces',
  'workspace',
  'snapshots',
  'audit',
]);

const absent: ReadonlySet<ErrorCode> = new Set(['not_found', 'file_not_found']);

/** Bounds what one client can make us remember. */
const subscriptionLimit = 1000;

/**
 * @param watching whether this server tells its client of changes itself; else whoever made it does
 */
export function serveResources(
  { server }: McpServer,
  linkOf: (context: ServerContext) => DaemonLink,
  watching: boolean,
): void {
  const subscribed = new Set<string>();
  let listed = false;
  let watched: Promise<void> | undefined;

  async function watch(link: DaemonLink): Promise<void> {
    if (!watching) return;
    watched ??= watchResources(link, {
      wants: (uri) => subscribed.has(uri),
      updated: (uri) => void server.sendResourceUpdated({ uri }).catch(() => undefined),
      listChanged() {
        if (listed) void server.sendResourceListChanged().catch(() => undefined);
      },
    });
    await watched;
  }

  server.setRequestHandler('resources/list', async ({ params }, context) => {
    const link = linkOf(context);
    const { capabilities } = (await link.client(context.mcpReq.signal)).server;
    listed = true;
    await watch(link);
    const workspaces = await link.call('workspace_list', {}, { signal: context.mcpReq.signal });
    return listResources(workspaces, capabilities.includes('audit_list'), params?.cursor);
  });
  server.setRequestHandler('resources/templates/list', () => ({
    resourceTemplates: [...resourceTemplates],
  }));
  server.setRequestHandler('resources/read', async ({ params: { uri } }, context) => {
    const ref = refOf(uri);
    try {
      return await readResource(uri, ref, linkOf(context), context.mcpReq.signal);
    } catch (error) {
      throw toProtocolError(uri, error);
    }
  });
  server.setRequestHandler('resources/subscribe', async ({ params: { uri } }, context) => {
    if (!announced.has(refOf(uri).kind)) {
      throw new ProtocolError(
        ProtocolErrorCode.InvalidParams,
        `${uri} does not say when it changes; read it again instead.`,
      );
    }
    if (subscribed.size >= subscriptionLimit && !subscribed.has(uri)) {
      throw new ProtocolError(
        ProtocolErrorCode.InvalidRequest,
        `There are already ${String(subscriptionLimit)} subscriptions; end some of them.`,
      );
    }
    subscribed.add(uri);
    await watch(linkOf(context));
    return {};
  });
  server.setRequestHandler('resources/unsubscribe', ({ params: { uri } }) => {
    subscribed.delete(uri);
    return {};
  });
}

function refOf(uri: string): ResourceRef {
  const ref = parseUri(uri);
  if (ref === undefined) throw new ResourceNotFoundError(uri.slice(0, 256));
  return ref;
}

function toProtocolError(uri: string, error: unknown): ProtocolError {
  const body = asCoppiceError(error).toBody();
  const message = body.next === undefined ? body.message : `${body.message} ${body.next}`;
  if (absent.has(body.code)) return new ResourceNotFoundError(uri, message);
  const code =
    body.code === 'internal' ? ProtocolErrorCode.InternalError : ProtocolErrorCode.InvalidRequest;
  return new ProtocolError(code, message, body);
}
