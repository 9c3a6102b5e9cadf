/** coppice: the command line. */
import { buildProgram } from './program.ts';
import { createContext } from './context.ts';
import { exitCodes } from './exitCodes.ts';
import { reportFailure } from './failure.ts';
import { hotCommand } from './hotCommands.ts';
import { listenForSignals } from './signals.ts';

async function main(argv: readonly string[]): Promise<number> {
  const signals = listenForSignals((code) => process.exit(code));
  // The reader of our output has seen enough, as in `coppice exec … | head`.
  process.stdout.on('error', leaveOnBrokenPipe);
  process.stderr.on('error', leaveOnBrokenPipe);
  const end = argv.indexOf('--');
  const own = end === -1 ? argv : argv.slice(0, end);
  let json = own.includes('--json');
  try {
    const words = own.filter((word) => !word.startsWith('-'));
    const help = own.includes('-h') || own.includes('--help');
    const hot = await hotCommand(words, help);
    const specs = hot === undefined ? (await import('./catalogue.ts')).allCommands(words) : [hot];
    const program = buildProgram(specs);
    if (argv.length === 0) {
      process.stdout.write(program.root.helpInformation());
      return exitCodes.ok;
    }
    const match = await program.parse(argv);
    if (match === undefined) return exitCodes.ok;
    json = match.json;
    const context = createContext({ json, quiet: match.quiet, signals });
    return await match.spec.run(match.invocation, context);
  } catch (error) {
    return reportFailure(error, json);
  }
}

function leaveOnBrokenPipe(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(exitCodes.signalBase + 13);
  throw error;
}

const code = await main(process.argv.slice(2));
// Standard input or a timer may still be open; what was printed must be out first.
await new Promise<void>((resolve) => process.stdout.write('', () => resolve()));
process.exit(code);
