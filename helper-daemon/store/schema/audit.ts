/** Tables of the audit records; a part of a migration (store/migrations.ts). */
export const auditSchema = ``;
