/** What a request must be before anybody looks at what it asks: for us, from no foreign page, with the token. */
import type { IncomingHttpHeaders } from 'node:http';
import {
  localhostAllowedHostnames,
  localhostAllowedOrigins,
  validateHostHeader,
  validateOriginHeader,
} from '@modelcontextprotocol/server';

export interface Refusal {
  readonly status: number;
  readonly message: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export const endpoint = '/mcp';

export function refusalOf(
  request: { readonly url?: string | undefined; readonly headers: IncomingHttpHeaders },
  port: number,
  isToken: (authorization: string | undefined) => boolean,
): Refusal | undefined {
  const { host, origin, authorization } = request.headers;
  // A page whose name was made to lead here (DNS rebinding) still says its own name.
  const named = validateHostHeader(host, localhostAllowedHostnames());
  if (!named.ok || portOf(host) !== port) {
    return { status: 403, message: 'This server answers only as localhost, with its port.' };
  }
  const foreign = !validateOriginHeader(origin, localhostAllowedOrigins()).ok || origin === '';
  if (foreign) {
    return { status: 403, message: 'Web pages from elsewhere may not use this server.' };
  }
  if (!isToken(authorization)) {
    return {
      status: 401,
      message: 'Send the token of this server: Authorization: Bearer <token>.',
      headers: { 'WWW-Authenticate': 'Bearer realm="coppice"' },
    };
  }
  const [path] = (request.url ?? '').split('?');
  return path === endpoint
    ? undefined
    : { status: 404, message: `There is nothing here; the endpoint is ${endpoint}.` };
}

function portOf(host: string | undefined): number {
  const port = /:(\d{1,5})$/.exec(host ?? '')?.[1];
  return port === undefined ? 80 : Number(port);
}
