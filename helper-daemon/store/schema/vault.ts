/** Tables of the vault records; a part of a migration (store/migrations.ts). */
export const vaultSchema = ``;
