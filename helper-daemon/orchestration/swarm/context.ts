/** What every worker is given to know: texts of the caller's and of the vault. */
import type { VaultContext } from '../../../protocol/operations/swarm.ts';
import type { Guest } from '../guest.ts';
import type { VaultReader } from './host.ts';

/** Longer texts do not fit into a variable: Linux takes 128 KiB for each. */
const variableBytes = 96 * 1024;
const hits = 5;

export interface Contexts {
  readonly shared: string | undefined;
  readonly vault: string | undefined;
}

/** What cannot be read is left out: a task can do without. */
export async function readVault(
  vault: VaultReader | undefined,
  wanted: readonly VaultContext[],
): Promise<string | undefined> {
  if (vault === undefined || wanted.length === 0) return undefined;
  const parts: string[] = [];
  for (const { kind, query } of wanted) {
    try {
      const found = kind === 'read' ? await vault.read(query) : await search(vault, query);
      if (found !== '') parts.push(kind === 'read' ? `### ${query}\n\n${found}` : found);
    } catch {
      continue;
    }
  }
  return parts.length === 0 ? undefined : `## Project Knowledge Base\n\n${parts.join('\n\n')}\n`;
}

async function search(vault: VaultReader, query: string): Promise<string> {
  const found = await vault.search(query, hits);
  if (found.length === 0) return '';
  const lines = found.map(({ path, line, context }) => `- ${path}:${String(line)}\n${context}`);
  return `### Search: "${query}"\n\n${lines.join('\n')}`;
}

/** Puts the texts where tasks look for them. @returns the variables that hold them, too */
export async function giveContexts(
  guest: Pick<Guest, 'writeText' | 'run'>,
  worker: string,
  { shared, vault }: Contexts,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  const vars: Record<string, string> = {};
  if (shared !== undefined) {
    const file = '/tmp/.shared-context';
    await guest.writeText(worker, file, shared, signal);
    await guest.run(worker, ['ln', '-sfn', file, '/tmp/shared_context.md'], {
      timeoutSecs: 30,
      signal,
      cwd: '/',
    });
    vars['SHARED_CONTEXT'] = variable(shared, file);
  }
  if (vault !== undefined) {
    const file = '/tmp/.vault-context';
    await guest.writeText(worker, file, vault, signal);
    vars['VAULT_CONTEXT'] = variable(vault, file);
  }
  return vars;
}

function variable(text: string, file: string): string {
  const bytes = Buffer.from(text.replaceAll('\0', ''), 'utf8');
  if (bytes.length <= variableBytes) return bytes.toString('utf8');
  const whole = new TextDecoder().decode(bytes.subarray(0, variableBytes), { stream: true });
  return `${whole}\n[TRUNCATED: all of it is in ${file}]`;
}
