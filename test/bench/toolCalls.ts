/** What an agent's way adds to an operation: the same calls over MCP and over the daemon's own protocol. */
import { connectAgent } from '../vm/support/agentClient.ts';
import type { BenchContext } from './context.ts';
import { destroy } from './machines.ts';
import { alone, noPromise, timed, type Comparison, type Measured } from './samples.ts';

export async function measureToolCalls(context: BenchContext): Promise<Measured> {
  const { client, home, rounds, say } = context;
  const started = await timed(() => connectAgent({ home: home.directory }, 'bench'));
  const agent = started.value;
  const { workspace_id } = await agent.ok<{ workspace_id: string }>('workspace_create', {});
  const calls = [
    ['exec of true', 'exec', { workspace_id, command: 'true' }],
    ['list of one workspace', 'workspace_list', {}],
  ] as const;
  const comparisons: Comparison[] = [];
  try {
    for (const [what, name, input] of calls) {
      say(`${what}, as a tool × ${String(rounds.exec)}`);
      const bare: number[] = [];
      const tool: number[] = [];
      for (let round = -5; round < rounds.exec; round += 1) {
        const operation = await timed(() => client.call(name, input as never));
        const call = await timed(() => agent.ok(name, input));
        if (round < 0) continue;
        bare.push(operation.ms);
        tool.push(call.ms);
      }
      comparisons.push({
        what: `${what}, as a tool over MCP`,
        baselineName: 'the bare operation',
        unit: 'ms',
        baseline: bare,
        ours: tool,
        promise: noPromise,
      });
    }
  } finally {
    await destroy(client, workspace_id);
    await agent.close();
  }
  return {
    comparisons: [...comparisons, alone('coppice mcp, until it answers', 'ms', [started.ms])],
  };
}
