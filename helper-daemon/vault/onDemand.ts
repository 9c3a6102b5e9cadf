/** The daemon's vault, opened with the first call that needs it: many daemons never see one. */
import { vaultOff } from './errors.ts';
import { openVault, type OpenVault, type Vault, type VaultOptions } from './vault.ts';

export interface VaultDoor {
  /** @throws CoppiceError `wrong_state` where there is none, or its directory is missing */
  open(): Promise<Vault>;
  close(): Promise<void>;
}

/** @param options undefined: the configuration switches it off */
export function vaultDoor(options: VaultOptions | undefined): VaultDoor {
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
