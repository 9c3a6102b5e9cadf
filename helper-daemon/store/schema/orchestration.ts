/** Tables of the orchestration records; a part of a migration (store/migrations.ts). */
export const orchestrationSchema = ``;
