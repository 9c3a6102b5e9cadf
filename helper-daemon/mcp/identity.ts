/** Under which name an agent owns what it makes. */
import { CoppiceError } from '../../protocol/errors.ts';
import { agentName } from '../../protocol/names.ts';

/** For clients that say nothing about themselves. */
const nameless = 'agent';

/**
 * The name somebody chose: `--session`, else COPPICE_SESSION; undefined when nobody did.
 * @throws CoppiceError `invalid_input`
 */
export function chosenAgent(
  flag: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const [name, origin] =
    flag === undefined ? [environment['COPPICE_SESSION'], 'COPPICE_SESSION'] : [flag, '--session'];
  if (name === undefined || (name === '' && flag === undefined)) return undefined;
  if (agentName.safeParse(name).success) return name;
  throw new CoppiceError({
    code: 'invalid_input',
    message: `${origin} is no name for an agent: ${JSON.stringify(name.slice(0, 80))}.`,
    next: 'Use 1 to 64 letters, digits, ".", "_", "@" and "-".',
  });
}

/** What a client calls itself, as an agent's name: `Visual Studio Code` becomes `Visual-Studio-Code`. */
export function agentOfClient(clientName: string | undefined): string {
  const plain = (clientName ?? '')
    .slice(0, 256)
    .replace(/[^A-Za-z0-9._@-]+/g, '-')
    .slice(0, 64)
    .replace(/^-+|-+$/g, '');
  return plain === '' ? nameless : plain;
}
