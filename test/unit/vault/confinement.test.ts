import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { execFileSync } from 'node:child_process';
import { beforeEach, describe, expect, it } from 'vitest';
import { CoppiceError } from '../../../protocol/errors.ts';
import type { Vault } from '../../../helper-daemon/vault/vault.ts';
import { failure, temporaryVault } from './temporaryVault.ts';

const bed = temporaryVault();

/** Everything that takes a path, with a path of ours. */
const actions: Readonly<Record<string, (vault: Vault, file: string) => Promise<unknown>>> = {
  read: (vault, file) => vault.read(file),
  write: (vault, file) => vault.write(file, 'evil'),
  append: (vault, file) => vault.write(file, 'evil', 'append'),
  edit: (vault, file) => vault.edit(file, () => 'evil'),
  remove: (vault, file) => vault.remove(file),
  frontMatter: (vault, file) => vault.setFrontMatter(file, 'k', 1),
  tags: (vault, file) => vault.addTag(file, 'evil'),
  replace: (vault, file) => vault.replace({ path: file, old_string: 'e', new_string: 'E' }),
  moveFrom: (vault, file) => vault.move(file, 'stolen.md'),
  moveTo: (vault, file) => vault.move('mine.md', file, true),
  links: (vault, file) => vault.links(file),
  list: (vault, file) => vault.list({ path: file }),
  search: (vault, file) => vault.search({ query: 'secret', path_prefix: file }),
  history: (vault, file) => vault.history(file),
  makeFolder: (vault, file) => vault.makeFolder(file),
  removeFolder: (vault, file) => vault.removeFolder(file),
  scoped: async (vault, file) => vault.scoped(file),
};
const everyAction = Object.entries(actions);

let outside = '';

beforeEach(async () => {
  outside = path.join(bed.directory, 'outside');
  mkdirSync(outside);
  writeFileSync(path.join(outside, 'secret.md'), 'secret');
  await bed.vault.write('mine.md', 'mine');
});

/** Also where a write makes the missing folder at the same time. */
function replaceByLink(place: string): void {
  for (;;) {
    try {
      symlinkSync(outside, place);
      return;
    } catch {
      rmSync(place, { recursive: true, force: true });
    }
  }
}

function restoreFolder(aside: string, place: string): void {
  for (;;) {
    try {
      renameSync(aside, place);
      return;
    } catch {
      rmSync(place, { recursive: true, force: true });
    }
  }
}

function expectUntouched(): void {
  expect(readdirSync(outside)).toEqual(['secret.md']);
  expect(readFileSync(path.join(outside, 'secret.md'), 'utf8')).toBe('secret');
  expect(existsSync(path.join(bed.root, 'stolen.md'))).toBe(false);
}

describe.each(everyAction)('%s', (_, act) => {
  it('refuses paths with .. in them, absolute paths that lead out, and folders that are no part of the vault', async () => {
    for (const given of ['../outside/secret.md', 'a/../../outside/secret.md', 'x/..', '..']) {
      const work = async (): Promise<unknown> => act(bed.vault, given);
      await expect(work()).rejects.toMatchObject(failure('vault_error', "'..'"));
    }
    for (const given of [path.join(outside, 'secret.md'), `${bed.root}-2/x.md`, '/etc/passwd']) {
      const work = async (): Promise<unknown> => act(bed.vault, given);
      await expect(work()).rejects.toMatchObject(failure('vault_error', 'not in the vault'));
    }
    for (const given of ['.git/hooks/post-commit', 'a/.Obsidian/plugins/x.js', '.git']) {
      const work = async (): Promise<unknown> => act(bed.vault, given);
      await expect(work()).rejects.toMatchObject(failure('vault_error', 'not a part of the vault'));
    }
    expectUntouched();
  });
});

const onDisk = everyAction.filter(([name]) => name !== 'history' && name !== 'scoped');

describe.each(onDisk)('%s', (_, act) => {
  it('follows no link, neither to a file nor to a folder, inside or outside', async () => {
    mkdirSync(path.join(bed.root, 'real'));
    symlinkSync(path.join(outside, 'secret.md'), path.join(bed.root, 'file.md'));
    symlinkSync(outside, path.join(bed.root, 'folder'));
    symlinkSync('real', path.join(bed.root, 'inner'));
    symlinkSync(path.join(bed.directory, 'nothing'), path.join(bed.root, 'dangling'));
    for (const given of ['file.md', 'folder/secret.md', 'inner/x/y.md', 'dangling/new/x.md']) {
      await expect(act(bed.vault, given)).rejects.toMatchObject({
        code: 'vault_error',
        message: expect.stringContaining('symbolic link') as string,
      });
    }
    expectUntouched();
    expect(existsSync(path.join(bed.directory, 'nothing'))).toBe(false);
  });
});

it('accepts an absolute path that leads into the vault, or into the scope', async () => {
  expect((await bed.vault.read(path.join(bed.root, 'mine.md'))).path).toBe('mine.md');
  const team = bed.vault.scoped('teams/blue');
  await team.write(path.join(bed.root, 'teams/blue/a.md'), 'A');
  expect(bed.get('teams/blue/a.md')).toBe('A');
  await expect(team.read(path.join(bed.root, 'mine.md'))).rejects.toMatchObject(
    failure('vault_error', 'not in the vault'),
  );
});

