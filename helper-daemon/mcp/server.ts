/** One MCP server: what it offers, over whatever transport. */
import { McpServer, ProtocolError, ProtocolErrorCode } from '@modelcontextprotocol/server';
import type { ServerContext } from '@modelcontextprotocol/server';
import { tools as allTools } from '../../protocol/tools.ts';
import { version } from '../system/version.ts';
import type { DaemonLink } from './daemonLink.ts';
import { clientNameIn } from './clientName.ts';
import { instructions } from './instructions.ts';
import { complete } from './completion.ts';
import { servePrompts } from './prompts/serve.ts';
import { serveResources } from './resources/serve.ts';
import { callTool } from './toolCall.ts';
import { describeTool, toolsOf, type Toolset } from './toolList.ts';

export interface ServerSettings {
  readonly toolset: Toolset;
  /** The daemon connection for a request of a client of this name. */
  linkFor(clientName: string | undefined): DaemonLink;
  /** Whether this server tells its client what changes; else whoever made it does. */
  readonly tellsChanges: boolean;
}

export function buildServer({ toolset, linkFor, tellsChanges }: ServerSettings): McpServer {
  const mcp = new McpServer(
    { name: 'coppice', title: 'Coppice', version },
    {
      instructions,
      capabilities: {
        tools: {},
        resources: { subscribe: true, listChanged: true },
        prompts: {},
        completions: {},
      },
    },
  );
  const { server } = mcp;
  const offered = new Map(toolsOf(allTools, toolset).map((tool) => [tool.name, tool]));

  function link(context: ServerContext): DaemonLink {
    // Earlier revisions say it once.
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- the only place where earlier revisions have it
    return linkFor(clientNameIn(context.mcpReq.envelope) ?? server.getClientVersion()?.name);
  }

  server.setRequestHandler('tools/list', () => ({
    tools: [...offered.values()].map(describeTool),
  }));
  server.setRequestHandler('tools/call', async ({ params }, context) => {
    const tool = offered.get(params.name);
    if (tool === undefined) {
      throw new ProtocolError(
        ProtocolErrorCode.InvalidParams,
        `There is no tool named ${JSON.stringify(params.name.slice(0, 64))}${toolset === 'core' ? ' in the core toolset' : ''}; tools/list names all.`,
      );
    }
    return await callTool(tool, params.arguments ?? {}, link(context), context);
  });
  serveResources(mcp, link, tellsChanges);
  servePrompts(mcp);
  server.setRequestHandler('completion/complete', ({ params }, context) =>
    complete(params, () => link(context), context.mcpReq.signal),
  );
  return mcp;
}
