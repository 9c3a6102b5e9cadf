/**
 * The one line that Coppice adds to a user's ssh_config. It stands at the top: below a Host line it would only count
 * for that host. Every other byte of the file stays as it is.
 */
import { chown, lstat, mkdir, readlink, realpath, stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { CoppiceError } from '../../../protocol/errors.ts';
import { quoted } from './config.ts';
import { readText, replaceFile } from './files.ts';

/** As ssh finds it: it asks the account, not $HOME. */
export function userConfigFile(): string {
  return path.join(os.userInfo().homedir, '.ssh', 'config');
}

export function includeLine(config: string): string {
  return `Include ${quoted(config)}`;
}

/** Whether the file has the line where it counts. */
export function includes(text: string, line: string): boolean {
  for (const candidate of text.split('\n')) {
    const trimmed = candidate.trim();
    if (trimmed === line) return true;
    if (/^(host|match)\b/i.test(trimmed)) return false;
  }
  return false;
}

export function withInclude(text: string, line: string): string {
  return includes(text, line) ? text : `${line}\n${withoutInclude(text, line)}`;
}

export function withoutInclude(text: string, line: string): string {
  return text
    .split('\n')
    .filter((candidate) => candidate.trim() !== line)
    .join('\n');
}

/**
 * Applies `change` to the file; a symlink stays one, and the file it leads to is replaced.
 * @returns whether anything was changed
 * @throws CoppiceError `file_error`
 */
export async function editUserConfig(
  file: string,
  change: (text: string) => string,
): Promise<boolean> {
  try {
    const target = await targetOf(file);
    const text = await readText(target);
    const wanted = change(text);
    if (wanted === text) return false;
    await mkdir(path.dirname(target), { recursive: true, mode: 0o700 });
    const before = await stat(target).catch(() => undefined);
    if ((await readText(target)) !== text) throw new Error('somebody else is changing it');
    await replaceFile(target, wanted, before === undefined ? 0o600 : before.mode & 0o777);
    // Root may be at work in somebody's home.
    if (before !== undefined) await chown(target, before.uid, before.gid);
    return true;
  } catch (error) {
    throw new CoppiceError(
      {
        code: 'file_error',
        message: `${file} cannot be changed: ${error instanceof Error ? error.message : String(error)}`,
        next: 'Add the line yourself; coppice ssh-config prints it.',
        details: { file },
      },
      { cause: error },
    );
  }
}

/** What a link leads to, also where nothing is there yet. */
async function targetOf(file: string): Promise<string> {
  const found = await lstat(file).catch(() => undefined);
  if (found?.isSymbolicLink() !== true) return file;
  try {
    return await realpath(file);
  } catch {
    return path.resolve(path.dirname(file), await readlink(file));
  }
}
