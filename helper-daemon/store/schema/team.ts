/** Tables of the team records; a part of a migration (store/migrations.ts). */
export const teamSchema = ``;
