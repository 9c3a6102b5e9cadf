/** Programs that answer as OpenZFS was seen to, for hosts whose kernel has no ZFS, and note what they were asked. */
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { ZfsPrograms } from '../../../helper-daemon/storage/zfs/zfsCommand.ts';

/** The first answer whose `when` begins the command and that has not been used up is given. */
export interface Answer {
  readonly when: string;
  readonly out?: string;
  readonly err?: string;
  readonly code?: number;
  /** How often; default for ever. */
  readonly times?: number;
}

export interface FakePrograms {
  readonly programs: ZfsPrograms;
  /** Commands so far, with the program's name in front. */
  asked(): Promise<string[]>;
}

export async function fakePrograms(
  directory: string,
  answers: readonly Answer[],
): Promise<FakePrograms> {
  const log = path.join(directory, 'asked');
  const script = path.join(directory, 'answers.json');
  await writeFile(log, '');
  await writeFile(script, JSON.stringify(answers));
  const make = async (name: string): Promise<string> => {
    const file = path.join(directory, name);
    await writeFile(file, source(name, log, script), { mode: 0o755 });
    return file;
  };
  return {
    programs: {
      zfs: await make('zfs'),
      zpool: await make('zpool'),
      zvolId: await make('zvol_id'),
    },
    asked: async () => (await readFile(log, 'utf8')).split('\n').slice(0, -1),
  };
}

function source(name: string, log: string, script: string): string {
  return `#!${process.execPath}
const fs = require('node:fs');
const command = [${JSON.stringify(name)}, ...process.argv.slice(2)].join(' ');
const before = fs.readFileSync(${JSON.stringify(log)}, 'utf8').split('\\n');
fs.appendFileSync(${JSON.stringify(log)}, command + '\\n');
const answers = JSON.parse(fs.readFileSync(${JSON.stringify(script)}, 'utf8'));
let used = before.filter((line) => line === command).length;
for (const { when, out = '', err = '', code = 0, times = Infinity } of answers) {
  if (!command.startsWith(when)) continue;
  if (used >= times) { used -= times; continue; }
  process.stdout.write(out);
  process.stderr.write(err);
  process.exit(code);
}
process.stderr.write('unexpected: ' + command + '\\n');
process.exit(99);
`;
}
