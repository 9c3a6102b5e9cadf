/** `coppice mcp`: the tools for coding agents. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { CoppiceError, isErrorCode, type ErrorBody } from '../../../protocol/errors.ts';
import type { RunMcpServer } from '../../mcp/program.ts';
import type { CommandSpec, Invocation } from '../commandSpec.ts';
import type { CliContext } from '../context.ts';
import { exitCodes } from '../exitCodes.ts';
import { UsageError } from '../failure.ts';

const defaultPort = 7717;

export const mcpSpec: CommandSpec = {
  words: 'mcp',
  summary: 'Serve the tools for coding agents over the Model Context Protocol',
  description:
    'On standard input and output, where agents start it themselves, or with --http for several at once.',
  positionals: [],
  flags: [
    {
      key: 'session',
      spelling: '--session <name>',
      kind: 'text',
      description:
        'Name of the agent, which owns what it makes; default: COPPICE_SESSION, else what the client calls itself',
    },
    {
      key: 'toolset',
      spelling: '--toolset <core|full>',
      kind: 'text',
      choices: ['core', 'full'],
      description: 'All tools (full, the default) or the few that do most of the work',
    },
    {
      key: 'http',
      spelling: '--http',
      kind: 'switch',
      description: 'Listen for HTTP on the loopback interface; clients need the token',
    },
    {
      key: 'port',
      spelling: '-p, --port <n>',
      kind: 'integer',
      description: `With --http: default ${String(defaultPort)}; 0 is any that is free`,
    },
    {
      key: 'tokenFile',
      spelling: '--token-file <file>',
      kind: 'text',
      description:
        'With --http: holds the token, and is made where it does not exist; otherwise a new one is printed',
    },
  ],
  notes: 'Machines go on when it ends. docs/mcp.md says how agents are told of it.',
  examples: [
    ['coppice mcp --toolset core', 'For clients that should see few tools.'],
    ['coppice mcp --http --token-file ~/.coppice-token', 'For clients that connect by HTTP.'],
  ],
  run: runMcp,
};

async function runMcp({ flags }: Invocation, context: CliContext): Promise<number> {
  const { session, toolset, http, port = defaultPort, tokenFile } = flags;
  if (toolset !== undefined && toolset !== 'core' && toolset !== 'full') {
    throw new UsageError(
      `--toolset must be core or full (got ${JSON.stringify(toolset)}).`,
      'See coppice mcp --help.',
    );
  }
  if (http !== true && (flags['port'] !== undefined || tokenFile !== undefined)) {
    throw new UsageError(
      '--port and --token-file are for --http.',
      'Without --http there is one client, on standard input and output.',
    );
  }
  if (typeof port !== 'number' || port < 0 || port > 65_535) {
    throw new UsageError('--port must be 0 to 65535.', 'For example: --port 7717');
  }
  const { runMcpServer } = await loadServer();
  const served = runMcpServer({
    toolset: toolset ?? 'full',
    signal: context.signal,
    ...(typeof session === 'string' ? { session } : {}),
    ...(http === true
      ? {
          http: {
            port,
            ...(typeof tokenFile === 'string' ? { tokenFile } : {}),
            ready: (facts) => announce(facts, context),
          },
        }
      : {}),
  });
  await served.catch((error: unknown) => {
    throw asOwnError(error);
  });
  return exitCodes.ok;
}

/** The other bundle has a class of its own for the same errors. */
function asOwnError(error: unknown): unknown {
  const { code, message, next, details } = error as Partial<ErrorBody>;
  if (!isErrorCode(code)) return error;
  return new CoppiceError(
    {
      code,
      message: message ?? code,
      ...(next === undefined ? {} : { next }),
      ...(details === undefined ? {} : { details }),
    },
    { cause: error },
  );
}

function announce(
  facts: { readonly url: string; readonly token?: string },
  context: CliContext,
): void {
  if (context.json) {
    context.printJson(facts);
    return;
  }
  context.print(`MCP at ${facts.url}`);
  if (facts.token !== undefined) context.print(`Authorization: Bearer ${facts.token}`);
}

/** Its own bundle beside this one: nobody else should load it. From the sources: that of the checkout. */
async function loadServer(): Promise<{ readonly runMcpServer: RunMcpServer }> {
  const here = path.dirname(fileURLToPath(import.meta.url));
  const places = [here, path.join(here, '..', '..', '..', 'dist')];
  const bundle = places.map((place) => path.join(place, 'coppice-mcp.mjs')).find(existsSync);
  if (bundle === undefined) {
    throw new CoppiceError({
      code: 'internal',
      message: `The program coppice-mcp.mjs is not beside ${here}.`,
      next: 'Build it with npm run build.',
    });
  }
  return (await import(pathToFileURL(bundle).href)) as { readonly runMcpServer: RunMcpServer };
}
