import { invalidField, missingField } from '../../vault/errors.ts';
import { loadYaml } from '../../vault/yamlLibrary.ts';
import type { Vault } from '../../vault/vault.ts';
import type { Handlers } from '../handlerTypes.ts';

type VaultHandlers = Pick<
  Handlers,
  | 'vault_read'
  | 'vault_write'
  | 'vault_search'
  | 'vault_list'
  | 'vault_delete'
  | 'vault_frontmatter'
  | 'vault_tags'
  | 'vault_replace'
  | 'vault_move'
  | 'vault_batch_read'
  | 'vault_stats'
  | 'vault_links'
  | 'vault_history'
  | 'vault_restore'
>;

/** @param vault of an account; throws CoppiceError `wrong_state` where there is none */
export function vaultHandlers(vault: (uid: number) => Promise<Vault>): VaultHandlers {
  return {
    vault_read: async ({ path }, { caller }) => (await vault(caller.uid)).read(path),
    vault_write: async ({ path, content, mode }, { caller }) =>
      (await vault(caller.uid)).write(path, content, mode),
    vault_search: async (input, { caller }) => (await vault(caller.uid)).search(input),
    vault_list: async (input, { caller }) => (await vault(caller.uid)).list(input),
    vault_delete: async ({ path }, { caller }) => (await vault(caller.uid)).remove(path),
    async vault_frontmatter({ path, frontmatter_action: action, key, value }, { caller }) {
      const open = await vault(caller.uid);
      if (action === 'get') return open.frontMatter(path);
      if (key === undefined) throw missingField('key', `${action} front matter`);
      if (action === 'delete') return open.deleteFrontMatter(path, key);
      if (value === undefined) throw missingField('value', 'set front matter');
      return open.setFrontMatter(path, key, await parseValue(value));
    },
    async vault_tags({ path, tags_action: action, tag }, { caller }) {
      const open = await vault(caller.uid);
      if (action === 'list') return open.tags(path);
      if (tag === undefined) throw missingField('tag', `${action} a tag`);
      return action === 'add' ? open.addTag(path, tag) : open.removeTag(path, tag);
    },
    vault_replace: async (input, { caller }) => (await vault(caller.uid)).replace(input),
    vault_move: async ({ path, new_path, overwrite }, { caller }) =>
      (await vault(caller.uid)).move(path, new_path, overwrite),
    vault_batch_read: async (input, { caller }) => (await vault(caller.uid)).readMany(input),
    vault_stats: async ({ recent_count }, { caller }) =>
      (await vault(caller.uid)).stats(recent_count),
    vault_links: async ({ path }, { caller }) => (await vault(caller.uid)).links(path),
    vault_history: async ({ path, version }, { caller }) =>
      (await vault(caller.uid)).history(path, version),
    vault_restore: async ({ path, version }, { caller }) =>
      (await vault(caller.uid)).restore(path, version),
  };
}

/** What programs send is JSON, and what people type is YAML. @throws CoppiceError `invalid_input` */
async function parseValue(text: string): Promise<unknown> {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    const { parse } = await loadYaml();
    try {
      return parse(text, { maxAliasCount: 0, logLevel: 'silent' }) as unknown;
    } catch (error) {
      const problem = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
      throw invalidField('value', `neither JSON nor YAML: ${problem}`);
    }
  }
}
