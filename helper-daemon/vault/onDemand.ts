/** The daemon's vaults, each opened with the first call that needs it: many daemons never see one. */
import { vaultOff } from './errors.ts';
import { openVault, type OpenVault, type Vault, type VaultOptions } from './vault.ts';

export interface VaultDoors {
  /** @param uid of the account whose notes they are */
  of(uid: number): VaultDoor;
  close(): Promise<void>;
}

interface VaultDoor {
  /** @throws CoppiceError `wrong_state` where there is none, or its directory is missing */
  open(): Promise<Vault>;
  close(): Promise<void>;
}

/** @param optionsOf accounts with the same directory share one vault; undefined: the configuration switches it off */
export function vaultDoors(optionsOf: (uid: number) => VaultOptions | undefined): VaultDoors {
  const byRoot = new Map<string, VaultDoor>();
  return {
    of(uid) {
      const options = optionsOf(uid);
      const root = options?.root ?? '';
      let door = byRoot.get(root);
      if (door === undefined) byRoot.set(root, (door = vaultDoor(options)));
      return door;
    },
    async close() {
      await Promise.all([...byRoot.values()].map((door) => door.close()));
    },
  };
}

/** @param options undefined: the configuration switches it off */
function vaultDoor(options: VaultOptions | undefined): VaultDoor {
  let opened: Promise<OpenVault> | undefined;
  return {
    async open() {
      if (options === undefined) throw vaultOff();
      // A directory that was missing may be there the next time.
      opened ??= openVault(options).catch((error: unknown) => {
        opened = undefined;
        throw error;
      });
      return await opened;
    },
    async close() {
      await (await opened?.catch(() => undefined))?.close();
    },
  };
}
