/**
 * Commands that are typed and scripted most: they start without the schema library and without the other
 * commands. Their flags say the same as the schemas (a test sees to it); their help is built in full.
 */
import type { CommandSpec } from './commandSpec.ts';
import type { Describe } from './commands/processFlags.ts';

const undescribed: Describe = () => '';

const hot: Readonly<Record<string, () => Promise<CommandSpec>>> = {
  exec: async () => (await import('./commands/exec.ts')).execSpec(undescribed),
  shell: async () => (await import('./commands/shell.ts')).shellSpec(undescribed),
  ssh: async () => (await import('./commands/ssh.ts')).sshSpec(undescribed),
  'ssh-proxy': async () => (await import('./commands/sshProxy.ts')).sshProxySpec,
  run: async () => (await import('./commands/run.ts')).runSpec(undescribed),
  cp: async () => (await import('./commands/cp.ts')).cpSpec,
  read: async () => (await import('./commands/read.ts')).readSpec(undescribed),
  write: async () => (await import('./commands/write.ts')).writeSpec(undescribed),
  tool: async () => (await import('./commands/tool.ts')).toolSpec,
  mcp: async () => (await import('./commands/mcp.ts')).mcpSpec,
};

/** The one command that is needed, or undefined when all must be known. */
export async function hotCommand(
  words: readonly string[],
  help: boolean,
): Promise<CommandSpec | undefined> {
  const [first] = words;
  if (help || first === undefined || !Object.hasOwn(hot, first)) return undefined;
  return await hot[first]?.();
}
