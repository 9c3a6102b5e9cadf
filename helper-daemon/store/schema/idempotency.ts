/** Tables of the idempotency records; a part of a migration (store/migrations.ts). */
export const idempotencySchema = ``;