it('shows no links and special files in lists, and waits for no pipe', async () => {
  symlinkSync(path.join(outside, 'secret.md'), path.join(bed.root, 'link.md'));
  symlinkSync(outside, path.join(bed.root, 'folder'));
  execFileSync('mkfifo', [path.join(bed.root, 'pipe.md')]);
  const { entries } = await bed.vault.list({ recursive: true });
  expect(entries.map((entry) => entry.path)).toEqual(['mine.md']);
  expect((await bed.vault.search({ query: 'secret' })).results).toEqual([]);
  await expect(bed.vault.read('pipe.md')).rejects.toMatchObject(
    failure('vault_error', 'special file'),
  );
  await expect(bed.vault.write('pipe.md', 'x')).rejects.toMatchObject(failure('vault_error'));
});

it('never leaves the vault while a folder on the way is swapped for a link and back', async () => {
  const real = path.join(bed.root, 'a/swapped');
  const aside = path.join(bed.root, 'a/aside');
  mkdirSync(path.join(real, 'deep'), { recursive: true });
  mkdirSync(path.join(outside, 'deep'));
  writeFileSync(path.join(outside, 'deep/note.md'), 'secret');
  bed.put('a/swapped/deep/note.md', 'ours');
  let running = true;
  let swaps = 0;
  const swapping = (async () => {
    while (running) {
      renameSync(real, aside);
      replaceByLink(real);
      await turn();
      rmSync(real);
      restoreFolder(aside, real);
      swaps += 1;
      await turn();
    }
  })();
  const outcomes = { done: 0, refused: 0 };
  for (let round = 0; round < 400; round += 1) {
    const file = 'a/swapped/deep/note.md';
    const work = [
      () => bed.vault.read(file),
      () => bed.vault.write(file, `ours ${String(round)}`),
      () => bed.vault.write('a/swapped/deep/new/x.md', `ours ${String(round)}`),
      () => bed.vault.search({ query: 'e', path_prefix: 'a' }),
    ][round % 4];
    try {
      expect(JSON.stringify(await work?.())).not.toContain('secret');
      outcomes.done += 1;
    } catch (error) {
      expect(error).toBeInstanceOf(CoppiceError);
      outcomes.refused += 1;
    }
  }
  running = false;
  await swapping;
  expect(swaps).toBeGreaterThan(10);
  expect(outcomes.done).toBeGreaterThan(0);
  expect(outcomes.refused).toBeGreaterThan(0);
  expect(readdirSync(path.join(outside, 'deep'))).toEqual(['note.md']);
  expect(readFileSync(path.join(outside, 'deep/note.md'), 'utf8')).toBe('secret');
});

it('cannot be left by the names of its temporary files', async () => {
  await expect(
    bed.vault.read(`.coppice-${String(process.pid)}-0123456789abcdef.tmp`),
  ).rejects.toMatchObject(failure('vault_error', 'keeps for itself'));
});

describe('a scoped view', () => {
  it('is made on demand, sees its part only and names paths from there', async () => {
    const team = bed.vault.scoped('teams/blue');
    expect((await team.list({ recursive: true })).entries).toEqual([]);
    expect((await team.search({ query: 'mine' })).results).toEqual([]);
    expect(existsSync(path.join(bed.root, 'teams'))).toBe(false);
    await team.write('tasks/one.md', '---\ntags: [t]\n---\nfind me\n');
    expect((await team.list({})).entries.map((entry) => entry.path)).toEqual(['tasks']);
    expect((await team.search({ query: 'find', tag: 't' })).results[0]?.path).toBe('tasks/one.md');
    expect((await team.stats()).recent_files[0]?.path).toBe('tasks/one.md');
    expect((await team.read('tasks/one.md')).path).toBe('tasks/one.md');
    await expect(team.read('tasks/two.md')).rejects.toMatchObject({
      message: "There is no note 'tasks/two.md' in the vault.",
      details: { path: 'tasks/two.md' },
    });
    await expect(team.read('../../mine.md')).rejects.toMatchObject(failure('vault_error'));
    expect((await team.scoped('tasks').read('one.md')).content).toContain('find me');
  });

  it('excludes the whole vault from writing the same note at the same time', async () => {
    const team = bed.vault.scoped('teams/blue');
    await team.write('log.md', '');
    const lines = Array.from({ length: 20 }, (_, index) => index);
    await Promise.all(
      lines.map((line) =>
        line % 2 === 0
          ? team.write('log.md', `${String(line)}\n`, 'append')
          : bed.vault.write('teams/blue/log.md', `${String(line)}\n`, 'append'),
      ),
    );
    const written = bed.get('teams/blue/log.md').trim().split('\n').map(Number);
    expect(written.sort((a, b) => a - b)).toEqual(lines);
  });
});

it('says when the directory of the vault is missing', async () => {
  rmSync(bed.root, { recursive: true });
  await expect(bed.vault.read('mine.md')).rejects.toMatchObject(
    failure('wrong_state', 'cannot be opened'),
  );
  await expect(bed.reopen({ create: false })).rejects.toMatchObject(failure('wrong_state'));
});
