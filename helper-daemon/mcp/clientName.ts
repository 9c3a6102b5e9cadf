/** What a client calls itself. */
import { CLIENT_INFO_META_KEY } from '@modelcontextprotocol/server';

/** Undefined where a request does not say it: revisions of the protocol from 2026-07-28 on say it each time. */
export function clientNameIn(meta: unknown): string | undefined {
  const client = (meta as Readonly<Record<string, unknown>> | undefined)?.[CLIENT_INFO_META_KEY];
  const name = (client as { readonly name?: unknown } | undefined)?.name;
  return typeof name === 'string' ? name : undefined;
}
